//! `stepflow list-components`: what every plugin offers, and which plugins are broken.

use std::fmt::Write;

use stepflow_components::plugins::Listing;
use stepflow_flow::value::Value;
use stepflow_protocol::component::ComponentInfo;

use super::Context;
use super::load_config;
use crate::args::ListComponents;
use crate::args::ListFormat;
use crate::assemble::assemble;
use crate::json_text;
use crate::output;
use crate::progress;
use crate::report;
use crate::report::CliError;
use crate::report::Exit;
use crate::report::failure;
use crate::yaml_text;

/// Asks every plugin and prints the list.
pub async fn list_components(args: &ListComponents, context: &Context) -> Result<Exit, CliError> {
    let config = load_config(&args.config, None, context)?;
    if config.file.is_none() {
        let text = "there is no config in the current folder: these are the built-ins alone";
        context.screen.tell(text);
    }
    let runtime = assemble(config)?;
    let listed = tokio::select! {
        signal = context.signals.first() => Err(CliError::interrupted(signal)),
        listings = runtime.plugins.list() => Ok(listings),
        never = progress::wait(&context.screen, "asking the plugins") => match never {},
    };
    let exit = listed.and_then(|listings| tell(&listings, args, context));
    runtime.shut_down().await;
    exit
}

fn tell(listings: &[Listing], args: &ListComponents, context: &Context) -> Result<Exit, CliError> {
    let text = match args.format {
        ListFormat::Pretty => pretty(listings, args.schemas),
        ListFormat::Json => output::json(&as_value(listings, args.schemas)),
        ListFormat::Yaml => yaml_text::print(&as_value(listings, args.schemas)),
    };
    output::print(&text)?;
    let mut exit = Exit::Success;
    for listing in listings {
        if let Err(failure) = &listing.components {
            exit = Exit::Failed;
            context.screen.say(&failure::render_plugin(&failure.error));
        }
    }
    Ok(exit)
}

fn pretty(listings: &[Listing], with_schemas: bool) -> String {
    let mut text = String::new();
    for listing in listings {
        let _ = writeln!(text, "{}", listing.plugin);
        match &listing.components {
            Err(_) => text.push_str("  broken\n"),
            Ok(components) if components.is_empty() => text.push_str("  no components\n"),
            Ok(components) => write_components(&mut text, components, with_schemas),
        }
    }
    text
}

fn write_components(
    text: &mut String,
    components: &[(Vec<String>, ComponentInfo)],
    with_schemas: bool,
) {
    let name = |(paths, info): &(Vec<String>, ComponentInfo)| match paths.as_slice() {
        [] => format!("{} (no route)", info.component),
        paths => paths.join(", "),
    };
    let width = components
        .iter()
        .map(|it| name(it).chars().count())
        .max()
        .unwrap_or(0);
    for component in components {
        let (_, info) = component;
        let description = info
            .description
            .as_deref()
            .and_then(|it| it.lines().next())
            .unwrap_or_default();
        let line = format!("  {:width$}  {description}", name(component));
        let _ = writeln!(text, "{}", line.trim_end());
        let schemas = [
            ("input", &info.input_schema),
            ("output", &info.output_schema),
        ];
        for (what, schema) in schemas.into_iter().filter(|_| with_schemas) {
            if let Some(schema) = schema {
                let _ = writeln!(text, "      {what}:{}", readable(schema));
            }
        }
    }
}

/// A schema on one line, or as YAML below its name.
pub(super) fn readable(schema: &Value) -> String {
    const LONGEST_LINE: usize = 100;
    let line = json_text::compact(schema.as_text());
    if line.len() <= LONGEST_LINE {
        return format!(" {line}");
    }
    let lines = yaml_text::print(schema);
    format!("\n{}", report::indent(lines.trim_end(), "        "))
}

fn as_value(listings: &[Listing], with_schemas: bool) -> Value {
    let plugins = listings.iter().map(|listing| {
        let rest = match &listing.components {
            Ok(components) => {
                let components = components
                    .iter()
                    .map(|it| component_as_value(it, with_schemas));
                ("components", Value::list(components))
            }
            Err(failure) => {
                let error = Value::from_serialize(&failure.error);
                ("error", error.expect("an error that came as JSON is JSON"))
            }
        };
        Value::object([("plugin", Value::string(&listing.plugin)), rest])
    });
    Value::object([("plugins", Value::list(plugins))])
}

fn component_as_value((paths, info): &(Vec<String>, ComponentInfo), with_schemas: bool) -> Value {
    let paths = paths.iter().map(|path| Value::string(path));
    let mut entries = vec![
        ("component", Value::string(&info.component)),
        ("paths", Value::list(paths)),
    ];
    entries.extend(
        info.description
            .as_deref()
            .map(|it| ("description", Value::string(it))),
    );
    if with_schemas {
        entries.extend(info.input_schema.clone().map(|it| ("inputSchema", it)));
        entries.extend(info.output_schema.clone().map(|it| ("outputSchema", it)));
    }
    Value::object(entries)
}
