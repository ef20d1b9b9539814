//! What all checks of a run share: the server, the time they have, what is known of the server, and what was noticed beside
//! the point.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stepflow_protocol::component::ComponentInfo;
use stepflow_protocol::lifecycle::Capabilities;
use stepflow_protocol::lifecycle::InitializeResult;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::target::Target;
use crate::target::Way;
use crate::transcript::Recorder;
use crate::verdict::Stop;
use crate::wire::Wire;

/// What the plugin is called: a component `/x` may also be called `/<prefix>/x`.
pub const PREFIX: &str = "conformance-suite";

/// How long nothing is waited for, where nothing is what must come.
pub const QUIET: Duration = Duration::from_millis(100);

/// Something that no check asked for, but one is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// A second answer to the same request.
    SecondAnswer,
    /// An answer to what nobody asked.
    StrayAnswer,
    /// An answer that is none, or not of JSON-RPC 2.0.
    BadEnvelope,
    /// Something on stdout that is no message.
    Noise,
    /// A request or a notice before the handshake was complete.
    Early,
    /// `ping` or a `$/…` notice to a runtime that did not name it.
    Unwanted,
}

/// What the handshake and the list say.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The result of `initialize`.
    pub greeting: InitializeResult,
    /// What the server lists.
    pub components: Vec<ComponentInfo>,
}

/// The place of a run.
#[derive(Debug)]
pub struct Lab {
    pub(crate) target: Target,
    pub(crate) way: Way,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
    pub(crate) oddities: Oddities,
    pub(crate) endings: Arc<Mutex<JoinSet<()>>>,
    /// Whether the server wants a token, and we have it.
    pub(crate) has_token: bool,
    facts: OnceLock<Facts>,
    n_connections: AtomicU32,
    n_ids: AtomicU32,
}

/// Until when a check may wait. Clones are the same.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Mutex<Instant>>);

impl Clock {
    /// Gives this much time from now on.
    pub fn start(&self, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + time;
    }

    /// When the time is over.
    pub fn deadline(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was noticed, with the texts in question. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Oddities(Arc<Mutex<Vec<(Oddity, String)>>>);

impl Oddities {
    /// Enough to judge by.
    const MOST: usize = 200;

    fn all(&self) -> MutexGuard<'_, Vec<(Oddity, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers something.
    pub fn add(&self, what: Oddity, text: &str) {
        let mut all = self.all();
        if all.len() < Self::MOST {
            all.push((what, crate::verdict::brief(text)));
        }
    }

    /// The texts of a kind.
    pub fn of(&self, what: Oddity) -> Vec<String> {
        let all = self.all();
        let found = all.iter().filter(|(kind, _)| *kind == what);
        found.map(|(_, text)| text.clone()).collect()
    }
}

impl Lab {
    pub(crate) fn new(target: Target, way: Way, has_token: bool) -> Lab {
        Lab {
            target,
            way,
            recorder: Recorder::default(),
            clock: Clock(Arc::new(Mutex::new(Instant::now()))),
            oddities: Oddities::default(),
            endings: Arc::default(),
            has_token,
            facts: OnceLock::new(),
            n_connections: AtomicU32::new(0),
            n_ids: AtomicU32::new(0),
        }
    }

    /// A number for a connection.
    pub(crate) fn connection(&self) -> u32 {
        self.n_connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A number that no other request of the run has.
    pub(crate) fn fresh(&self) -> u32 {
        self.n_ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn know(&self, facts: Facts) {
        // The first look is the one that counts.
        let _ = self.facts.set(facts);
    }

    /// What the server said of itself.
    ///
    /// # Errors
    /// Where it said nothing that can be used.
    pub fn facts(&self) -> Result<&Facts, Stop> {
        let facts = self.facts.get();
        facts.ok_or_else(|| Stop::skip("the server could not be greeted, or lists no components"))
    }

    /// The path of a component that tests call.
    ///
    /// # Errors
    /// Where the server has none.
    pub fn component(&self, name: &str) -> Result<String, Stop> {
        let path = format!("/conformance/{name}");
        let found = self
            .facts()?
            .components
            .iter()
            .find(|it| it.component.trim_start_matches('/') == path.trim_start_matches('/'));
        match found {
            Some(_) => Ok(path),
            None => Err(Stop::skip(format!("the server has no component {path}"))),
        }
    }

    /// Goes on where the server accepts something.
    ///
    /// # Errors
    /// Where it does not.
    pub fn accepts(&self, capability: &str) -> Result<(), Stop> {
        let named = self.facts()?.greeting.capabilities.as_ref();
        match named.is_some_and(|it: &Capabilities| it.has(capability)) {
            true => Ok(()),
            false => Err(Stop::skip(format!(
                "the server does not name the capability {capability}"
            ))),
        }
    }

    /// The longest message that the server takes.
    pub fn limit(&self) -> Option<u64> {
        self.facts.get()?.greeting.max_message_bytes
    }

    /// Opens a connection on which nothing was said yet.
    ///
    /// # Errors
    /// When there is none to be had.
    pub async fn open(&self) -> Result<Wire, Stop> {
        Wire::open(self).await
    }

    /// Opens a connection and shakes hands.
    ///
    /// # Errors
    /// When that does not work.
    pub async fn greeted(&self) -> Result<Wire, Stop> {
        let mut wire = self.open().await?;
        wire.greet().await?;
        Ok(wire)
    }

    /// Waits until every process that was started has ended.
    pub(crate) async fn shut_down(&self) {
        let mut endings =
            std::mem::take(&mut *self.endings.lock().unwrap_or_else(PoisonError::into_inner));
        while endings.join_next().await.is_some() {}
    }
}
