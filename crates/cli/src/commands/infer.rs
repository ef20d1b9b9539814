//! `stepflow infer`: a flow with the types of its values, as far as they are known.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt::Write;

use serde_json::json;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document;
use stepflow_flow::document::Source;
use stepflow_flow::flow::Flow;
use stepflow_flow::plan;
use stepflow_flow::plan::ComponentSchemas;
use stepflow_flow::plan::FlowTypes;
use stepflow_flow::value::Value;

use super::Context;
use super::load_config;
use super::tell_warnings;
use crate::args::Infer;
use crate::args::TypesFormat;
use crate::assemble::assemble;
use crate::config::Config;
use crate::flow_file;
use crate::output;
use crate::progress;
use crate::report::CliError;
use crate::report::Exit;
use crate::report::failure;

/// Prints the flow with its types.
pub async fn infer(args: &Infer, context: &Context) -> Result<Exit, CliError> {
    let source = flow_file::read(&args.flow)?;
    let config = load_config(&args.config, Some(&args.flow), context)?;
    let asked = match args.start {
        true => ask(config.clone(), context).await?,
        false => HashMap::new(),
    };
    let told = |path: &str| asked.get(path).cloned();
    let checked = flow_file::check_with(&source, Some(&config), &told, &context.screen.secrets);
    let (_, found) = checked.into_plan()?;
    tell_warnings(found, context);
    let known = |path: &str| told(path).or_else(|| flow_file::schemas(&config, path));
    let Some(flow) = Flow::read(&source, &mut Diagnostics::new(&source)) else {
        return Err(CliError::internal(
            "a flow could be checked and not be read",
        ));
    };
    let types = plan::infer(&flow, &known);
    let text = match args.format {
        TypesFormat::Flow => annotated(&source, &flow, &types),
        TypesFormat::Json => as_json(&flow, &types),
    };
    output::print(&context.screen.secrets.scrub(&text))?;
    Ok(Exit::Success)
}

/// What the component servers say of their components, by every path that leads to one.
async fn ask(
    config: Config,
    context: &Context,
) -> Result<HashMap<String, ComponentSchemas>, CliError> {
    let runtime = assemble(config)?;
    let listed = tokio::select! {
        signal = context.signals.first() => Err(CliError::interrupted(signal)),
        listings = runtime.plugins.list() => Ok(listings),
        never = progress::wait(&context.screen, "asking the plugins") => match never {},
    };
    runtime.shut_down().await;
    let mut asked = HashMap::new();
    for listing in listed? {
        let components = match listing.components {
            Ok(components) => components,
            Err(failure) => {
                context.screen.tell(&failure::render_plugin(&failure.error));
                continue;
            }
        };
        for (paths, info) in components {
            let schemas = ComponentSchemas {
                input: info.input_schema,
                output: info.output_schema,
            };
            asked.extend(paths.into_iter().map(|path| (path, schemas.clone())));
        }
    }
    Ok(asked)
}

fn as_json(flow: &Flow, types: &FlowTypes) -> String {
    let steps: serde_json::Map<_, _> = flow
        .steps
        .iter()
        .zip(&types.steps)
        .map(|(step, types)| {
            let one = json!({
                "component": &*step.component,
                "input": types.input.to_string(),
                "output": types.output.to_string(),
            });
            (step.id.to_string(), one)
        })
        .collect();
    let all = json!({ "steps": steps, "output": types.output.to_string() });
    output::json(&Value::from(all))
}

/// The text, with a comment above each step and the output. Where comments cannot stand (a text in the middle of which a
/// step begins), all of them come first.
fn annotated(source: &Source, flow: &Flow, types: &FlowTypes) -> String {
    let mut comments: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (step, types) in flow.steps.iter().zip(&types.steps) {
        let at = step.id_span.start().min(step.component_span.start());
        let comment = format!("# {}: {} → {}", step.id, types.input, types.output);
        comments
            .entry(line_start(source, at))
            .or_default()
            .push(comment);
    }
    let output = flow.output_span.start();
    let comment = format!("# output: {}", types.output);
    comments
        .entry(line_start(source, output))
        .or_default()
        .push(comment);
    let text = with_comments(source.text(), &comments);
    if value_of(&text) == value_of(source.text()) {
        return text;
    }
    let mut text = String::new();
    comments.values().flatten().for_each(|comment| {
        let _ = writeln!(text, "{comment}");
    });
    text + source.text()
}

/// The start of the line with the key of what stands here: the one above, where a block begins.
fn line_start(source: &Source, at: usize) -> usize {
    let text = source.text();
    let start = text[..at].rfind('\n').map_or(0, |found| found + 1);
    let is_block = text[start..at].trim().is_empty() && start > 0;
    match is_block {
        true => text[..start - 1].rfind('\n').map_or(0, |found| found + 1),
        false => start,
    }
}

fn with_comments(text: &str, comments: &BTreeMap<usize, Vec<String>>) -> String {
    let mut out = String::new();
    let mut done = 0;
    for (start, comments) in comments {
        out.push_str(&text[done..*start]);
        let line = &text[*start..];
        let indent = &line[..line.len() - line.trim_start_matches(' ').len()];
        for comment in comments {
            // An id may hold anything but control characters; a type may hold any key.
            let comment = comment.replace(char::is_control, " ");
            let _ = writeln!(out, "{indent}{comment}");
        }
        done = *start;
    }
    out.push_str(&text[done..]);
    out
}

fn value_of(text: &str) -> Option<Value> {
    let source = Source::new("the flow", text);
    let mut diagnostics = Diagnostics::new(&source);
    let node = document::read(&source, &mut diagnostics);
    let node = node.filter(|_| !diagnostics.has_errors());
    node.map(|node| node.to_value())
}
