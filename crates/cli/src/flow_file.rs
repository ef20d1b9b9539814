//! A flow's file: read, checked, and checked again against the components that are there.

use std::path::Path;
use std::sync::Arc;

use stepflow_components::builtin;
use stepflow_components::mock;
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
use stepflow_flow::overrides;
use stepflow_flow::plan;
use stepflow_flow::plan::ComponentSchemas;
use stepflow_flow::plan::Known;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;
use stepflow_protocol::component::ComponentInfo;

use crate::config::Config;
use crate::json_text;
use crate::report::CliError;
use crate::report::Found;
use crate::report::words;
use crate::secrets::Secrets;
use crate::secrets::of_flow;

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

/// Checks the text, and with a config that its components lead somewhere.
pub fn check(source: &Arc<Source>, config: Option<&Config>, secrets: &Secrets) -> Checked {
    check_with(source, config, &|_| None, secrets)
}

/// The same where component servers have told something of their components.
pub fn check_with(
    source: &Arc<Source>,
    config: Option<&Config>,
    told: &Known<'_>,
    secrets: &Secrets,
) -> Checked {
    let offer = config.and_then(Offer::new);
    let known = |path: &str| told(path).or_else(|| offer.as_ref()?.schemas(path));
    let plan::Checked { plan, diagnostics } = plan::check_with(source, &known);
    of_flow::remember_written(source, secrets);
    let mut all: Vec<Diagnostic> = diagnostics.into_iter().collect();
    if let Some(offer) = &offer {
        all.extend(check_components(source, plan.as_ref(), offer));
        all.sort_by_key(|found| found.location.span.start());
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

/// What is known of a component of this config without starting a server.
pub fn schemas(config: &Config, path: &str) -> Option<ComponentSchemas> {
    Offer::new(config)?.schemas(path)
}

/// The flow with its steps changed, as a text of its own, to be checked as the flow itself was.
pub fn with_overrides(plan: &Plan, name: &str, changes: &Value) -> Result<Arc<Source>, CliError> {
    let changed = overrides::apply(plan.flow(), changes)
        .map_err(|error| CliError::invalid("the overrides cannot be applied").because(error))?;
    let text = json_text::indented(changed.as_text());
    Ok(Source::new(&format!("{name} with overrides"), text))
}

/// The flow is read a second time for the places of its components, and only if there is something to say.
fn check_components(source: &Arc<Source>, plan: Option<&Plan>, offer: &Offer<'_>) -> Diagnostics {
    let mut found = Diagnostics::new(source);
    let is_sound = |plan: &Plan| {
        let mut steps = plan.steps().iter();
        steps.all(|step| {
            offer.problem(&step.component).is_none() && !may_hold_a_flow(&step.component)
        })
    };
    if plan.is_some_and(is_sound) {
        return found;
    }
    if let Some(flow) = Flow::read(source, &mut Diagnostics::new(source)) {
        check_components_of(&flow, offer, &mut found);
    }
    found
}

/// Whether a step with this component may have a flow inside its input.
fn may_hold_a_flow(component: &str) -> bool {
    matches!(
        component,
        "/builtin/eval" | "/builtin/map" | "/builtin/iterate"
    )
}

/// The components of a flow and of the flows inside it.
fn check_components_of(flow: &Flow, offer: &Offer<'_>, found: &mut Diagnostics) {
    for step in &flow.steps {
        if let Some(problem) = offer.problem(&step.component) {
            found.enter_step(Some(&step.id));
            let place = step.component_span;
            let error = found.error(Code::BadComponent, place, problem.message);
            error.hint(problem.hint);
        }
        if let Some(inner) = &step.subflow {
            check_components_of(inner, offer, found);
        }
    }
}

/// What can be known of the components without starting a server.
struct Offer<'o> {
    options: &'o Options,
    has_file: bool,
    routes: Routes,
    builtins: Vec<ComponentInfo>,
}

/// Why a component cannot run here.
struct Problem {
    message: String,
    hint: String,
}

impl<'o> Offer<'o> {
    fn new(config: &'o Config) -> Option<Offer<'o>> {
        let options = &config.components;
        // Routes that cannot be used are reported with the config.
        let routes = Routes::compile(options).ok()?;
        let builtins = builtin::all();
        let builtins = builtins.iter().map(|it| it.info().clone());
        Some(Offer {
            options,
            has_file: config.file.is_some(),
            routes,
            builtins: builtins.collect(),
        })
    }

    fn problem(&self, path: &str) -> Option<Problem> {
        if path.is_empty() {
            // The reader has reported it.
            return None;
        }
        if !self.routes.reaches(path) {
            return Some(Problem {
                message: format!("no route leads from {path} to a plugin"),
                hint: self.way_in(path),
            });
        }
        // A route with conditions may lead elsewhere once there is an input.
        let target = self.routes.find(path, &Value::null())?;
        let plugin = self.options.plugins.get(target.plugin);
        let is_builtin = matches!(plugin, Some(Plugin::Builtin));
        is_builtin.then(|| self.no_builtin(&target.component))?
    }

    /// The schemas of a component that needs no server. A route with conditions may lead elsewhere, so it tells nothing.
    fn schemas(&self, path: &str) -> Option<ComponentSchemas> {
        let target = self.routes.find(path, &Value::null())?;
        let (input, output) = match self.options.plugins.get(target.plugin)? {
            Plugin::Builtin => {
                let name = Offer::builtin_name(&target.component);
                let info = self.builtins.iter().find(|it| it.component == name)?;
                (info.input_schema.clone(), info.output_schema.clone())
            }
            Plugin::Mock(options) => {
                let component = mock::find(options, path, &target.component)?;
                (
                    component.input_schema.clone(),
                    component.output_schema.clone(),
                )
            }
            Plugin::Stdio(_) | Plugin::Http(_) | Plugin::Mcp(_) => return None,
        };
        Some(ComponentSchemas { input, output })
    }

    /// Under `/{*component}` a bare name keeps the `/builtin` that it stands for.
    fn builtin_name(component: &str) -> &str {
        component.strip_prefix("/builtin").unwrap_or(component)
    }

    /// What to add to the config.
    fn way_in(&self, path: &str) -> String {
        let mut plugins = self.options.plugins.iter();
        let has_builtins = plugins.any(|(_, plugin)| matches!(plugin, Plugin::Builtin));
        if path.starts_with("/builtin/") && !has_builtins {
            return "add `builtin: { type: builtin }` to `plugins` in the config".to_owned();
        }
        if !self.has_file {
            return "there is no config beside the flow or in the current folder: write a stepflow-config.yml with the plugin, or name one with --config".to_owned();
        }
        let names: Vec<_> = self.options.plugins.keys().map(String::as_str).collect();
        let rest = path.trim_start_matches('/');
        let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
        if self.options.routes.is_empty() {
            // Every plugin has a route of its own name.
            return match nearest(first, names.iter().copied()) {
                Some(near) => format!("did you mean /{near}/{rest}?"),
                None => format!(
                    "a path begins with the name of a plugin; there are: {}",
                    names.join(", ")
                ),
            };
        }
        let names = names.join(", ");
        format!("add it to `routes` in the config; the plugins are: {names}")
    }

    fn no_builtin(&self, component: &str) -> Option<Problem> {
        let name = Offer::builtin_name(component);
        if self.builtins.iter().any(|known| known.component == name) {
            return None;
        }
        let known = || {
            self.builtins
                .iter()
                .map(|it| it.component.trim_start_matches('/'))
        };
        let name = name.trim_start_matches('/');
        let hint = match nearest(name, known()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
        };
        Some(Problem {
            message: format!("there is no built-in component {name:?}"),
            hint,
        })
    }
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
