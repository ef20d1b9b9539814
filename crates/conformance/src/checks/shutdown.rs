//! The end: a server ends when its stdin does, whatever it is doing.

use std::time::Duration;

use serde_json::json;

use crate::lab::Lab;
use crate::verdict::Stop;
use crate::verdict::Verdict;
use crate::verdict::ensure;
use crate::wire::Wire;

/// How long the runtime waits before it sends a signal.
const GRACE: Duration = Duration::from_secs(5);

/// Closes stdin, and waits for the end of the process; says how it ended.
async fn end(wire: &mut Wire) -> Result<String, Stop> {
    let pipes = wire.pipes()?;
    pipes.close();
    match tokio::time::timeout(GRACE, pipes.exited()).await {
        Ok(exit) => Ok(exit.status_text()),
        Err(_) => Err(Stop::fail(
            "the process does not end when its stdin does",
            format!("its end within {} seconds", GRACE.as_secs()),
            "it lives on",
        )),
    }
}

pub async fn end_of_input(_: &Lab, wire: &mut Wire) -> Verdict {
    wire.greet().await?;
    wire.alive("after the handshake").await?;
    end(wire).await?;
    Ok(())
}

pub async fn busy(lab: &Lab, wire: &mut Wire) -> Verdict {
    let sleep = lab.component("sleep")?;
    wire.greet().await?;
    wire.start(&sleep, json!({"ms": 600_000})).await?;
    wire.alive("while a component runs").await?;
    end(wire).await?;
    Ok(())
}

pub async fn status(_: &Lab, wire: &mut Wire) -> Verdict {
    wire.greet().await?;
    let status = end(wire).await?;
    ensure(
        status.ends_with("status 0"),
        "the process ends as if something had failed",
        "exited with status 0",
        status,
    )
}

pub async fn before_greeting(lab: &Lab) -> Verdict {
    let mut wire = lab.open().await?;
    end(&mut wire).await?;
    Ok(())
}
