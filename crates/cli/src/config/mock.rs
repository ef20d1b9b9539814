//! Plugins of `type: mock`: components with fixed answers, for tests of flows.

use stepflow_components::options::Behavior;
use stepflow_components::options::Mock;
use stepflow_components::options::MockComponent;
use stepflow_components::options::Plugin;
use stepflow_flow::diagnostic::Code;
use stepflow_flow::document::Fields;
use stepflow_flow::document::Node;
use stepflow_flow::document::Object;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::schema::Schema;
use stepflow_flow::value::Value;

use super::read::Reader;
use super::shapes;

/// Reads the keys of a mock plugin.
pub fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Plugin {
    fields.narrow(&shapes::MOCK);
    let mut mock = Mock::default();
    fields.require("components", &mut reader.diagnostics);
    let components = fields.object("components", &mut reader.diagnostics);
    for (path, entry) in components.into_iter().flat_map(|all| all.iter()) {
        if let Some(component) = component(reader, &entry.node) {
            mock.components.insert(path.to_string(), component);
        }
    }
    Plugin::Mock(mock)
}

fn component(reader: &mut Reader<'_>, node: &Node) -> Option<MockComponent> {
    let mut fields = Fields::of(node, &shapes::MOCK_COMPONENT, &mut reader.diagnostics)?;
    let input_schema = schema(reader, &mut fields, "inputSchema");
    let output_schema = schema(reader, &mut fields, "outputSchema");
    fields.require("behaviors", &mut reader.diagnostics);
    let behaviors = fields.object("behaviors", &mut reader.diagnostics);
    let behaviors = behaviors
        .map(|all| behaviors_of(reader, all))
        .unwrap_or_default();
    fields.finish(&mut reader.diagnostics);
    Some(MockComponent {
        input_schema,
        output_schema,
        behaviors,
    })
}

fn schema(reader: &mut Reader<'_>, fields: &mut Fields<'_>, key: &'static str) -> Option<Value> {
    let node = fields.take(key)?;
    let value = node.to_value();
    if let Err(error) = Schema::compile(&value) {
        let message = format!("{key:?} cannot be used: {error}");
        reader
            .diagnostics
            .error(Code::BadSchema, node.span, message)
            .hint("it must be a JSON Schema");
    }
    Some(value)
}

fn behaviors_of(reader: &mut Reader<'_>, behaviors: &Object) -> Vec<(Value, Behavior)> {
    let mut all = Vec::new();
    for (input, entry) in behaviors.iter() {
        let input = Value::parse(input).map_err(|error| {
            let message = format!("the input of a behavior must be JSON text: {error}");
            let found = reader
                .diagnostics
                .error(Code::BadValue, entry.key_span, message);
            found.hint("write the whole input in quotes: '{\"a\": 1}'");
        });
        let behavior = behavior(reader, &entry.node);
        if let (Ok(input), Some(behavior)) = (input, behavior) {
            all.push((input, behavior));
        }
    }
    all
}

fn behavior(reader: &mut Reader<'_>, node: &Node) -> Option<Behavior> {
    let mut fields = Fields::read(node, "a behavior", &mut reader.diagnostics)?;
    if fields.take("error").is_some() {
        fields.narrow(&shapes::FAILS);
        let message = reader.text_of(&mut fields, "error");
        fields.finish(&mut reader.diagnostics);
        return message.map(|message| Behavior::Error(message.to_string()));
    }
    let outcome = fields.require("outcome", &mut reader.diagnostics)?;
    let is_skip = outcome.as_str().is_some_and(|word| &**word == "skipped");
    fields.narrow(if is_skip {
        &shapes::SKIPS
    } else {
        &shapes::SUCCEEDS
    });
    fields.finish(&mut reader.diagnostics);
    match node.to_value().deserialize::<Outcome>() {
        Ok(outcome) => Some(Behavior::Outcome(outcome)),
        Err(error) => {
            let message = format!("this is no outcome: {error}");
            let found = reader.diagnostics.error(Code::BadValue, node.span, message);
            found.hint("write {outcome: success, result: …}, {outcome: skipped} or {error: \"…\"}");
            None
        }
    }
}
