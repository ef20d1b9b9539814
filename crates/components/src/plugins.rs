//! The port that the engine calls: finds the plugin a component's path leads to and runs it there. Owns all plugins of a
//! runtime and their end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use indexmap::IndexMap;
use stepflow_engine::Class;
use stepflow_engine::Completion;
use stepflow_engine::Components;
use stepflow_engine::Failure;
use stepflow_engine::Invocation;
use stepflow_flow::document::nearest;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::value::Value;
use stepflow_protocol::component::ComponentInfo;
use stepflow_store::Store;

use crate::builtin;
use crate::builtin::Builtin;
use crate::builtin::Checks;
use crate::mcp::Mcp;
use crate::mock;
use crate::options;
use crate::options::Options;
use crate::options::Validate;
use crate::remote;
use crate::remote::Remote;
use crate::routes::RouteError;
use crate::routes::Routes;
use crate::schemas;
use crate::schemas::Schemas;

/// Every plugin of a runtime, behind its routes.
#[derive(Clone, Debug)]
pub struct Plugins {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    routes: Routes,
    plugins: IndexMap<String, Plugin>,
    validate: Validate,
    load_file: Arc<options::LoadFile>,
}

#[derive(Debug)]
enum Plugin {
    Local(Local),
    Remote(Arc<Remote>),
    Mcp(Arc<Mcp>),
}

/// A plugin that runs in this process.
#[derive(Debug)]
struct Local {
    kind: Kind,
    schemas: Schemas,
}

#[derive(Debug)]
enum Kind {
    Builtin(HashMap<String, Builtin>),
    Mock(options::Mock),
}

/// What a plugin offers, or why that is not known.
#[derive(Debug)]
pub struct Listing {
    /// The plugin's name.
    pub plugin: String,
    /// Its components, each with the paths that lead to it.
    pub components: Result<Vec<(Vec<String>, ComponentInfo)>, Failure>,
}

impl Plugins {
    /// Makes the plugins; component servers are started when they are first needed. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Every mistake in the routes.
    pub fn new(options: Options, store: Store) -> Result<Plugins, Vec<RouteError>> {
        let routes = Routes::compile(&options)?;
        let shared = remote::Shared {
            store,
            guard: Arc::new(OnceLock::new()),
            version: options.version.as_str().into(),
            validate: options.validate,
            tap: None,
        };
        let plugins = options
            .plugins
            .iter()
            .map(|(name, plugin)| (name.clone(), make(name, plugin, &shared)))
            .collect();
        let load_file = Arc::new(options.load_file);
        Ok(Plugins {
            inner: Arc::new(Inner {
                routes,
                plugins,
                validate: options.validate,
                load_file,
            }),
        })
    }

    /// Which paths lead where.
    pub fn routes(&self) -> &Routes {
        &self.inner.routes
    }

    /// What every plugin offers, asked all at once.
    pub async fn list(&self) -> Vec<Listing> {
        let all = self
            .inner
            .plugins
            .iter()
            .map(|(name, plugin)| self.list_one(name, plugin));
        futures_util::future::join_all(all).await
    }

    async fn list_one(&self, name: &str, plugin: &Plugin) -> Listing {
        let components = match plugin {
            Plugin::Remote(remote) => remote.list().await,
            Plugin::Mcp(mcp) => mcp.list().await,
            Plugin::Local(local) => Ok(local.list()),
        };
        let with_paths =
            |info: ComponentInfo| (self.inner.routes.paths_to(name, &info.component), info);
        let components = components.map(|list| list.into_iter().map(with_paths).collect());
        Listing {
            plugin: name.to_owned(),
            components,
        }
    }

    /// Ends all component servers and waits until their processes are gone.
    pub async fn shut_down(&self) {
        let shut_down = async |plugin: &Plugin| match plugin {
            Plugin::Remote(remote) => remote.shut_down().await,
            Plugin::Mcp(mcp) => mcp.shut_down().await,
            Plugin::Local(_) => {}
        };
        futures_util::future::join_all(self.inner.plugins.values().map(shut_down)).await;
    }
}

fn make(name: &str, plugin: &options::Plugin, shared: &remote::Shared) -> Plugin {
    match plugin {
        options::Plugin::Builtin => {
            let table = builtin::all()
                .into_iter()
                .map(|it| (it.info().component.clone(), it))
                .collect();
            Plugin::Local(Local::new(name, Kind::Builtin(table)))
        }
        options::Plugin::Mock(mock) => Plugin::Local(Local::new(name, Kind::Mock(mock.clone()))),
        options::Plugin::Stdio(stdio) => {
            Plugin::Remote(Arc::new(Remote::stdio(name, stdio, shared)))
        }
        options::Plugin::Http(http) => Plugin::Remote(Arc::new(Remote::http(name, http, shared))),
        options::Plugin::Mcp(mcp) => Plugin::Mcp(Arc::new(Mcp::new(name, mcp, shared))),
    }
}

impl Components for Plugins {
    fn execute(&self, invocation: Invocation) -> BoxFuture<'static, Result<Completion, Failure>> {
        let Some(target) = self
            .inner
            .routes
            .find(&invocation.component, &invocation.input)
        else {
            return std::future::ready(Err(self.unroutable(&invocation.component))).boxed();
        };
        let component = target.component;
        match &self.inner.plugins[target.plugin] {
            Plugin::Local(local) => local.execute(&self.inner, &component, invocation),
            Plugin::Remote(remote) => {
                let remote = Arc::clone(remote);
                async move { remote.execute(&component, invocation).await }.boxed()
            }
            Plugin::Mcp(mcp) => {
                let mcp = Arc::clone(mcp);
                async move { mcp.execute(&component, invocation).await }.boxed()
            }
        }
    }

    fn resends_unknown(&self, component: &str) -> bool {
        let target = self.inner.routes.find(component, &Value::null());
        match target.map(|target| &self.inner.plugins[target.plugin]) {
            Some(Plugin::Remote(remote)) => remote.resends_unknown(),
            Some(Plugin::Mcp(mcp)) => mcp.resends_unknown(),
            Some(Plugin::Local(_)) | None => true,
        }
    }
}

impl Plugins {
    fn unroutable(&self, path: &str) -> Failure {
        let plugins = self
            .inner
            .plugins
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let message = format!(
            "no route leads from `{path}` to a plugin (plugins: {plugins}); check `routes`"
        );
        Failure::new(
            Class::Refused,
            ErrorCode::COMPONENT_NOT_FOUND.error(message),
        )
    }
}

impl Local {
    fn new(name: &str, kind: Kind) -> Self {
        let mut local = Local {
            kind,
            schemas: Schemas::default(),
        };
        local.schemas = Schemas::compile(name, &local.list());
        local
    }

    fn list(&self) -> Vec<ComponentInfo> {
        match &self.kind {
            Kind::Mock(mock) => mock::list(mock),
            Kind::Builtin(table) => {
                let mut list: Vec<_> = table
                    .values()
                    .map(|builtin| builtin.info().clone())
                    .collect();
                list.sort_by(|left, right| left.component.cmp(&right.component));
                list
            }
        }
    }

    fn execute(
        &self,
        inner: &Inner,
        component: &str,
        invocation: Invocation,
    ) -> BoxFuture<'static, Result<Completion, Failure>> {
        // A route such as `/{*component}` leaves a built-in with its full path.
        let component = match &self.kind {
            Kind::Builtin(_) => component.strip_prefix("/builtin").unwrap_or(component),
            Kind::Mock(_) => component,
        };
        let checked = schemas::check(
            self.schemas
                .input(component)
                .filter(|_| !self.reads_by_itself(component)),
            &invocation.input,
            inner.validate.input,
            "input",
            &invocation.component,
        );
        if let Err(failure) = checked {
            return std::future::ready(Err(failure)).boxed();
        }
        match &self.kind {
            Kind::Builtin(table) => match table.get(component) {
                Some(builtin) => {
                    let load_file = Arc::clone(&inner.load_file);
                    builtin.execute(builtin::Context {
                        invocation,
                        load_file,
                    })
                }
                None => std::future::ready(Err(self.not_found(component))).boxed(),
            },
            Kind::Mock(mock) => {
                let outcome = mock::find(mock, &invocation.component, component)
                    .ok_or_else(|| self.not_found(component))
                    .and_then(|found| {
                        mock::execute(found, &invocation.component, &invocation.input)
                    });
                std::future::ready(outcome).boxed()
            }
        }
    }

    fn reads_by_itself(&self, component: &str) -> bool {
        match &self.kind {
            Kind::Builtin(table) => table
                .get(component)
                .is_some_and(|builtin| builtin.checks() == Checks::ByItself),
            Kind::Mock(_) => false,
        }
    }

    fn not_found(&self, component: &str) -> Failure {
        let known: Vec<_> = self.list().into_iter().map(|info| info.component).collect();
        let nearest = nearest(component, known.iter().map(String::as_str));
        let hint = nearest.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"));
        let message = format!("there is no component `{component}`{hint}");
        let mut error = ErrorCode::COMPONENT_NOT_FOUND.error(message);
        let data = serde_json::json!({ "component": component, "nearest": nearest.as_slice() });
        error.data = Some(Value::from(data));
        Failure::new(Class::Refused, error)
    }
}
