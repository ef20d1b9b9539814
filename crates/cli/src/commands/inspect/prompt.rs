//! The prompt on a terminal: a line is read, something is done, and again. Owns the words it knows.

use std::io::BufRead;

use stepflow_flow::value::Value;
use tokio::sync::mpsc;

use super::Look;
use super::show;
use crate::output;
use crate::report;
use crate::report::CliError;
use crate::report::Exit;

const HELP: &str = "\
list                  the components
schema NAME           what one takes and gives
call NAME [JSON]      run one; without JSON its input is null
transcript on|off     show every message, or do not
about                 the server and the connection
help                  this
quit                  end; so does Ctrl-D
";

/// Does what is typed until there is no more.
pub async fn run(look: &Look<'_>) -> Result<Exit, CliError> {
    let mut lines = lines();
    output::print("\nType `help` for what can be done here, `quit` to end.\n")?;
    loop {
        output::print("> ")?;
        let Some(line) = lines.recv().await else {
            output::print("\n")?;
            return Ok(Exit::Success);
        };
        if matches!(line.trim(), "quit" | "exit" | "q") {
            return Ok(Exit::Success);
        }
        if let Err(error) = obey(look, line.trim()).await {
            look.context.screen.say(&report::error(&error));
        }
    }
}

/// What is typed. The thread waits for stdin for as long as the program lives.
fn lines() -> mpsc::Receiver<String> {
    let (send, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

async fn obey(look: &Look<'_>, line: &str) -> Result<(), CliError> {
    let (word, rest) = split(line);
    match (word, rest) {
        ("", _) => Ok(()),
        ("help" | "?", _) => output::print(HELP),
        ("about", "") => {
            let about = look.connect().await?;
            output::print(&look.described(&about))
        }
        ("list", "") => {
            let listed = look.list().await;
            look.tell_if_unlisted(&listed.it);
            let names = listed.it.iter().flatten().map(|it| {
                let first = it.description.as_deref().and_then(|it| it.lines().next());
                format!("{}  {}", it.component, first.unwrap_or_default())
            });
            let text: String = names.map(|line| format!("{}\n", line.trim_end())).collect();
            output::print(&text)
        }
        ("schema", name) if !name.is_empty() => schema(look, name).await,
        ("call", rest) if !rest.is_empty() => call(look, rest).await,
        ("transcript", "on") => turn(look, true),
        ("transcript", "off") => turn(look, false),
        _ => {
            Err(CliError::usage(format!("`{line}` is not known here")).hint("`help` lists what is"))
        }
    }
}

/// The first word, and what follows it.
fn split(line: &str) -> (&str, &str) {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (word, rest.trim())
}

fn turn(look: &Look<'_>, on: bool) -> Result<(), CliError> {
    look.watcher.set_transcript(on);
    Ok(())
}

async fn schema(look: &Look<'_>, name: &str) -> Result<(), CliError> {
    let components = match look.list().await.it {
        Ok(components) => components,
        unlisted => {
            look.tell_if_unlisted(&unlisted);
            return Ok(());
        }
    };
    let bare = |name: &str| name.trim_start_matches('/').to_owned();
    match components
        .iter()
        .find(|it| bare(&it.component) == bare(name))
    {
        Some(info) => output::print(&show::component(info)),
        None => {
            let error = CliError::usage(format!("the server has no component {name}"));
            Err(error.hint("`list` shows what it has"))
        }
    }
}

async fn call(look: &Look<'_>, rest: &str) -> Result<(), CliError> {
    let (name, text) = split(rest);
    let input = match text {
        "" => Value::null(),
        text => Value::parse(text).map_err(|error| {
            CliError::usage("the input is not JSON")
                .because(error)
                .hint("such as: call /add {\"a\": 1, \"b\": 2}")
        })?,
    };
    let called = look.call(name, input).await;
    look.print_outcome(&called.outcome.it).map(|_| ())
}
