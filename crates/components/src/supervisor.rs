//! Keeps one instance of a server alive: Connecting → Ready(generation) → Backoff → Failed. Every start is a
//! new generation with a new handshake; nothing is patched in place. Must not know which protocol the server speaks: that
//! is its [`Connect`]'s and its [`Life`]'s business.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use stepflow_flow::flow::Backoff;
use stepflow_rpc::Closed;
use stepflow_rpc::transport::child::Exit;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing::warn;

use crate::options::Restart;

/// One life of a server: from its handshake to the end of its connection.
pub(crate) trait Life: fmt::Debug + Send + Sync + 'static {
    /// Which life it is, counted from 1.
    fn generation(&self) -> u64;

    /// Whether its connection is over.
    fn is_over(&self) -> bool;

    /// Waits for the end of its connection, and says why it came.
    fn over(&self) -> impl Future<Output = Closed> + Send;

    /// Ends the connection in good order, and the process behind it; says what became of that.
    fn shut_down(&self, grace: Duration) -> impl Future<Output = Option<Arc<Exit>>> + Send;

    /// What stands behind the connection, for the log.
    fn described(&self) -> String;
}

/// How a server comes to life.
pub(crate) trait Connect: fmt::Debug + Send + Sync + 'static {
    /// What comes of it.
    type Life: Life;

    /// Whether each life is a process that is started for it: such lives are counted.
    fn starts_processes(&self) -> bool;

    /// Makes a connection; `None` when told to stop meanwhile, with nothing left behind.
    fn connect(
        &self,
        generation: u64,
        stop: &CancellationToken,
    ) -> impl Future<Output = Option<Result<Self::Life, ConnectError>>> + Send;

    /// Waits for something better than the connection there is; never comes where nothing better is possible.
    fn better_than(
        &self,
        _life: &Self::Life,
        _generation: u64,
    ) -> impl Future<Output = Self::Life> + Send {
        std::future::pending()
    }
}

/// Why no connection came about.
#[derive(Debug)]
pub(crate) struct ConnectError {
    /// Everything that is known, for people.
    pub(crate) reason: String,
    /// Whether trying again would end the same way.
    pub(crate) is_permanent: bool,
}

impl ConnectError {
    pub(crate) fn permanent(reason: impl Into<String>) -> Self {
        ConnectError {
            reason: reason.into(),
            is_permanent: true,
        }
    }
}

/// Why a server cannot take calls now.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Unavailable {
    /// What happened, with everything that is known of it.
    pub reason: Arc<str>,
}

#[derive(Debug)]
enum State<L> {
    /// Nobody asked for it yet.
    Idle,
    Connecting,
    Ready(Arc<L>),
    Backoff,
    Failed(Unavailable),
}

/// How much is in the way of a call, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// It is there, or may be there soon.
    None,
    /// It ended and waits to be started again.
    Waiting,
    /// It was given up.
    Failed,
}

/// A handle to the task that keeps an instance alive.
#[derive(Debug)]
pub(crate) struct Supervisor<L> {
    state: watch::Receiver<State<L>>,
    wanted: Arc<Notify>,
    stop: CancellationToken,
    task: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl<L: Life> Supervisor<L> {
    /// Makes the task; it starts the server when the first call asks for it.
    pub(crate) fn start(
        name: Arc<str>,
        connector: impl Connect<Life = L>,
        restart: Restart,
    ) -> Self {
        let (publish, state) = watch::channel(State::Idle);
        let wanted = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let keeper = Keeper {
            name,
            connector,
            restart,
            publish,
            wanted: Arc::clone(&wanted),
            stop: stop.clone(),
            generation: 0,
            failures: 0,
            was_ready: false,
            told: None,
        };
        let task = tokio::spawn(keeper.run());
        Supervisor {
            state,
            wanted,
            stop,
            task: std::sync::Mutex::new(Some(task)),
        }
    }

    /// A server that takes calls: the present one, or the next that comes up.
    ///
    /// # Errors
    /// [`Unavailable`] once the supervisor has given up; it may try again when asked later.
    pub(crate) async fn ready(&self) -> Result<Arc<L>, Unavailable> {
        if let State::Ready(ready) = &*self.state.borrow()
            && !ready.is_over()
        {
            return Ok(Arc::clone(ready));
        }
        self.wanted.notify_one();
        let mut state = self.state.clone();
        let settled = state
            .wait_for(|state| match state {
                State::Ready(ready) => !ready.is_over(),
                State::Failed(_) => true,
                State::Idle | State::Connecting | State::Backoff => false,
            })
            .await;
        match settled.as_deref() {
            Ok(State::Ready(ready)) => Ok(Arc::clone(ready)),
            Ok(State::Failed(why)) => Err(why.clone()),
            Ok(_) | Err(_) => Err(Unavailable {
                reason: "the runtime is shutting down".into(),
            }),
        }
    }

    /// Whether the supervisor has given up for now, or is told to end.
    pub(crate) fn has_failed(&self) -> bool {
        self.trouble() == Trouble::Failed
    }

    /// How much is in the way of a call.
    pub(crate) fn trouble(&self) -> Trouble {
        match &*self.state.borrow() {
            _ if self.stop.is_cancelled() => Trouble::Failed,
            State::Idle | State::Connecting | State::Ready(_) => Trouble::None,
            State::Backoff => Trouble::Waiting,
            State::Failed(_) => Trouble::Failed,
        }
    }

    /// Ends the server and waits until its process is gone.
    pub(crate) async fn shut_down(&self) {
        self.stop.cancel();
        let task = self
            .task
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            warn!(%error, "a supervisor ended badly");
        }
    }
}

impl<L> Drop for Supervisor<L> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Keeper<C: Connect> {
    name: Arc<str>,
    connector: C,
    restart: Restart,
    publish: watch::Sender<State<C::Life>>,
    wanted: Arc<Notify>,
    stop: CancellationToken,
    generation: u64,
    /// How many lives in a row ended before a sustained uptime.
    failures: u32,
    /// Whether the server has ever shaken hands.
    was_ready: bool,
    /// The reason that was logged last.
    told: Option<String>,
}

/// What is said of a life that ended. Lives are counted where a process is started for each; a server that runs on its own
/// may be quite well, and nobody starts it from here.
fn obituary(lives: Option<(u32, u32)>, delay: Duration, reason: &str) -> String {
    let delay = stepflow_flow::duration::print(rounded(delay));
    match lives {
        Some((failures, tries)) => format!(
            "component server ended (failure {failures} of {tries}), starting it again in {delay}: {reason}"
        ),
        None => format!("no connection to the component server, trying again in {delay}: {reason}"),
    }
}

/// How one life of the server ended.
struct Death {
    reason: String,
    is_permanent: bool,
    lived: Duration,
}

impl<C: Connect> Keeper<C> {
    async fn run(mut self) {
        let stop = self.stop.clone();
        if self.or_stopped(self.wanted.notified()).await.is_none() {
            return;
        }
        while !stop.is_cancelled() {
            let Some(death) = self.live().await else {
                return;
            };
            if self.rest(death).await.is_none() {
                return;
            }
        }
    }

    /// Starts the server and waits for its end; `None` when we are to stop.
    async fn live(&mut self) -> Option<Death> {
        self.publish.send_replace(State::Connecting);
        self.generation += 1;
        let connected = self.connector.connect(self.generation, &self.stop).await?;
        let ready = match connected {
            Ok(ready) => Arc::new(ready),
            Err(error) => {
                return Some(Death {
                    reason: error.reason,
                    is_permanent: error.is_permanent,
                    lived: Duration::ZERO,
                });
            }
        };
        let born = Instant::now();
        self.was_ready = true;
        let (ready, closed) = self.serve(ready).await;
        // Calls may still hold the server; its process must be gone all the same.
        let exit = ready.shut_down(self.restart.farewell).await;
        let reason = match (closed?, exit) {
            (Closed::Exited(exit), _) => exit.to_string(),
            (closed, Some(exit)) => format!("{closed}; {exit}"),
            (closed, None) => closed.to_string(),
        };
        Some(Death {
            reason,
            is_permanent: false,
            lived: born.elapsed(),
        })
    }

    /// Lets calls use the server until its connection ends or we are to stop; says which server it was in the end.
    async fn serve(&mut self, mut ready: Arc<C::Life>) -> (Arc<C::Life>, Option<Closed>) {
        loop {
            info!(plugin = %self.name, generation = ready.generation(), by = %ready.described(), "component server ready");
            self.publish.send_replace(State::Ready(Arc::clone(&ready)));
            tokio::select! {
                closed = ready.over() => return (ready, Some(closed)),
                () = self.stop.cancelled() => return (ready, None),
                better = self.connector.better_than(&ready, self.generation + 1) => {
                    self.generation += 1;
                    ready = Arc::new(better);
                }
            }
        }
    }

    /// Waits until it is time for the next life; `None` when we are to stop.
    async fn rest(&mut self, death: Death) -> Option<()> {
        let Death {
            reason,
            is_permanent,
            lived,
        } = death;
        if lived >= self.restart.sustained_uptime {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let restarts = match self.was_ready {
            true => self.restart.max_restarts,
            false => self.restart.max_restarts_at_start,
        };
        let tries = restarts.saturating_add(1);
        if is_permanent || self.failures >= tries {
            return self.give_up(reason, is_permanent).await;
        }
        let delay = delay(self.failures, &self.restart.backoff);
        // A server that cannot start says the same each time: once is enough.
        let again = if self.told.as_deref() == Some(&reason) {
            "for the same reason"
        } else {
            &reason
        };
        let lives = self
            .connector
            .starts_processes()
            .then_some((self.failures, tries));
        warn!(plugin = %self.name, "{}", obituary(lives, delay, again));
        self.told = Some(reason);
        self.publish.send_replace(State::Backoff);
        self.or_stopped(tokio::time::sleep(delay)).await
    }

    async fn give_up(&mut self, reason: String, is_permanent: bool) -> Option<()> {
        let reason = if is_permanent || self.failures == 1 || self.failures == u32::MAX {
            reason
        } else {
            format!(
                "it failed {} times in a row; the last time {reason}",
                self.failures
            )
        };
        info!(plugin = %self.name, "component server given up: {reason}");
        self.publish.send_replace(State::Failed(Unavailable {
            reason: reason.into(),
        }));
        self.or_stopped(tokio::time::sleep(self.restart.probe_after))
            .await?;
        // From here on a call waits for the next attempt instead of failing; calls before this got their answer.
        let _answered = self.wanted.notified().now_or_never();
        self.publish.send_replace(State::Idle);
        self.or_stopped(self.wanted.notified()).await?;
        // One more try, whatever the limit.
        self.failures = u32::MAX - 1;
        Some(())
    }

    async fn or_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.stop.cancelled() => None,
        }
    }
}

/// The first restart comes at once, later ones ever more slowly.
fn delay(failures: u32, backoff: &Backoff) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        failures => {
            let share = if backoff.jitter {
                1.0 - chance() / 2.0
            } else {
                1.0
            };
            backoff.delay(failures - 1).mul_f64(share)
        }
    }
}

/// A wait as people want to read it.
fn rounded(delay: Duration) -> Duration {
    Duration::from_millis(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX) / 100 * 100)
}

/// A number from 0 to 1, random enough that servers that died together do not return together.
fn chance() -> f64 {
    use std::hash::BuildHasher;
    let random = std::hash::RandomState::new().hash_one(());
    (random >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_of_ours_is_counted_and_started_again() {
        let said = |lives| obituary(lives, Duration::from_secs(1), "it is gone");
        assert_eq!(
            said(Some((2, 6))),
            "component server ended (failure 2 of 6), starting it again in 1s: it is gone"
        );
        assert_eq!(
            said(None),
            "no connection to the component server, trying again in 1s: it is gone"
        );
    }

    // req: plugins.restart-waits
    #[test]
    fn the_first_restart_comes_at_once_and_later_ones_ever_more_slowly() {
        let mut backoff = Restart::default().backoff;
        // (failures in a row, seconds until the next start)
        for (failures, seconds) in [
            (1, 0),
            (2, 1),
            (3, 2),
            (4, 4),
            (5, 8),
            (6, 16),
            (7, 30),
            (u32::MAX, 30),
        ] {
            backoff.jitter = false;
            let most = Duration::from_secs(seconds);
            assert_eq!(delay(failures, &backoff), most, "{failures} failures");
            backoff.jitter = true;
            for _ in 0..100 {
                let wait = delay(failures, &backoff);
                assert!(
                    most / 2 <= wait && wait <= most,
                    "{failures} failures: {wait:?}"
                );
            }
        }
    }
}
