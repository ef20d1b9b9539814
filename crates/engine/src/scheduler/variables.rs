//! The variables of a run: what was given, and the flow's defaults for the rest.

use std::sync::Arc;

use stepflow_flow::evaluate::Variables;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;

/// The variables that a run sees, given an object (or null) of those that were set for it.
pub(crate) fn effective(plan: &Plan, given: &Value) -> Variables {
    let declared = plan.variables().map(|declared| &declared.each);
    let defaults = declared.into_iter().flatten().filter_map(|(name, it)| {
        let default = it.default.clone()?;
        Some((Arc::clone(name), default))
    });
    let given = given
        .entries()
        .map(|(name, value)| (Arc::from(name), value.clone()));
    // Of two values for one name the later one stays.
    defaults.chain(given).collect()
}
