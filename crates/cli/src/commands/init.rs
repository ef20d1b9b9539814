//! `stepflow init`: a flow, a config and a component to start from.

use std::path::Path;
use std::path::PathBuf;

use super::Context;
use crate::args::Init;
use crate::report::CliError;
use crate::report::Exit;
use crate::report::words;

/// What is written, by its name.
const FILES: &[(&str, &str)] = &[
    ("flow.yaml", include_str!("init/flow.yaml")),
    (
        "stepflow-config.yml",
        include_str!("init/stepflow-config.yml"),
    ),
    ("components.py", include_str!("init/components.py")),
];

/// Writes the files and says what to do next.
pub fn init(args: &Init, context: &Context) -> Result<Exit, CliError> {
    let folder = &args.folder;
    let sdk = match &args.sdk {
        Some(sdk) if !is_sdk(sdk) => {
            let message = format!("{} is not the folder of the Python SDK", sdk.display());
            return Err(CliError::usage(message)
                .hint("it is the one with `pyproject.toml` and `src/stepflow_sdk`"));
        }
        Some(sdk) => Some(context.environment.folder.join(sdk)),
        None => find_sdk(&context.environment.folder),
    };
    let there: Vec<_> = FILES
        .iter()
        .filter(|(name, _)| folder.join(name).exists())
        .collect();
    if let Some((first, _)) = there.first() {
        let message = format!(
            "{} is there already, and nothing is overwritten",
            folder.join(first).display()
        );
        return Err(CliError::usage(message).hint("name another folder: `stepflow init hello`"));
    }
    let cannot = |path: &Path, error| words::unwritable(&path.display().to_string(), error);
    std::fs::create_dir_all(folder).map_err(|error| cannot(folder, error))?;
    for (name, text) in FILES {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| cannot(&path, error))?;
    }
    context.screen.tell(&next(folder, sdk.as_deref()));
    Ok(Exit::Success)
}

fn next(folder: &Path, sdk: Option<&Path>) -> String {
    let names: Vec<_> = FILES.iter().map(|(name, _)| *name).collect();
    let go = match folder == Path::new(".") {
        true => String::new(),
        false => format!("  cd {}\n", quoted(&folder.display().to_string())),
    };
    let (sdk, note) = match sdk {
        Some(sdk) => (quoted(&sdk.display().to_string()), ""),
        None => (
            "FOLDER/sdk/python".to_owned(),
            "\nFOLDER is a checkout of Stepflow: the SDK is installed from there, and is in no package index.",
        ),
    };
    format!(
        "wrote {}; now\n{go}  stepflow test flow.yaml\n  python3 -m venv .venv\n  .venv/bin/pip install {sdk}\n  \
         stepflow run flow.yaml --input-json '{{\"name\": \"Ada\"}}'{note}",
        names.join(", ")
    )
}

fn quoted(path: &str) -> String {
    let is_plain = path
        .chars()
        .all(|letter| letter.is_alphanumeric() || "/._-".contains(letter));
    match is_plain {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

/// The SDK of the checkout that this program was built in, or that the current folder is in.
fn find_sdk(folder: &Path) -> Option<PathBuf> {
    let program = std::env::current_exe().ok();
    let places = program
        .iter()
        .flat_map(|it| it.ancestors())
        .chain(folder.ancestors());
    places
        .map(|place| place.join("sdk/python"))
        .find(|sdk| is_sdk(sdk))
}

fn is_sdk(folder: &Path) -> bool {
    folder.join("pyproject.toml").is_file() && folder.join("src/stepflow_sdk").is_dir()
}
