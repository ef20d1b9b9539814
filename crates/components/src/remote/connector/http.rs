//! A server that runs elsewhere and is reached over HTTP. Owns the words for a server that cannot be reached.

use std::sync::Arc;
use std::time::Duration;

use stepflow_rpc::transport::http::client;
use stepflow_rpc::transport::http::client::Connected;
use stepflow_rpc::transport::http::client::Mode;
use tokio::time::Instant;
use tracing::info;

use super::Greeting;
use super::GreetingError;
use super::is_permanent;
use crate::options;
use crate::remote::Shared;
use crate::remote::ready::Ready;
use crate::remote::ready::Server;
use crate::remote::ready::Stateless;
use crate::supervisor::ConnectError;

/// How long the second handshake waits, and how long the later ones at most.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Connects to a URL.
#[derive(Debug)]
pub(in crate::remote) struct Http {
    options: client::Options,
    greeting: Greeting,
}

impl Http {
    pub(in crate::remote) fn new(
        name: &Arc<str>,
        options: &options::Http,
        shared: &Shared,
    ) -> Self {
        let limits = &options.limits;
        let client = client::Options {
            max_message_bytes: limits.max_message_bytes,
            ..options.client.clone()
        };
        let greeting = Greeting {
            plugin: Arc::clone(name),
            shared: shared.clone(),
            timeout: limits.initialize_timeout,
            max_message_bytes: limits.max_message_bytes,
        };
        Http {
            options: client,
            greeting,
        }
    }

    /// Connects and shakes hands, for as long as the configuration says that a server may take to be there.
    pub(super) async fn connect(&self, generation: u64) -> Result<Ready, ConnectError> {
        let deadline = Instant::now() + self.options.connect_timeout;
        let mut wait = FIRST_WAIT;
        loop {
            let connected = client::connect(&self.options).await;
            // The client itself has tried for as long.
            let connected = connected
                .map_err(|error| ConnectError::permanent(self.told(&error.to_string())))?;
            let error = match self.ready(connected, generation).await {
                Ok(ready) => return Ok(ready),
                Err(error) if error.is_permanent => return Err(error),
                Err(error) => error,
            };
            if Instant::now() + wait >= deadline {
                return Err(ConnectError::permanent(error.reason));
            }
            info!(plugin = %self.greeting.plugin, "trying again: {}", error.reason);
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn ready(&self, connected: Connected, generation: u64) -> Result<Ready, ConnectError> {
        let Connected {
            link,
            mode,
            late,
            streams,
        } = connected;
        let greeted = self.greeting.greet(link).await;
        let server = match mode {
            Mode::Session => Server::Session,
            Mode::Direct => Server::Stateless(Box::new(Stateless {
                late: tokio::sync::Mutex::new(late),
                streams,
            })),
        };
        match greeted.session {
            Ok(session) => Ok(Ready::new(
                generation,
                session,
                greeted.connection,
                server,
                greeted.executions,
            )),
            Err(GreetingError::Handshake(error)) => Err(ConnectError {
                reason: self.told(&error.to_string()),
                is_permanent: is_permanent(&error),
            }),
            Err(GreetingError::Silence) => {
                let time = self.greeting.timeout_text();
                let text =
                    format!("it did not answer `initialize` within {time} (`initializeTimeout`)");
                Err(ConnectError::permanent(self.told(&text)))
            }
        }
    }

    /// Waits for the session that a server offers late; calls under way finish where they are.
    pub(super) async fn better_than(&self, ready: &Ready, generation: u64) -> Ready {
        if let Server::Stateless(stateless) = ready.server()
            && let Some(late) = stateless.late.lock().await.take()
            && let Some(connected) = late.session().await
            && let Ok(better) = self.ready(connected, generation).await
        {
            return better;
        }
        std::future::pending().await
    }

    fn told(&self, what: &str) -> String {
        let mut url = self.options.url.clone();
        // The query may hold a key.
        url.set_query(None);
        let _ = url.set_password(None);
        let _ = url.set_username("");
        format!("the component server at {url}: {what}")
    }
}
