//! `stepflow explain`: what a code means.

use stepflow_flow::diagnostic::Code;
use stepflow_flow::document::nearest;

use crate::args::Explain;
use crate::output;
use crate::report::CliError;
use crate::report::Exit;

/// Prints the explanation of a code, or all codes.
pub fn explain(args: &Explain) -> Result<Exit, CliError> {
    let text = match &args.code {
        None => {
            let all = Code::ALL.iter();
            all.map(|code| format!("{}  {}\n", code.name(), code.summary()))
                .collect()
        }
        Some(name) => match Code::from_name(name) {
            Some(code) => {
                let explanation = code.explanation();
                format!(
                    "{}: {}\n\n{}\n",
                    code.name(),
                    code.summary(),
                    plain(explanation.text)
                )
            }
            None => return Err(unknown(name)),
        },
    };
    output::print(&text)?;
    Ok(Exit::Success)
}

fn unknown(name: &str) -> CliError {
    let error = CliError::usage(format!("there is no code {name:?}"));
    match nearest(
        &name.to_uppercase(),
        Code::ALL.iter().map(|code| code.name()),
    ) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint("`stepflow explain` lists all of them"),
    }
}

/// Markdown for a terminal: code is indented instead of fenced, and links are their words.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut is_code = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            continue;
        }
        let line = match is_code {
            true => format!("    {line}"),
            false => without_links(line),
        };
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.trim_end().to_owned()
}

fn without_links(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, link)) = rest.split_once('[') {
        let parts = link.split_once("](").and_then(|(words, after)| {
            let (_, after) = after.split_once(')')?;
            Some((words, after))
        });
        let Some((words, after)) = parts else { break };
        text.push_str(before);
        text.push_str(words);
        rest = after;
    }
    text.push_str(rest);
    text
}
