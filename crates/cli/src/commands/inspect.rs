//! `stepflow inspect`: one component server without a config: what it is, what it offers, what it does when called.

mod prompt;
mod show;
mod target;
mod watch;

use std::io;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use stepflow_components::remote::inspection::About;
use stepflow_components::remote::inspection::Inspection;
use stepflow_components::remote::inspection::Target;
use stepflow_engine::Completion;
use stepflow_flow::error::FlowError;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;
use stepflow_protocol::component::ComponentInfo;

use super::Context;
use super::run::error_without_secrets;
use super::run::without_secrets;
use crate::args::Inspect;
use crate::drive;
use crate::input;
use crate::output;
use crate::progress;
use crate::report::CliError;
use crate::report::Exit;
use crate::report::failure;
use crate::report::words;
use watch::Watcher;

/// A server, and the way to those who look at it.
struct Look<'c> {
    inspection: Inspection,
    watcher: Arc<Watcher>,
    /// Where the server is, without secrets; `None` for one that is started.
    url: Option<String>,
    context: &'c Context,
}

/// The components that a server lists, or why it does not.
type Listed = Result<Vec<ComponentInfo>, FlowError>;

/// Something and the time it took.
struct Timed<T> {
    it: T,
    took: Duration,
}

/// What a component was called with, and what came of it.
struct Called {
    component: String,
    outcome: Timed<Outcome>,
}

/// Looks at the server.
pub async fn inspect(args: Inspect, context: &Context) -> Result<Exit, CliError> {
    let target = target::target(&args, context)?;
    let input = match &args.input {
        Some(word) => tokio::select! {
            signal = context.signals.first() => return Err(CliError::interrupted(signal)),
            input = input::from_word("--input", word, &context.screen) => input?,
        },
        None => Value::null(),
    };
    let watcher = Arc::new(Watcher::new(context.screen.clone(), args.transcript));
    let look = Look {
        inspection: Inspection::new(
            &target,
            env!("CARGO_PKG_VERSION"),
            Arc::clone(&watcher) as _,
        ),
        watcher,
        url: match &target {
            Target::Stdio(_) => None,
            Target::Http(http) => Some(super::server::shown(&http.client.url)),
        },
        context,
    };
    let exit = tokio::select! {
        signal = context.signals.first() => Err(CliError::interrupted(signal)),
        exit = look.work(&args, input) => exit,
    };
    look.inspection.shut_down().await;
    exit
}

impl Look<'_> {
    async fn work(&self, args: &Inspect, input: Value) -> Result<Exit, CliError> {
        let began = Instant::now();
        let about = tokio::select! {
            about = self.connect() => about?,
            never = progress::wait(&self.context.screen, "connecting") => match never {},
        };
        self.watcher.connected(began.elapsed());
        if args.json {
            return self.document(&about, args.call.as_deref(), input).await;
        }
        if let Some(component) = &args.call {
            self.context.screen.tell(&self.described(&about));
            let called = self.call(component, input).await;
            return self.print_outcome(&called.outcome.it);
        }
        let listed = self.list().await;
        // Whether it answers by streams is known only now.
        let about = self.connect().await?;
        output::print(&format!(
            "{}\n{}",
            self.described(&about),
            show::list(&listed.it)
        ))?;
        if io::stdin().is_terminal() && io::stdout().is_terminal() {
            return prompt::run(self).await;
        }
        Ok(self.tell_if_unlisted(&listed.it))
    }

    async fn connect(&self) -> Result<About, CliError> {
        self.inspection.connect().await.map_err(|why| {
            let error = CliError::unreachable(&why.reason);
            let hint = self
                .url
                .as_ref()
                .and_then(|_| words::out_of_reach_by_url(&why.reason));
            hint.into_iter().fold(error, CliError::hint)
        })
    }

    async fn list(&self) -> Timed<Listed> {
        let began = Instant::now();
        let listed = self.inspection.list().await;
        let took = began.elapsed();
        let secrets = &self.context.screen.secrets;
        let listed = listed.map_err(|it| error_without_secrets(&it.error, secrets));
        self.watcher.took("components/list", took);
        Timed { it: listed, took }
    }

    /// Runs a component. A failure is explained on stderr.
    async fn call(&self, component: &str, input: Value) -> Called {
        let component = match component.starts_with('/') {
            true => component.to_owned(),
            false => format!("/{component}"),
        };
        let began = Instant::now();
        let outcome = match self.inspection.call(&component, input).await {
            Ok(Completion::Output(output)) => Outcome::Success(output),
            Ok(Completion::Skipped { reason }) => Outcome::Skipped { reason },
            Err(failure) => Outcome::Failed(failure.error),
        };
        let took = began.elapsed();
        self.watcher.took(&component, took);
        if let Outcome::Failed(error) = &outcome {
            self.context.screen.say(&failure::render_inspected(error));
        }
        let it = without_secrets(&outcome, &self.context.screen.secrets);
        Called {
            component,
            outcome: Timed { it, took },
        }
    }

    async fn document(
        &self,
        about: &About,
        component: Option<&str>,
        input: Value,
    ) -> Result<Exit, CliError> {
        let listed = self.list().await;
        let called = match component {
            Some(component) => Some(self.call(component, input).await),
            None => None,
        };
        // How they talk may have shown only now; a server that the call ended has nothing to add.
        let again = match &called {
            Some(called) if matches!(called.outcome.it, Outcome::Failed(_)) => None,
            _ => self.inspection.connect().await.ok(),
        };
        let about = again.as_ref().unwrap_or(about);
        let document = show::document(about, self.url.as_deref(), &listed, called.as_ref());
        output::print(&output::json(&document))?;
        let of_list = self.tell_if_unlisted(&listed.it);
        Ok(match called {
            Some(called) if of_list == Exit::Success => drive::exit(&called.outcome.it),
            _ => of_list,
        })
    }

    fn described(&self, about: &About) -> String {
        show::about(about, self.url.as_deref())
    }

    fn print_outcome(&self, outcome: &Outcome) -> Result<Exit, CliError> {
        output::outcome(outcome, None)?;
        Ok(drive::exit(outcome))
    }

    fn tell_if_unlisted(&self, listed: &Listed) -> Exit {
        match listed {
            Ok(_) => Exit::Success,
            Err(error) => {
                self.context.screen.say(&failure::render_inspected(error));
                Exit::Failed
            }
        }
    }
}
