//! Steps that are not run: their outcome is given by the test. All others go where they always go.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use stepflow_components::Plugins;
use stepflow_engine::Class;
use stepflow_engine::Completion;
use stepflow_engine::Components;
use stepflow_engine::Failure;
use stepflow_engine::Invocation;
use stepflow_flow::outcome::Outcome;

/// The plugins, with some steps of the flow under test taken out.
pub struct Mocked {
    /// Who runs the other steps.
    pub plugins: Plugins,
    /// By the id of the step.
    pub mocks: Vec<(Arc<str>, Outcome)>,
}

impl Components for Mocked {
    fn execute(&self, invocation: Invocation) -> BoxFuture<'static, Result<Completion, Failure>> {
        // The steps of flows inside the flow have names of their own.
        let is_own = invocation.depth == 0;
        let mut mocks = self.mocks.iter().filter(|_| is_own);
        match mocks.find(|(step, _)| *step == invocation.step_id) {
            Some((_, outcome)) => std::future::ready(end(outcome)).boxed(),
            None => self.plugins.execute(invocation),
        }
    }

    fn resends_unknown(&self, component: &str) -> bool {
        self.plugins.resends_unknown(component)
    }
}

fn end(outcome: &Outcome) -> Result<Completion, Failure> {
    match outcome {
        Outcome::Success(result) => Ok(Completion::Output(result.clone())),
        Outcome::Skipped { reason } => Ok(Completion::Skipped {
            reason: reason.clone(),
        }),
        Outcome::Failed(error) => Err(Failure::new(Class::Component, error.clone())),
    }
}
