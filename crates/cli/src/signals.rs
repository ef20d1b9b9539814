//! Ctrl-C, SIGTERM and SIGHUP: the first asks for an orderly end, the second for an end at once.

use std::time::Duration;

use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::watch;

use crate::report::CliError;
use crate::screen::Screen;

/// How long the program may take to end by itself after the second signal.
const AT_ONCE: Duration = Duration::from_millis(500);

/// A signal that ends the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM, or SIGHUP when the terminal went away.
    Terminate,
}

impl Signal {
    /// 128 and the signal's number, as shells have it.
    pub fn exit_code(self) -> u8 {
        match self {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
        }
    }

    /// What happened, in words.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Interrupt => "Ctrl-C",
            Signal::Terminate => "a signal to terminate",
        }
    }
}

/// The signals that came so far.
#[derive(Clone, Debug, Default)]
struct Seen {
    first: Option<Signal>,
    second: Option<Signal>,
}

/// Waits for signals. Clones see the same ones.
#[derive(Clone, Debug)]
pub struct Signals {
    seen: watch::Receiver<Seen>,
}

impl Signals {
    /// Takes the signals over from the system's defaults. Must be called inside the async runtime.
    pub fn listen(screen: &Screen) -> Result<Signals, CliError> {
        let cannot = |error| CliError::internal("signals cannot be listened to").because(error);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
        let mut hang_up = signal(SignalKind::hangup()).map_err(cannot)?;
        let (publish, seen) = watch::channel(Seen::default());
        let screen = screen.clone();
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    Some(()) = interrupt.recv() => Signal::Interrupt,
                    Some(()) = terminate.recv() => Signal::Terminate,
                    Some(()) = hang_up.recv() => Signal::Terminate,
                    else => return,
                };
                let is_first = publish.borrow().first.is_none();
                publish.send_modify(|seen| match seen.first {
                    None => seen.first = Some(signal),
                    Some(_) => seen.second = Some(signal),
                });
                if is_first {
                    // Heard first, told after: nobody may be reading stderr any more.
                    let screen = screen.clone();
                    let text = format!("{}: stopping; once more to stop at once", signal.name());
                    std::thread::spawn(move || screen.tell(&text));
                }
                if publish.borrow().second.is_some() {
                    tokio::time::sleep(AT_ONCE).await;
                    // The program is stuck in a read or a write that nobody answers. Children are ended by the guard.
                    std::process::exit(i32::from(signal.exit_code()));
                }
            }
        });
        Ok(Signals { seen })
    }

    /// The first signal, if it has come.
    pub fn seen(&self) -> Option<Signal> {
        self.seen.borrow().first
    }

    /// The first signal; waits for it.
    pub async fn first(&self) -> Signal {
        self.wait(|seen| seen.first).await
    }

    /// The second signal; waits for it.
    pub async fn second(&self) -> Signal {
        self.wait(|seen| seen.second).await
    }

    async fn wait(&self, which: impl Fn(&Seen) -> Option<Signal>) -> Signal {
        let mut seen = self.seen.clone();
        let found = seen.wait_for(|seen| which(seen).is_some()).await;
        match found.ok().and_then(|seen| which(&seen)) {
            Some(signal) => signal,
            // The listener ends with the runtime only; there will be no signal.
            None => std::future::pending().await,
        }
    }
}
