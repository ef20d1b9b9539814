//! The file of inputs, a line of JSON each. Owns what a line may look like and how one that cannot be read is told; nothing is
//! known here of runs.

use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;

use stepflow_flow::blob::BlobId;
use stepflow_flow::value::Value;
use stepflow_flow::value::ValueError;

use super::Hash;
use crate::input;
use crate::json_text;
use crate::report::CliError;
use crate::report::words;

/// The inputs, one after the other; a line without anything on it is none.
pub struct Inputs {
    lines: BufReader<File>,
    path: PathBuf,
    n_lines: usize,
    line: Vec<u8>,
}

/// An input and where it stands.
pub struct Input {
    pub value: Value,
    /// The number of its line, from 1.
    pub line: usize,
}

impl Inputs {
    /// Starts at the first.
    pub fn open(path: &Path) -> Result<Inputs, CliError> {
        let file = File::open(path).map_err(|error| unreadable(path, error))?;
        Ok(Inputs {
            lines: BufReader::new(file),
            path: path.to_owned(),
            n_lines: 0,
            line: Vec::new(),
        })
    }

    /// How many there are; one that cannot be read is found before anything runs.
    pub fn count(path: &Path) -> Result<usize, CliError> {
        Inputs::open(path)?.try_fold(0, |count, input| input.map(|_| count + 1))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a line says.
    fn read(&self, line: &[u8]) -> Result<Input, CliError> {
        let place = || place(&self.path, self.n_lines);
        let text = std::str::from_utf8(line).map_err(|error| {
            CliError::invalid(format!("{}: not UTF-8", place()))
                .because(error)
                .hint("the file must be text in UTF-8, with one input a line, as JSON")
        })?;
        let value = Value::parse(text).map_err(|error| {
            let (column, why) = match &error {
                ValueError::Syntax(error) => (
                    format!(":{}", error.column()),
                    format!("not JSON: {}", input::without_place(error)),
                ),
                ValueError::NotFinite { .. } => (String::new(), error.to_string()),
            };
            CliError::invalid(format!("{}{column}: {why}", place())).hint(
                "each line is one input, as JSON; `jq -c .` writes JSON so, and `jq -c '.[]'` the items of a list",
            )
        })?;
        Ok(Input {
            value,
            line: self.n_lines,
        })
    }
}

impl Iterator for Inputs {
    type Item = Result<Input, CliError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.line.clear();
            match self.lines.read_until(b'\n', &mut self.line) {
                Ok(0) => return None,
                Ok(_) => self.n_lines += 1,
                Err(error) => return Some(Err(unreadable(&self.path, error))),
            }
            let line = match self.line.strip_prefix("\u{feff}".as_bytes()) {
                Some(rest) if self.n_lines == 1 => rest,
                _ => &self.line,
            };
            // What stands before the value counts for its column.
            let line = line.trim_ascii_end();
            if !line.is_empty() {
                return Some(self.read(line));
            }
        }
    }
}

impl Input {
    /// Tells this input from others, however it is laid out.
    pub fn hash(&self) -> Hash {
        let text = json_text::compact(self.value.as_text());
        let id = BlobId::of(&Value::string(&text));
        Hash::of(id.expect("a string has a canonical form"))
    }
}

/// Where an input stands, for people.
pub fn place(path: &Path, line: usize) -> String {
    format!("{}:{line}", path.display())
}

fn unreadable(path: &Path, error: std::io::Error) -> CliError {
    words::unreadable("the inputs", path, error)
}
