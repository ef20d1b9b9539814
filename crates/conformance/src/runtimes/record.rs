//! What a scripted server saw, kept in a file: the runtime starts the server, so that there is no other way back to the suite.
//! Knows nothing of what the lines mean.

use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::transcript::Direction;
use crate::transcript::Line;
use crate::transcript::Recorder;

/// Something that happened to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Event {
    /// It started.
    Started,
    /// A line came in.
    Got(String),
    /// It wrote a line.
    Said(String),
    /// Its input ended.
    Ended,
}

/// An event and the process it happened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub process: u32,
    pub event: Event,
}

/// The file, for a server to write to. Servers that follow one another share it.
#[derive(Debug)]
pub(super) struct Writer(File);

impl Writer {
    pub fn open(path: &Path) -> io::Result<Writer> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Writer(file))
    }

    /// One write for a line: what several processes append does not mix.
    pub fn write(&mut self, event: Event) -> io::Result<()> {
        let process = std::process::id();
        let mut line = serde_json::to_string(&Entry { process, event })?;
        line.push('\n');
        self.0.write_all(line.as_bytes())
    }
}

/// All that happened, process by process in the order of their starts.
#[derive(Debug, Default)]
pub(super) struct Record {
    processes: Vec<(u32, Vec<Event>)>,
}

impl Record {
    /// What stands in the file. A server that was never started wrote none.
    pub fn read(path: &Path) -> Record {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut record = Record::default();
        let entries = text.lines().filter_map(|it| serde_json::from_str(it).ok());
        for Entry { process, event } in entries {
            if event == Event::Started {
                record.processes.push((process, Vec::new()));
            }
            let mut latest = record.processes.iter_mut().rev();
            if let Some((_, events)) = latest.find(|(id, _)| *id == process) {
                events.push(event);
            }
        }
        record
    }

    /// How many processes there were.
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// What a process was sent, as far as it is JSON.
    pub fn got(&self, process: usize) -> Vec<Value> {
        let events = self.processes.get(process).map(|(_, events)| events);
        let lines = events.into_iter().flatten().filter_map(|it| match it {
            Event::Got(line) => serde_json::from_str(line).ok(),
            _ => None,
        });
        lines.collect()
    }

    /// What all processes were sent.
    pub fn all(&self) -> Vec<Value> {
        (0..self.processes()).flat_map(|it| self.got(it)).collect()
    }

    /// Whether the input of the last process ended.
    pub fn has_ended(&self) -> bool {
        let last = self.processes.last();
        last.is_some_and(|(_, events)| events.contains(&Event::Ended))
    }

    /// The same for people.
    pub fn transcript(&self) -> Vec<Line> {
        let recorder = Recorder::default();
        for (number, (_, events)) in (1..).zip(&self.processes) {
            for event in events {
                let (direction, text) = match event {
                    Event::Started => (Direction::Note, "started"),
                    Event::Got(line) => (Direction::Out, line.as_str()),
                    Event::Said(line) => (Direction::In, line.as_str()),
                    Event::Ended => (Direction::Note, "end of input"),
                };
                recorder.note(number, direction, "", text.as_bytes());
            }
        }
        recorder.take()
    }
}
