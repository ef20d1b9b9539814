//! One check a requirement, named after its id: `group::what_it_is_about`. Owns the table of them; each sends what it needs and
//! says what it saw.

mod callbacks;
mod cancelling;
mod execution;
mod framing;
mod handshake;
mod messages;
mod posts;
mod security;
mod sessions;
mod shutdown;
mod sizes;

use std::pin::Pin;

use crate::lab::Lab;
use crate::verdict::Verdict;
use crate::wire::Wire;

/// What a check comes to, later.
type Checking<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// A check and the connection it wants.
#[derive(Clone, Copy)]
pub(crate) enum Check {
    /// One whose handshake is complete; others may have used it before.
    Shared(for<'a> fn(&'a Lab, &'a mut Wire) -> Checking<'a>),
    /// One on which nothing was said.
    Fresh(for<'a> fn(&'a Lab, &'a mut Wire) -> Checking<'a>),
    /// None, or several of its own.
    Alone(for<'a> fn(&'a Lab) -> Checking<'a>),
}

macro_rules! table {
    ($($kind:ident $group:ident { $($name:ident)* })*) => {
        const TABLE: &[(&str, &str, Check)] = &[
            $($((stringify!($group), stringify!($name), table!(@$kind $group::$name)),)*)*
        ];
    };
    (@alone $check:path) => { Check::Alone(|lab| Box::pin($check(lab))) };
    (@fresh $check:path) => { Check::Fresh(|lab, wire| Box::pin($check(lab, wire))) };
    (@shared $check:path) => { Check::Shared(|lab, wire| Box::pin($check(lab, wire))) };
}

table! {
    fresh handshake {
        initialize described null_fields unknown_fields version before_initialize before_initialized initialized_silent
        stateless
    }
    alone handshake { patient again }
    fresh framing { line_ends blank_lines byte_order_mark pieces together not_json invalid_utf8 }
    shared framing { one_line }
    alone framing { clean }
    shared messages {
        ids typed_ids unknown_method unknown_notification unknown_fields missing_params invalid_request batch
        unknown_answer null_id duplicate_keys unicode nesting ping
    }
    alone messages { one_answer envelope unwanted }
    shared execution {
        list info info_unknown echo null_value numbers names unknown_component minimal optional_fields
        missing_component invalid_params invalid_input failure failure_code own_codes concurrent many
    }
    shared callbacks { blob params execution observability ids concurrent refused answered_twice no_back_channel }
    shared cancelling { answered unknown typed }
    shared sizes { pipe half_megabyte megabytes over_limit }
    fresh sizes { both_ways runtime_limit }
    fresh shutdown { end_of_input busy status }
    alone shutdown { before_greeting }
    alone sessions {
        endpoint own isolated callbacks unknown greeted_each ended resumed unguessable
    }
    shared posts {
        content_type accepted errors parse_error invalid_request media_type charset method slash json_alone side_by_side
        refusals
    }
    alone posts { events_refused stream_headers }
    shared security { origin host token cors }
}

/// The check of a requirement.
pub(crate) fn find(id: &str) -> Option<Check> {
    let found = TABLE
        .iter()
        .find(|(group, name, _)| self::id(group, name) == id);
    found.map(|(_, _, check)| *check)
}

fn id(group: &str, name: &str) -> String {
    format!("{group}.{}", name.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::requirements;

    #[test]
    fn every_requirement_has_a_check_and_every_check_a_requirement() {
        let checks: BTreeSet<_> = TABLE
            .iter()
            .map(|(group, name, _)| id(group, name))
            .collect();
        let required = requirements::of_servers().iter().map(|it| it.id.clone());
        let required: BTreeSet<_> = required.collect();
        let unchecked: Vec<_> = required.difference(&checks).collect();
        assert!(unchecked.is_empty(), "nothing checks {unchecked:?}");
        let baseless: Vec<_> = checks.difference(&required).collect();
        assert!(baseless.is_empty(), "nothing requires {baseless:?}");
        assert_eq!(required.len(), requirements::of_servers().len());
        assert_eq!(checks.len(), TABLE.len());
    }
}
