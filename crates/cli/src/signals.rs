//! Ctrl-C, SIGTERM and SIGHUP: the first asks for an orderly end, the second
//! ends the program at once, whatever its other threads are in.

use tokio::runtime;
use tokio::signal::unix;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::watch;

use crate::report::CliError;
use crate::screen::Screen;

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

/// Waits for the first signal. Clones see the same one.
#[derive(Clone, Debug)]
pub struct Signals {
    first: watch::Receiver<Option<Signal>>,
}

impl Signals {
    /// Takes the signals over from the system's defaults.
    pub fn listen(screen: &Screen) -> Result<Signals, CliError> {
        let cannot = |error| CliError::internal("signals cannot be listened to").because(error);
        // A thread for signals alone: all others may be in a write that nobody reads.
        let runtime = runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(cannot)?;
        let within = runtime.enter();
        let mut source = Source {
            interrupt: signal(SignalKind::interrupt()).map_err(cannot)?,
            terminate: signal(SignalKind::terminate()).map_err(cannot)?,
            hang_up: signal(SignalKind::hangup()).map_err(cannot)?,
        };
        drop(within);
        let (publish, first) = watch::channel(None);
        let screen = screen.clone();
        let hear = move || {
            let first = runtime.block_on(source.next());
            publish.send_replace(Some(first));
            // Heard first, told after and elsewhere: nobody may be reading stderr any more.
            let text = format!("{}: stopping; once more to stop at once", first.name());
            std::thread::spawn(move || screen.tell(&text));
            let second = runtime.block_on(source.next());
            // Nothing is waited for, which may be what does not end. Children are ended by the guard.
            std::process::exit(i32::from(second.exit_code()));
        };
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn(hear).map_err(cannot)?;
        Ok(Signals { first })
    }

    /// The first signal, if it has come.
    pub fn seen(&self) -> Option<Signal> {
        *self.first.borrow()
    }

    /// The first signal; waits for it.
    pub async fn first(&self) -> Signal {
        let mut first = self.first.clone();
        let found = first.wait_for(Option::is_some).await;
        match found.ok().and_then(|first| *first) {
            Some(signal) => signal,
            // The listener ends with the program only; there will be no signal.
            None => std::future::pending().await,
        }
    }
}

/// Where signals come from.
struct Source {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
}

impl Source {
    async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            Some(()) = self.terminate.recv() => Signal::Terminate,
            Some(()) = self.hang_up.recv() => Signal::Terminate,
            else => std::future::pending().await,
        }
    }
}
