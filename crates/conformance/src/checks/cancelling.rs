//! Cancelling: a cancelled request is still answered, and nobody else's is touched.

use serde_json::json;
use stepflow_rpc::Id;

use crate::lab::Lab;
use crate::verdict::Verdict;
use crate::verdict::brief;
use crate::verdict::ensure;
use crate::verdict::same;
use crate::wire::Wire;

const CANCELLED: i64 = -32012;

/// No test waits as long as this.
const FOR_EVER: u64 = 600_000;

pub async fn answered(lab: &Lab, wire: &mut Wire) -> Verdict {
    let sleep = lab.component("sleep")?;
    lab.accepts("cancel")?;
    let id = wire.start(&sleep, json!({"ms": FOR_EVER})).await?;
    // Served by now: a later request was.
    wire.alive("while a component runs").await?;
    wire.notify(
        "$/cancelRequest",
        json!({"id": id, "reason": "nobody needs it"}),
    )
    .await?;
    let answer = wire.answer_to(&id).await?;
    answer.refused(CANCELLED)?;
    wire.alive("after a cancelled request").await
}

pub async fn unknown(lab: &Lab, wire: &mut Wire) -> Verdict {
    lab.accepts("cancel")?;
    for id in [json!("nobody"), json!(-5)] {
        wire.notify("$/cancelRequest", json!({"id": id})).await?;
    }
    wire.alive("after the cancelling of what does not run")
        .await?;
    let strays = wire.quiet().await?;
    ensure(
        strays.is_empty(),
        "the cancelling of what does not run is answered",
        "nothing",
        strays.first().map(|it| brief(it)).unwrap_or_default(),
    )
}

pub async fn typed(lab: &Lab, wire: &mut Wire) -> Verdict {
    let sleep = lab.component("sleep")?;
    lab.accepts("cancel")?;
    let (number, string) = (Id::from(2), Id::from("2"));
    for id in [&number, &string] {
        let params = wire.params(&sleep, json!({"ms": 700}));
        let request =
            json!({"jsonrpc": "2.0", "id": id, "method": "components/execute", "params": params});
        wire.send(&request.to_string()).await?;
    }
    wire.alive("while components run").await?;
    wire.notify("$/cancelRequest", json!({"id": 2})).await?;
    wire.answer_to(&number).await?.refused(CANCELLED)?;
    let output = wire.answer_to(&string).await?.output()?;
    wire.release(&number);
    wire.release(&string);
    same("the output of the other", &json!({"ms": 700}), &output)
}
