//! `routes`: from paths of components to plugins.

use stepflow_components::Options;
use stepflow_components::options::Condition;
use stepflow_components::options::Route;
use stepflow_components::options::Rule;
use stepflow_components::routes::RouteError;
use stepflow_components::routes::Routes;
use stepflow_flow::diagnostic::Code;
use stepflow_flow::document::Fields;
use stepflow_flow::document::Node;
use stepflow_flow::document::Object;
use stepflow_flow::document::nearest;
use stepflow_flow::path::Path;

use super::read::Reader;
use super::shapes;

/// Reads all routes; `options` has the plugins already.
pub fn read(reader: &mut Reader<'_>, routes: &Object, options: &Options) -> Vec<Route> {
    let mut all = Vec::new();
    for (pattern, entry) in routes.iter() {
        let Some(items) = entry.node.as_list() else {
            let message = format!(
                "the route {pattern:?} must be a list of rules, and this is {}",
                entry.node.type_name()
            );
            let found = reader
                .diagnostics
                .error(Code::WrongType, entry.node.span, message);
            found.hint("write `- plugin: name` below it, or `[{ plugin: name }]` after it");
            continue;
        };
        if items.is_empty() {
            let message = format!("the route {pattern:?} has no rules, so it leads nowhere");
            let found = reader
                .diagnostics
                .error(Code::BadValue, entry.node.span, message);
            found.hint("add a rule: `- plugin: name`");
        }
        let rules = items
            .iter()
            .filter_map(|item| rule(reader, item, options))
            .collect();
        all.push(Route {
            pattern: pattern.to_string(),
            rules,
        });
    }
    check_patterns(reader, routes, &all, options);
    all
}

fn rule(reader: &mut Reader<'_>, node: &Node, options: &Options) -> Option<Rule> {
    let mut fields = Fields::of(node, &shapes::RULE, &mut reader.diagnostics)?;
    let plugin_node = fields.require("plugin", &mut reader.diagnostics);
    let plugin = reader.text_of(&mut fields, "plugin");
    if let (Some(plugin), Some(node)) = (&plugin, plugin_node) {
        check_plugin(reader, plugin, node, options);
    }
    let component = reader
        .text_of(&mut fields, "component")
        .map(|text| text.to_string());
    let conditions = fields
        .list("conditions", &mut reader.diagnostics)
        .unwrap_or_default();
    let conditions = conditions
        .iter()
        .filter_map(|node| condition(reader, node))
        .collect();
    let component_allow = texts(reader, &mut fields, "componentAllow");
    let component_deny = texts(reader, &mut fields, "componentDeny").unwrap_or_default();
    fields.finish(&mut reader.diagnostics);
    Some(Rule {
        plugin: plugin?.to_string(),
        component,
        conditions,
        component_allow,
        component_deny,
    })
}

fn check_plugin(reader: &mut Reader<'_>, plugin: &str, node: &Node, options: &Options) {
    if options.plugins.contains_key(plugin) {
        return;
    }
    let known = || options.plugins.keys().map(String::as_str);
    let hint = match nearest(plugin, known()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!(
            "the plugins are: {}",
            known().collect::<Vec<_>>().join(", ")
        ),
    };
    let message = format!("there is no plugin {plugin:?}");
    reader
        .diagnostics
        .error(Code::BadValue, node.span, message)
        .hint(hint);
}

fn condition(reader: &mut Reader<'_>, node: &Node) -> Option<Condition> {
    let mut fields = Fields::of(node, &shapes::CONDITION, &mut reader.diagnostics)?;
    let path_node = fields.require("path", &mut reader.diagnostics);
    let path = reader.text_of(&mut fields, "path");
    let path = path.and_then(|text| match Path::parse(&text) {
        Ok(path) => Some(path),
        Err(error) => {
            let span = path_node.map_or_else(|| fields.span(), |node| node.span);
            let found = reader.diagnostics.error(
                Code::BadPath,
                span,
                format!("{text:?} is no path: {error}"),
            );
            found.hint("write a path into the step's input, such as `$.model`");
            None
        }
    });
    // Null is a value to compare with.
    let value = fields.take_value("value");
    if value.is_none() {
        fields.require("value", &mut reader.diagnostics);
    }
    fields.finish(&mut reader.diagnostics);
    Some(Condition {
        path: path?,
        value: value?.to_value(),
    })
}

fn texts(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    key: &'static str,
) -> Option<Vec<String>> {
    let items = fields.list(key, &mut reader.diagnostics)?;
    let texts = items
        .iter()
        .filter_map(|item| reader.text(item, "a component's path"));
    Some(texts.map(|text| text.to_string()).collect())
}

/// What a pattern may look like is known to the routes themselves.
fn check_patterns(reader: &mut Reader<'_>, routes: &Object, all: &[Route], options: &Options) {
    let options = Options {
        routes: all.to_vec(),
        ..options.clone()
    };
    for error in Routes::compile(&options).err().unwrap_or_default() {
        // Unknown plugins are reported already, each where it stands.
        if let RouteError::Pattern { pattern, why } = &error
            && let Some((_, entry)) = routes.iter().find(|(name, _)| ***name == **pattern)
        {
            let message = format!("the route {pattern:?} {why}");
            let found = reader
                .diagnostics
                .error(Code::BadValue, entry.key_span, message);
            found.hint("write a path such as \"/python/{*component}\"");
        }
    }
}
