//! `load_file`: the content of a file inside the working folder or where the configuration allows.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;
use stepflow_flow::value::Value;

use super::Builtin;
use crate::options::LoadFile;

/// Larger files are refused: they would have to fit into memory several times.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Which file to read.
#[derive(Deserialize, JsonSchema)]
struct Input {
    /// Relative to the working folder.
    path: String,
    /// How to read it; told from the file's ending when missing.
    #[serde(default)]
    format: Option<Format>,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Yaml,
    Text,
}

/// A file's content.
#[derive(Serialize, JsonSchema)]
struct Output {
    /// The content: a value for JSON and YAML, a string for text.
    data: Value,
    /// Where it came from.
    metadata: Metadata,
}

/// Where a file's content came from.
#[derive(Serialize, JsonSchema)]
struct Metadata {
    /// The full path.
    resolved_path: String,
    /// The file's size.
    size_bytes: u64,
    /// How it was read.
    format: Format,
}

pub(super) fn builtin() -> Builtin {
    Builtin::new(
        "/load_file",
        "Reads a JSON, YAML or text file",
        |context, input: Input| async move {
            let allowed = context.load_file;
            tokio::task::spawn_blocking(move || load(&allowed, &input))
                .await
                .unwrap_or_else(|error| {
                    Err(ErrorCode::INTERNAL.error(format!("reading the file failed: {error}")))
                })
        },
    )
}

fn load(allowed: &LoadFile, input: &Input) -> Result<Output, FlowError> {
    let path = allowed.folder.join(&input.path);
    let path = path
        .canonicalize()
        .map_err(|error| unreadable(&path, &error))?;
    if !may_read(allowed, &path) {
        return Err(ErrorCode::PERMISSION_DENIED.error(format!(
            "{} is outside of the working folder {}; list it under `loadFile: {{allow: […]}}` in the configuration",
            path.display(),
            allowed.folder.display()
        )));
    }
    let size_bytes = path
        .metadata()
        .map_err(|error| unreadable(&path, &error))?
        .len();
    if size_bytes > MAX_FILE_BYTES {
        let text = format!(
            "{} has {size_bytes} bytes, over the limit of {MAX_FILE_BYTES}",
            path.display()
        );
        return Err(ErrorCode::UNAVAILABLE.error(text));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
    let format = input.format.unwrap_or_else(|| format_of(&path));
    let data = parse(format, &path, text)?;
    let resolved_path = path.display().to_string();
    Ok(Output {
        data,
        metadata: Metadata {
            resolved_path,
            size_bytes,
            format,
        },
    })
}

/// Compares real paths, so that neither `..` nor a link leads outside.
fn may_read(allowed: &LoadFile, path: &Path) -> bool {
    let inside = |folder: &PathBuf| {
        folder
            .canonicalize()
            .is_ok_and(|folder| path.starts_with(folder))
    };
    inside(&allowed.folder)
        || allowed
            .allow
            .iter()
            .any(|extra| inside(&allowed.folder.join(extra)))
}

fn format_of(path: &Path) -> Format {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => Format::Json,
        Some("yaml" | "yml") => Format::Yaml,
        _ => Format::Text,
    }
}

fn parse(format: Format, path: &Path, text: String) -> Result<Value, FlowError> {
    let wrong = |why: String| {
        ErrorCode::COMPONENT_FAILED.error(format!("{} cannot be read: {why}", path.display()))
    };
    match format {
        Format::Text => Ok(Value::string(&text)),
        Format::Json => Value::parse(&text).map_err(|error| wrong(error.to_string())),
        Format::Yaml => {
            let source = document::Source::new(&path.display().to_string(), text);
            let mut diagnostics = Diagnostics::new(&source);
            let node = document::read(&source, &mut diagnostics);
            node.filter(|_| !diagnostics.has_errors())
                .map(|node| node.to_value())
                .ok_or_else(|| wrong(diagnostics.to_string()))
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> FlowError {
    ErrorCode::UNAVAILABLE.error(format!("{} cannot be read: {error}", path.display()))
}
