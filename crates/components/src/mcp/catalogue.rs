//! What an MCP server offers, kept until it says that this has changed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rmcp::model::Tool;
use stepflow_flow::value::Value;
use stepflow_protocol::component::ComponentInfo;
use tokio::sync::OnceCell;

use crate::schemas::Schemas;

/// The tools of a server, and the schemas of what goes in and comes out.
#[derive(Debug)]
pub(super) struct Tools {
    names: HashSet<String>,
    pub(super) schemas: Schemas,
}

impl Tools {
    pub(super) fn compile(plugin: &str, list: &[ComponentInfo]) -> Tools {
        Tools {
            names: list.iter().map(|info| info.component.clone()).collect(),
            schemas: Schemas::compile(plugin, list),
        }
    }

    /// Whether there is a tool behind this component.
    pub(super) fn offer(&self, component: &str) -> bool {
        self.names.contains(component)
    }

    /// Their components, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// A list that is being asked for, or was; `None` when the server did not tell.
type Asked = Arc<OnceCell<Option<Arc<Tools>>>>;

/// The present list. Whoever still uses an older one finishes with that.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    current: Mutex<Asked>,
}

impl Catalogue {
    /// The tools; `ask` runs where nobody has asked since the last change.
    pub(super) async fn tools(
        &self,
        ask: impl AsyncFnOnce() -> Option<Arc<Tools>>,
    ) -> Option<Arc<Tools>> {
        let asked = Arc::clone(&self.lock());
        asked.get_or_init(|| ask()).await.clone()
    }

    /// The server says that its list is another now.
    pub(super) fn has_changed(&self) {
        *self.lock() = Asked::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tool as a component.
pub(super) fn component(tool: &Tool) -> ComponentInfo {
    let schema = |schema: &Arc<rmcp::model::JsonObject>| {
        Value::from(serde_json::Value::Object((**schema).clone()))
    };
    let description = tool.description.as_deref().or(tool.title.as_deref());
    ComponentInfo {
        component: format!("/{}", tool.name),
        description: description.map(str::to_owned),
        input_schema: Some(schema(&tool.input_schema)),
        output_schema: tool.output_schema.as_ref().map(schema),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_list_is_asked_for_once_and_again_after_a_change() {
        let catalogue = Catalogue::default();
        let asked = std::cell::Cell::new(0);
        let ask = async || {
            asked.set(asked.get() + 1);
            None
        };
        for (change, times) in [(false, 1), (false, 1), (true, 2), (false, 2)] {
            if change {
                catalogue.has_changed();
            }
            assert!(catalogue.tools(&ask).await.is_none());
            assert_eq!(asked.get(), times);
        }
    }
}
