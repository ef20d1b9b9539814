//! Work that is going on: an attempt, with its deadline, or a wait. Owns timeouts and panics, so
//! that whatever a component does ends as a result.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::plan::StepIdx;
use stepflow_store::journal::Class;
use tokio::task::coop::unconstrained;
use tokio::time::Sleep;

use crate::clock::Timer;
use crate::component::{Completion, Components, Failure, Invocation};

type Execution = BoxFuture<'static, Result<Completion, Failure>>;

/// Work that is going on.
pub(super) enum Work {
    Attempt {
        step: StepIdx,
        attempt: u32,
        execution: Execution,
        timer: Option<(Duration, Timer)>,
    },
    Wait {
        step: StepIdx,
        sleep: Pin<Box<Sleep>>,
    },
}

/// Work that has ended.
pub(super) enum Done {
    Attempt {
        step: StepIdx,
        attempt: u32,
        result: Result<Completion, Failure>,
    },
    Waited {
        step: StepIdx,
    },
}

impl Work {
    /// A wait before another attempt.
    pub(super) fn wait(step: StepIdx, length: Duration) -> Work {
        Work::Wait {
            step,
            sleep: Box::pin(tokio::time::sleep(length)),
        }
    }

    /// An attempt, handed to its component by this very call.
    pub(super) fn attempt(
        step: StepIdx,
        attempt: u32,
        components: &dyn Components,
        invocation: Invocation,
    ) -> Work {
        let timer = invocation
            .deadline
            .map(|limit| (limit, invocation.clock.timer(limit)));
        let execution = catch_unwind(AssertUnwindSafe(|| components.execute(invocation)))
            .unwrap_or_else(|panic| Box::pin(std::future::ready(Err(panicked(&*panic)))));
        Work::Attempt {
            step,
            attempt,
            execution,
            timer,
        }
    }
}

impl Future for Work {
    type Output = Done;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Done> {
        match self.get_mut() {
            Work::Wait { step, sleep } => sleep
                .as_mut()
                .poll(context)
                .map(|()| Done::Waited { step: *step }),
            Work::Attempt {
                step,
                attempt,
                execution,
                timer,
            } => {
                let result = match poll_execution(execution, context) {
                    Poll::Pending => match timer {
                        // Work that took all of its turn leaves nothing of it for the time, which has to end it.
                        Some((limit, timer)) => {
                            let is_up = Pin::new(&mut unconstrained(timer)).poll(context);
                            is_up.map(|()| Err(timed_out(*limit)))
                        }
                        None => Poll::Pending,
                    },
                    ready => ready,
                };
                result.map(|result| Done::Attempt {
                    step: *step,
                    attempt: *attempt,
                    result,
                })
            }
        }
    }
}

fn poll_execution(
    execution: &mut Execution,
    context: &mut Context<'_>,
) -> Poll<Result<Completion, Failure>> {
    // One broken component costs its own step. Its future is not polled again after a panic.
    catch_unwind(AssertUnwindSafe(|| execution.as_mut().poll(context)))
        .unwrap_or_else(|panic| Poll::Ready(Err(panicked(&*panic))))
}

fn timed_out(limit: Duration) -> Failure {
    let message = format!("there was no answer within {limit:?}");
    Failure::new(Class::TimedOut, ErrorCode::TIMEOUT.error(message))
}

fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let error = ErrorCode::INTERNAL.error(format!("the component panicked: {text}"));
    Failure::new(Class::Component, error)
}
