//! Lines over pipes: how messages are told apart, and what is no message.

use serde_json::json;

use crate::lab::Lab;
use crate::lab::Oddity;
use crate::verdict::Verdict;
use crate::verdict::brief;
use crate::verdict::ensure;
use crate::verdict::same;
use crate::wire::Wire;

/// A list request with its id, as text.
fn list(wire: &mut Wire) -> (stepflow_rpc::Id, String) {
    let id = wire.id();
    let text = json!({"jsonrpc": "2.0", "id": id, "method": "components/list", "params": {}});
    (id, text.to_string())
}

/// Writes bytes that hold one list request, and waits for its answer.
async fn written(wire: &mut Wire, frame: impl FnOnce(&str) -> Vec<u8>) -> Verdict {
    let (id, text) = list(wire);
    wire.expect(id.clone());
    let bytes = frame(&text);
    wire.pipes()?.write(&bytes).await?;
    wire.answer_to(&id).await?.ok()?;
    Ok(())
}

pub async fn line_ends(_: &Lab, wire: &mut Wire) -> Verdict {
    wire.greet().await?;
    written(wire, |text| format!("{text}\r\n").into_bytes()).await
}

pub async fn blank_lines(_: &Lab, wire: &mut Wire) -> Verdict {
    wire.greet().await?;
    wire.settle().await?;
    written(wire, |text| format!("\n\r\n  \n{text}\n\n").into_bytes()).await?;
    no_error(wire, "blank lines").await?;
    wire.alive("after blank lines").await
}

pub async fn byte_order_mark(_: &Lab, wire: &mut Wire) -> Verdict {
    wire.pipes()?.write("\u{feff}".as_bytes()).await?;
    wire.greet().await?;
    wire.alive("after a byte order mark").await
}

pub async fn pieces(lab: &Lab, wire: &mut Wire) -> Verdict {
    let echo = lab.component("echo")?;
    wire.greet().await?;
    let id = wire.id();
    wire.expect(id.clone());
    let params = wire.params(&echo, json!({"text": "日本語 – ключ"}));
    let text =
        json!({"jsonrpc": "2.0", "id": id, "method": "components/execute", "params": params});
    let bytes = format!("{text}\n").into_bytes();
    // Seven bytes at a time: some pieces end inside a character.
    for piece in bytes.chunks(7) {
        wire.pipes()?.write(piece).await?;
        tokio::task::yield_now().await;
    }
    let output = wire.answer_to(&id).await?.output()?;
    same("the output", &json!({"text": "日本語 – ключ"}), &output)
}

pub async fn together(_: &Lab, wire: &mut Wire) -> Verdict {
    wire.greet().await?;
    let requests: Vec<_> = (0..20).map(|_| list(wire)).collect();
    let mut all = String::new();
    for (id, text) in &requests {
        wire.expect(id.clone());
        all.push_str(text);
        all.push('\n');
    }
    wire.pipes()?.write(all.as_bytes()).await?;
    for (id, _) in &requests {
        wire.answer_to(id).await?.ok()?;
    }
    Ok(())
}

pub async fn not_json(_: &Lab, wire: &mut Wire) -> Verdict {
    wire.greet().await?;
    wire.settle().await?;
    let junk = b"hello\n{\"jsonrpc\":\"2.0\",\"id\":\n{\"half\": \"json\n<html>\n";
    wire.pipes()?.write(junk).await?;
    wire.alive("after lines that are not JSON").await?;
    no_error(wire, "lines that are not JSON").await
}

pub async fn invalid_utf8(_: &Lab, wire: &mut Wire) -> Verdict {
    wire.greet().await?;
    wire.settle().await?;
    wire.pipes()?.write(b"\xff\xfe broken \xc3\n").await?;
    wire.alive("after a line that is not UTF-8").await?;
    no_error(wire, "a line that is not UTF-8").await
}

/// Nobody asked, so nobody is answered.
async fn no_error(wire: &mut Wire, to: &str) -> Verdict {
    let strays = wire.quiet().await?;
    let answer = strays.first();
    ensure(
        answer.is_none(),
        format!("{to}: answered"),
        "nothing",
        answer.map(|it| brief(it)).unwrap_or_default(),
    )
}

pub async fn one_line(lab: &Lab, wire: &mut Wire) -> Verdict {
    let echo = lab.component("echo")?;
    let input = json!({"text": "one\ntwo\r\nthree\u{2028}four\u{85}five"});
    let output = wire.run(&echo, input.clone()).await?.output()?;
    same("a text with line breaks", &input, &output)
}

pub async fn clean(lab: &Lab) -> Verdict {
    let noise = lab.oddities.of(Oddity::Noise);
    ensure(
        noise.is_empty(),
        "something on stdout is no message (during the whole run)",
        "messages, one a line",
        noise.join("\n"),
    )
}
