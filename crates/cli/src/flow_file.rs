//! A flow's file: read, checked, and checked again against the components that are there.

use std::path::Path;
use std::sync::Arc;

use stepflow_components::builtin;
use stepflow_components::options::Options;
use stepflow_components::options::Plugin;
use stepflow_components::routes::Routes;
use stepflow_flow::diagnostic::Code;
use stepflow_flow::diagnostic::Diagnostic;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::diagnostic::Severity;
use stepflow_flow::document::Source;
use stepflow_flow::document::nearest;
use stepflow_flow::flow::Flow;
use stepflow_flow::flow::Step;
use stepflow_flow::plan;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;

use crate::report::CliError;
use crate::report::Found;
use crate::report::words;

/// A flow and everything that was found in it.
#[derive(Debug)]
pub struct Checked {
    /// What can be run, if there is no error.
    pub plan: Option<Plan>,
    /// What was found.
    pub found: Found,
}

/// Reads the text.
pub fn read(path: &Path) -> Result<Arc<Source>, CliError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| words::unreadable("the flow", path, error))?;
    Ok(Source::new(&path.display().to_string(), text))
}

/// Checks the text, and with options that its components lead somewhere.
pub fn check(source: &Arc<Source>, options: Option<&Options>) -> Checked {
    let plan::Checked { plan, diagnostics } = plan::check(source);
    let mut all: Vec<Diagnostic> = diagnostics.into_iter().collect();
    let routes = options.and_then(|options| Some((options, Routes::compile(options).ok()?)));
    if let Some((options, routes)) = routes {
        all.extend(check_components(source, plan.as_ref(), options, &routes));
        all.sort_by_key(|found| found.location.span.start);
    }
    let is_sound = !all.iter().any(|found| found.severity == Severity::Error);
    Checked {
        plan: plan.filter(|_| is_sound),
        found: Found {
            source: Arc::clone(source),
            diagnostics: all,
        },
    }
}

/// The flow is read a second time for the places of its components, and only if there is something to say.
fn check_components(
    source: &Arc<Source>,
    plan: Option<&Plan>,
    options: &Options,
    routes: &Routes,
) -> Diagnostics {
    let mut found = Diagnostics::new(source);
    let is_sound = |plan: &Plan| {
        plan.steps()
            .iter()
            .all(|step| problem(&step.component, options, routes).is_none())
    };
    if plan.is_some_and(is_sound) {
        return found;
    }
    let Some(flow) = Flow::read(source, &mut Diagnostics::new(source)) else {
        return found;
    };
    for step in &flow.steps {
        if let Some(problem) = problem(&step.component, options, routes) {
            report(step, &problem, &mut found);
        }
    }
    found
}

fn report(step: &Step, problem: &Problem, found: &mut Diagnostics) {
    let place = step.component_span;
    found.enter_step(Some(&step.id));
    found
        .error(Code::BadComponent, place, &*problem.message)
        .hint(&*problem.hint);
}

/// Why a component cannot run here.
struct Problem {
    message: String,
    hint: String,
}

fn problem(path: &str, options: &Options, routes: &Routes) -> Option<Problem> {
    if path.is_empty() {
        // The reader has reported it.
        return None;
    }
    if !routes.reaches(path) {
        let plugins: Vec<_> = options.plugins.keys().map(String::as_str).collect();
        return Some(Problem {
            message: format!("no route leads from {path} to a plugin"),
            hint: format!(
                "add it to `routes` in the config; the plugins are: {}",
                plugins.join(", ")
            ),
        });
    }
    // A route with conditions may lead elsewhere once there is an input.
    let target = routes.find(path, &Value::null())?;
    if !matches!(options.plugins.get(target.plugin), Some(Plugin::Builtin)) {
        return None;
    }
    let known = builtin::all();
    let known: Vec<&str> = known
        .iter()
        .map(|it| it.info().component.as_str())
        .collect();
    if known.contains(&target.component.as_str()) {
        return None;
    }
    let hint = match nearest(&target.component, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("the built-ins are: {}", known.join(", ")),
    };
    Some(Problem {
        message: format!("there is no built-in component {}", target.component),
        hint,
    })
}

impl Checked {
    /// The plan, or everything that was found as an error.
    pub fn into_plan(self) -> Result<(Plan, Found), CliError> {
        match self.plan {
            Some(plan) => Ok((plan, self.found)),
            None => {
                let count = crate::report::diagnostics::count(std::slice::from_ref(&self.found));
                let message = format!(
                    "the flow {} cannot be run: {count}",
                    self.found.source.name()
                );
                Err(CliError::invalid(message).found(self.found))
            }
        }
    }
}
