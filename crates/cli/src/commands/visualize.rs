//! `stepflow visualize`: a flow as a picture, or as text that others draw.
//!
//! # Layout
//!
//! - `graph`: what is drawn: ids, components, who needs whom; no values, so no secrets
//! - `mermaid`, `dot`: the graph as text; `svg`: as a picture, laid out by `layout`

mod dot;
mod graph;
mod layout;
mod mermaid;
mod svg;

use std::path::Path;

use super::Context;
use super::tell_warnings;
use crate::args::DrawingFormat;
use crate::args::Visualize;
use crate::flow_file;
use crate::output;
use crate::report::CliError;
use crate::report::Exit;
use crate::report::words;
use graph::Graph;

/// More than anybody can see in one picture, and more than the layout is made for.
const MOST_STEPS: usize = 500;

/// Draws the flow.
pub fn visualize(args: &Visualize, context: &Context) -> Result<Exit, CliError> {
    let format = args.format().ok_or_else(|| unknown_ending(args))?;
    let source = flow_file::read(&args.flow)?;
    let (plan, found) = flow_file::check(&source, None, &context.screen.secrets).into_plan()?;
    tell_warnings(found, context);
    let graph = Graph::of(&plan);
    let text = match format {
        DrawingFormat::Mermaid => mermaid::print(&graph),
        DrawingFormat::Dot => dot::print(&graph),
        DrawingFormat::Svg if plan.steps().len() > MOST_STEPS => {
            let message = format!(
                "a picture of {} steps would show nothing",
                plan.steps().len()
            );
            return Err(CliError::usage(message)
                .hint("use --format dot with a program that draws large graphs"));
        }
        DrawingFormat::Svg => svg::print(&graph),
    };
    let text = context.screen.secrets.scrub(&text);
    match &args.output {
        None => output::print(&text)?,
        Some(file) => std::fs::write(file, &*text)
            .map_err(|error| words::unwritable(&file.display().to_string(), error))?,
    }
    Ok(Exit::Success)
}

fn unknown_ending(args: &Visualize) -> CliError {
    let file = args.output.as_deref().unwrap_or(Path::new(""));
    let message = format!(
        "the name {} does not say how to draw the flow",
        file.display()
    );
    CliError::usage(message).hint(
        "`.svg` is a picture, `.mmd` and `.mermaid` are Mermaid, `.dot` and `.gv` are for Graphviz; any other name needs --format",
    )
}
