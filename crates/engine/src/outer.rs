//! The run around a step, as what the step asks for sees it. Owns what outlives one attempt and ends with the run: the work in
//! its background, what attempts of a step leave for later ones, which steps wait for something else than their component, and
//! which runs are around this one.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;
use tokio::task::JoinSet;

use crate::family::Family;
use crate::run::Control;

/// The run around a step. Cheap to clone; clones are about the same run.
#[derive(Clone)]
pub struct Outer {
    shared: Arc<Shared>,
}

struct Shared {
    plan: Plan,
    variables: Value,
    around: Option<Arc<Around>>,
    /// The runs inside the top-level run that this one belongs to.
    family: Arc<Family>,
    control: Arc<Control>,
    /// Whether there may be anything to forget, known without the lock.
    has_kept: AtomicBool,
    kept: Mutex<HashMap<Arc<str>, Arc<dyn Any + Send + Sync>>>,
    background: Mutex<Background>,
}

/// A step of a run around a run.
pub(crate) struct Around {
    flow: Arc<str>,
    step_id: Arc<str>,
    family: Arc<Family>,
    around: Option<Arc<Around>>,
}

enum Background {
    Open(JoinSet<()>),
    /// The run has ended.
    Closed,
}

/// Frees the slot of an attempt that waits for something else than its component, until it is dropped. The attempt then goes on
/// even if all slots are taken: what it has left to do is done, not started.
#[must_use = "the slot is taken again as soon as this is dropped"]
pub struct Lent {
    control: Arc<Control>,
}

impl Outer {
    pub(crate) fn new(
        plan: Plan,
        variables: Value,
        around: Option<Arc<Around>>,
        control: Arc<Control>,
    ) -> Outer {
        let family = around.as_ref().map_or_else(
            || Family::of(Arc::clone(&control)),
            |around| Arc::clone(&around.family),
        );
        Outer {
            shared: Arc::new(Shared {
                plan,
                variables,
                around,
                family,
                control,
                has_kept: AtomicBool::new(false),
                kept: Mutex::default(),
                background: Mutex::new(Background::Open(JoinSet::new())),
            }),
        }
    }

    /// A run that is none, for an attempt that is made by itself.
    pub fn of_no_run(plan: Plan) -> Outer {
        Outer::new(plan, Value::null(), None, Arc::default())
    }

    /// The plan of the run.
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// The variables that were given to the run, as an object, or null.
    pub(crate) fn variables(&self) -> &Value {
        &self.shared.variables
    }

    /// A run that this step of the run asks for has these around it.
    pub(crate) fn with_step(&self, step_id: &Arc<str>) -> Arc<Around> {
        Arc::new(Around {
            flow: name_of(&self.shared.plan),
            step_id: Arc::clone(step_id),
            family: Arc::clone(&self.shared.family),
            around: self.shared.around.clone(),
        })
    }

    /// The runs inside the top-level run that this one belongs to.
    pub(crate) fn family(&self) -> &Arc<Family> {
        &self.shared.family
    }

    pub(crate) fn lend_slot(&self) -> Lent {
        self.shared.control.begin_wait();
        Lent {
            control: Arc::clone(&self.shared.control),
        }
    }

    /// What attempts of a step leave for later ones.
    ///
    /// # Panics
    /// When one step keeps things of two types.
    pub(crate) fn kept<T: Default + Send + Sync + 'static>(&self, step_id: &Arc<str>) -> Arc<T> {
        self.shared.has_kept.store(true, Ordering::Release);
        let mut kept = lock(&self.shared.kept);
        let it = kept
            .entry(Arc::clone(step_id))
            .or_insert_with(|| Arc::new(T::default()));
        Arc::clone(it)
            .downcast()
            .expect("a step has one component, which keeps one thing")
    }

    /// What the steps of the run leave for each other.
    ///
    /// # Panics
    /// When a run keeps things of two types.
    pub fn kept_by_run<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        // No step has an empty id.
        self.kept(&Arc::from(""))
    }

    /// The step has its outcome: no attempt follows that could use what was kept.
    pub(crate) fn forget(&self, step_id: &str) {
        if self.shared.has_kept.load(Ordering::Acquire) {
            lock(&self.shared.kept).remove(step_id);
        }
    }

    /// Does work in the background of the run. It is dropped when the run ends; nothing happens when that is so already.
    pub fn in_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Background::Open(tasks) = &mut *lock(&self.shared.background) {
            // What has ended is not kept.
            while tasks.try_join_next().is_some() {}
            tasks.spawn(work);
        }
    }

    /// Ends all work in the background and waits until it is gone.
    pub(crate) async fn close(&self) {
        if let Background::Open(mut tasks) = self.closed()
            && !tasks.is_empty()
        {
            tasks.shutdown().await;
        }
    }

    /// Ends all work in the background without waiting for it.
    pub(crate) fn abandon(&self) {
        drop(self.closed());
    }

    fn closed(&self) -> Background {
        std::mem::replace(&mut lock(&self.shared.background), Background::Closed)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.control.end_wait();
    }
}

impl Around {
    /// `flow/step` of each run around a run, the outermost first; of many the first and the last few.
    pub(crate) fn describe(self: &Arc<Self>) -> String {
        const SHOWN: usize = 3;
        let runs = std::iter::successors(Some(self), |it| it.around.as_ref());
        let mut names: Vec<_> = runs
            .map(|it| format!("{}/{}", it.flow, it.step_id))
            .collect();
        names.reverse();
        if names.len() > 2 * SHOWN {
            let left_out = names.len() - 2 * SHOWN;
            names.splice(SHOWN..SHOWN + left_out, [format!("… ({left_out} more)")]);
        }
        names.join(" → ")
    }
}

/// What errors call a flow.
fn name_of(plan: &Plan) -> Arc<str> {
    const DIGITS: usize = 8;
    plan.name().map_or_else(
        || {
            let id = plan.flow_id().to_string();
            let hash = id.rsplit(':').next().unwrap_or_default();
            hash.chars().take(DIGITS).collect::<String>().into()
        },
        Arc::from,
    )
}

/// Nothing under these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Outer {
    /// Leaves out the variables, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outer")
            .field("flow", &name_of(&self.shared.plan))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lent")
    }
}
