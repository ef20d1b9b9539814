//! Where outcomes go, one a line: stdout, or a file that a later batch can go on with. Owns what a line looks like and which
//! lines count; a line names the flow and the input that it is the outcome of, so that it is never taken for that of others.

use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Seek;
use std::io::Write;
use std::path::Path;

use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;

use super::Counts;
use super::Hash;
use super::inputs::Input;
use super::inputs::Inputs;
use super::inputs::place;
use crate::json_text;
use crate::output;
use crate::report::CliError;
use crate::report::words;

/// How every line begins.
const START: &str = "{\"index\":";

/// What to do when no more can be written.
const GO_ON: &str =
    "the outcomes before this one are there: the same command with --resume goes on after them";

/// Where outcomes go.
pub enum Sink {
    Stdout,
    File { file: File, name: String },
}

/// The text of an outcome, whose line break says that it is whole.
pub fn line(index: usize, outcome: &Outcome, flow: Hash, input: Hash) -> Result<String, CliError> {
    let value = Value::from_serialize(outcome).map_err(|error| {
        CliError::internal("the outcome cannot be written as JSON").because(error)
    })?;
    let text = json_text::compact(value.as_text());
    let inside = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    let inside = inside.expect("an outcome is an object");
    Ok(format!(
        "{START}{index},{inside},\"flowHash\":\"{flow}\",\"inputHash\":\"{input}\"}}\n"
    ))
}

impl Sink {
    /// Opens it for the outcomes of all inputs; what a file holds is written over.
    pub fn create(file: Option<&Path>) -> Result<Sink, CliError> {
        let Some(path) = file else {
            return Ok(Sink::Stdout);
        };
        let (file, name) = open(path, OpenOptions::new().write(true))?;
        if is_regular(&file) {
            file.set_len(0).map_err(|error| unopened(&name, error))?;
        }
        Ok(Sink::File { file, name })
    }

    /// Opens a file that may hold the outcomes of the first inputs already, and says what those come to. The inputs go on after them.
    pub fn resume(
        path: &Path,
        inputs: &mut Inputs,
        flow: Hash,
    ) -> Result<(Sink, Counts), CliError> {
        let (mut file, name) = open(path, OpenOptions::new().read(true).write(true))?;
        if !is_regular(&file) {
            let message = format!("{name} is no file, so that there is nothing to go on with");
            return Err(CliError::usage(message).hint("leave out --resume, or name a file"));
        }
        let mut recorded = Recorded::read(&file, path, flow);
        let counts = recorded.all(inputs)?;
        // The last line may have been cut off.
        let cut = file.set_len(recorded.length);
        let ready = cut.and_then(|()| file.seek(io::SeekFrom::End(0)));
        ready.map_err(|error| unopened(&name, error))?;
        Ok((Sink::File { file, name }, counts))
    }

    pub fn write(&mut self, line: &str) -> Result<(), CliError> {
        match self {
            Sink::Stdout => output::print(line),
            Sink::File { file, name } => {
                let written = file.write_all(line.as_bytes());
                written.map_err(|error| words::unwritable(name, error).hint(GO_ON))
            }
        }
    }
}

/// Opens a file as it is, for this batch alone: the outcomes of two in one file would be those of neither.
fn open(path: &Path, options: &mut OpenOptions) -> Result<(File, String), CliError> {
    let name = path.display().to_string();
    let file = options.create(true).truncate(false).open(path);
    let file = file.map_err(|error| unopened(&name, error))?;
    // Not every file system can lock. What is no file, as a pipe or /dev/null, may take the lines of many.
    if is_regular(&file) && matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        let message = format!("another batch is writing to {name}");
        return Err(CliError::usage(message).hint("wait for its end, or name another file"));
    }
    Ok((file, name))
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn unopened(name: &str, error: io::Error) -> CliError {
    words::unwritable(name, error).hint("no input was run; name a file that you may write to")
}

/// The outcomes that a file holds.
struct Recorded<'a> {
    lines: BufReader<&'a File>,
    path: &'a Path,
    flow: Hash,
    counts: Counts,
    /// Of the whole outcomes.
    length: u64,
}

/// What a line of such a file says.
struct Line {
    outcome: Outcome,
    flow: Value,
    input: Value,
}

impl<'a> Recorded<'a> {
    fn read(file: &'a File, path: &'a Path, flow: Hash) -> Recorded<'a> {
        Recorded {
            lines: BufReader::new(file),
            path,
            flow,
            counts: Counts::default(),
            length: 0,
        }
    }

    /// Counts those that are whole, and compares each with its input.
    fn all(&mut self, inputs: &mut Inputs) -> Result<Counts, CliError> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let n_bytes = self.lines.read_until(b'\n', &mut bytes);
            let n_bytes =
                n_bytes.map_err(|error| words::unreadable("the outcomes", self.path, error))?;
            // The end of the file, or what was being written when the batch was stopped.
            if is_cut_off(&bytes) {
                return Ok(std::mem::take(&mut self.counts));
            }
            let line = self.line(&bytes)?;
            let Some(input) = inputs.next().transpose()? else {
                return Err(self.too_many());
            };
            self.compare(&line, &input, inputs.path())?;
            self.counts.add(&line.outcome);
            self.length += u64::try_from(n_bytes).unwrap_or(u64::MAX);
        }
    }

    fn line(&self, bytes: &[u8]) -> Result<Line, CliError> {
        let read = || {
            let line = Value::parse(std::str::from_utf8(bytes).ok()?).ok()?;
            let index = usize::try_from(line.get("index")?.as_u64()?).ok()?;
            (index == self.counts.done && bytes.ends_with(b"\n")).then_some(())?;
            Some(Line {
                outcome: line.deserialize().ok()?,
                flow: line.get("flowHash")?,
                input: line.get("inputHash")?,
            })
        };
        read().ok_or_else(|| {
            let message = format!("{}: this is no outcome of a batch", self.place());
            CliError::usage(message)
                .hint("name the file that the batch wrote, or leave out --resume")
        })
    }

    fn compare(&self, line: &Line, input: &Input, inputs: &Path) -> Result<(), CliError> {
        let other = if !self.flow.is(&line.flow) {
            "another flow".to_owned()
        } else if !input.hash().is(&line.input) {
            format!("another input than that at {}", place(inputs, input.line))
        } else {
            return Ok(());
        };
        let message = format!("{}: this is the outcome of {other}", self.place());
        Err(CliError::usage(message).hint(format!(
            "nothing was changed. A batch goes on with the same flow and overrides, and the same inputs, to which some may have been \
             added at the end. To run all inputs anew leave out --resume, which writes over {}, or name another file with --output",
            self.path.display()
        )))
    }

    fn too_many(&self) -> CliError {
        let message = format!(
            "{}: this is the outcome of one input more than there are",
            self.place()
        );
        CliError::usage(message).hint("is this the file of outcomes that belongs to these inputs?")
    }

    /// Where the line stands that comes after those that were counted.
    fn place(&self) -> String {
        place(self.path, self.counts.done + 1)
    }
}

/// Whether this is the beginning of an outcome, or nothing at all.
fn is_cut_off(line: &[u8]) -> bool {
    let start = START.as_bytes();
    !line.ends_with(b"\n") && (start.starts_with(line) || line.starts_with(start))
}
