//! The component server with a script: correct where its scenario says nothing else. Reads and writes lines by itself, since what
//! it sends is what no library would; judges nothing.

use std::io;
use std::io::BufRead;
use std::io::Write;
use std::path::Path;

use serde_json::Value;
use serde_json::json;

use super::record::Event;
use super::record::Record;
use super::record::Writer;

/// A version of the protocol that nobody speaks.
pub(super) const OTHER_VERSION: u64 = 4242;

/// How much the server writes to stderr at once.
const FLOOD: usize = 1024 * 1024;

/// The error of a component that fails.
pub(super) fn failure() -> Value {
    json!({"code": 4711, "message": "the oven is cold", "data": {"degrees": 18, "wanted": [null, 200.5]}})
}

/// The ids of calls back that wait side by side. Two of them differ in their type alone.
pub(super) fn ids_together() -> Vec<Value> {
    vec![json!(1), json!("1"), json!("third"), json!(0), json!(-5)]
}

/// What a scripted server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    /// Nothing but what is right.
    Ordinary,
    /// Prints to stdout what is no message, and sends notifications that nobody knows.
    Noise,
    /// Answers what was never asked.
    UnknownAnswers,
    /// Answers twice.
    AnswersTwice,
    /// Stores its input and fetches it again.
    CallsBack,
    /// Calls back several times at once.
    CallsTogether,
    /// Calls a method that does not exist.
    UnknownMethod,
    /// Its components have no output but null.
    NullOutput,
    /// Its components fail.
    Failure,
    /// Fills stderr.
    Flood,
    /// Ends during the first call; the next process does not.
    Exit,
    /// Speaks another version.
    Version,
}

const SCENARIOS: [(&str, Scenario); 12] = [
    ("ordinary", Scenario::Ordinary),
    ("noise", Scenario::Noise),
    ("unknown-answers", Scenario::UnknownAnswers),
    ("answers-twice", Scenario::AnswersTwice),
    ("calls-back", Scenario::CallsBack),
    ("calls-together", Scenario::CallsTogether),
    ("unknown-method", Scenario::UnknownMethod),
    ("null-output", Scenario::NullOutput),
    ("failure", Scenario::Failure),
    ("flood", Scenario::Flood),
    ("exit", Scenario::Exit),
    ("version", Scenario::Version),
];

impl Scenario {
    /// What it is called on the command line.
    pub fn name(self) -> &'static str {
        let found = SCENARIOS.iter().find(|(_, it)| *it == self);
        found.map_or("ordinary", |(name, _)| name)
    }

    fn of_name(name: &str) -> Option<Scenario> {
        let found = SCENARIOS.iter().find(|(it, _)| *it == name);
        found.map(|(_, scenario)| *scenario)
    }
}

/// How the server goes on after a message.
enum Next {
    Read,
    Exit,
}

/// Serves stdin and stdout until the input ends or the script does.
///
/// # Errors
/// When there is no such scenario, or a pipe or the record breaks.
pub fn serve(scenario: &str, record: &Path) -> io::Result<()> {
    let unknown = || {
        let names: Vec<_> = SCENARIOS.iter().map(|(name, _)| *name).collect();
        let text = format!("no scenario `{scenario}`; there are {}", names.join(", "));
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let mut server = Server {
        scenario: Scenario::of_name(scenario).ok_or_else(unknown)?,
        is_first: Record::read(record).processes() == 0,
        record: Writer::open(record)?,
        serving: None,
        missing: 0,
    };
    server.record.write(Event::Started)?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        server.record.write(Event::Got(line.clone()))?;
        let Ok(message) = serde_json::from_str(&line) else {
            continue;
        };
        match server.on_message(&message)? {
            Next::Read => {}
            Next::Exit => return Ok(()),
        }
    }
    server.record.write(Event::Ended)
}

/// The execute request that waits for calls back.
struct Serving {
    id: Value,
    value: Value,
}

struct Server {
    scenario: Scenario,
    is_first: bool,
    record: Writer,
    serving: Option<Serving>,
    /// How many calls back are not answered yet.
    missing: usize,
}

impl Server {
    fn say(&mut self, line: &str) -> io::Result<()> {
        self.record.write(Event::Said(line.to_owned()))?;
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()
    }

    fn answer(&mut self, id: &Value, result: Value) -> io::Result<()> {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())
    }

    fn fail(&mut self, id: &Value, error: Value) -> io::Result<()> {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string())
    }

    fn ask(&mut self, id: &Value, method: &str, params: Value) -> io::Result<()> {
        self.missing += 1;
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.say(&message.to_string())
    }

    fn on_message(&mut self, message: &Value) -> io::Result<Next> {
        let id = &message["id"];
        let component = &message["params"]["component"];
        match message["method"].as_str() {
            None => self.on_answer(message)?,
            Some(_) if id.is_null() => {}
            Some("initialize") => {
                let version = match self.scenario {
                    Scenario::Version => OTHER_VERSION,
                    _ => 1,
                };
                self.answer(id, json!({"server_protocol_version": version}))?;
            }
            Some("components/list") => {
                let listed = ["/first", "/second"].map(|it| json!({"component": it}));
                self.answer(id, json!({"components": listed}))?;
            }
            Some("components/info") => {
                self.answer(id, json!({"info": {"component": component}}))?;
            }
            Some("components/execute") => return self.execute(id, &message["params"]["input"]),
            Some("ping") => self.answer(id, json!({}))?,
            Some(_) => self.fail(id, json!({"code": -32601, "message": "no such method"}))?,
        }
        Ok(Next::Read)
    }

    fn execute(&mut self, id: &Value, input: &Value) -> io::Result<Next> {
        let value = input["value"].clone();
        let right = json!({"output": value});
        match self.scenario {
            Scenario::Ordinary | Scenario::Version => self.answer(id, right)?,
            Scenario::Noise => {
                self.make_noise()?;
                self.answer(id, right)?;
            }
            Scenario::UnknownAnswers => {
                for unknown in [json!("nobody-asked"), json!(987_654_321), Value::Null] {
                    self.answer(&unknown, json!({"output": "of an unknown call"}))?;
                    self.fail(&unknown, failure())?;
                }
                self.answer(id, right)?;
            }
            Scenario::AnswersTwice => {
                self.answer(id, right)?;
                self.answer(id, json!({"output": "the second answer"}))?;
                self.fail(id, failure())?;
            }
            Scenario::CallsBack => self.ask(&json!("put"), "blobs/put", json!({"data": value}))?,
            Scenario::CallsTogether => {
                for call in ids_together() {
                    self.ask(&call, "blobs/put", json!({"data": {"of": call}}))?;
                }
            }
            Scenario::UnknownMethod => {
                self.ask(&json!("unknown"), "kitchen/boil", json!({}))?;
            }
            Scenario::NullOutput => self.answer(id, json!({"output": null}))?,
            Scenario::Failure => self.fail(id, failure())?,
            Scenario::Flood => {
                let line = format!("{}\n", "splash ".repeat(16));
                let flood = line.repeat(FLOOD / line.len() + 1);
                io::stderr().lock().write_all(flood.as_bytes())?;
                self.answer(id, right)?;
            }
            Scenario::Exit if self.is_first => return Ok(Next::Exit),
            Scenario::Exit => self.answer(id, right)?,
        }
        let id = id.clone();
        self.serving = Some(Serving { id, value });
        Ok(Next::Read)
    }

    fn make_noise(&mut self) -> io::Result<()> {
        let unknown = r#"{"jsonrpc":"2.0","method":"kitchen/smoke","params":{"of":"toast"}}"#;
        let without_params = r#"{"jsonrpc":"2.0","method":"$/kitchen"}"#;
        for line in [
            "loading the model …",
            "",
            "{\"half\": ",
            unknown,
            without_params,
        ] {
            self.say(line)?;
        }
        Ok(())
    }

    /// The answer to a call back. After the last one, the request that waited for it is answered.
    fn on_answer(&mut self, message: &Value) -> io::Result<()> {
        let Some(Serving { id, value }) = self.serving.take() else {
            return Ok(());
        };
        self.missing = self.missing.saturating_sub(1);
        let blob = &message["result"]["blob_id"];
        let data = &message["result"]["data"];
        let output = match (self.scenario, message["id"].as_str()) {
            (Scenario::CallsBack, Some("put")) => {
                self.ask(&json!("get"), "blobs/get", json!({"blob_id": blob}))?;
                None
            }
            (Scenario::CallsBack, _) => Some(data.clone()),
            _ => (self.missing == 0).then(|| value.clone()),
        };
        match output {
            Some(output) => self.answer(&id, json!({"output": output})),
            None => {
                self.serving = Some(Serving { id, value });
                Ok(())
            }
        }
    }
}
