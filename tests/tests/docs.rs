//! What the pages show is true: each code block is checked as its first line says (see the table of fences in STYLE.md),
//! and tables that repeat the code are compared with it. All problems are reported at once, each with its place.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stepflow_flow::blob::BlobId;
use stepflow_flow::diagnostic::Code;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::diagnostic::Severity;
use stepflow_flow::document;
use stepflow_flow::document::Source;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::expression;
use stepflow_flow::plan;
use stepflow_flow::schema::Schema;
use stepflow_flow::value::Value;
use stepflow_protocol::blob;
use stepflow_protocol::component;
use stepflow_protocol::flow;
use stepflow_protocol::lifecycle;
use stepflow_protocol::notice;
use stepflow_rpc::Message;
use stepflow_rpc::Method;
use stepflow_rpc::Notice;
use stepflow_rpc::peer::Cancel;
use stepflow_tests::environment::Python;
use stepflow_tests::environment::workspace;
use stepflow_tests::program::Folder;
use stepflow_tests::value;

/// A code block of a page.
struct Block {
    /// `docs/flows.md:12`.
    place: String,
    /// The words behind the backticks.
    fence: String,
    text: String,
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![workspace().join("README.md")];
    let mut folders = vec![workspace().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for page in &pages() {
        let text = std::fs::read_to_string(page).unwrap();
        let name = page
            .strip_prefix(workspace())
            .unwrap_or(page)
            .display()
            .to_string();
        let mut open: Option<Block> = None;
        for (number, line) in text.lines().enumerate() {
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(fence)) => {
                    open = Some(Block {
                        place: format!("{name}:{}", number + 1),
                        fence: fence.trim().to_owned(),
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{name}: a code block is not closed");
    }
    blocks
}

// req: docs.fences
#[test]
fn code_blocks_hold_what_they_say() {
    let mut problems = Vec::new();
    let blocks = blocks();
    assert!(
        blocks.len() > 40,
        "only {} code blocks were found",
        blocks.len()
    );
    for block in &blocks {
        let result = match block.fence.as_str() {
            "yaml flow" => check_flow(&block.text),
            "yaml flow-fails" => match check_flow(&block.text) {
                Ok(()) => Err("no problem was found".to_owned()),
                Err(_) => Ok(()),
            },
            "yaml steps" => {
                let steps: String = block
                    .text
                    .lines()
                    .map(|line| format!("  {line}\n"))
                    .collect();
                check_flow(&format!("steps:\n{steps}output: null\n"))
            }
            "yaml expression" => block.text.lines().try_for_each(check_expression),
            "yaml config" => check_config(&block.text, Strict::Whole),
            "yaml config-part" => check_config(&block.text, Strict::KeysOnly),
            "json" => Value::parse(&block.text)
                .map(|_| ())
                .map_err(|error| error.to_string()),
            "json message" => check_messages([block.text.as_str()]),
            "json wire" => check_messages(block.text.lines()),
            // Transcripts have a test of their own.
            "python" | "python run" | "sh" | "text" | "text transcript" => Ok(()),
            other => Err(format!("no such fence: {other:?} (STYLE.md has the table)")),
        };
        problems.extend(result.err().map(|why| format!("{}: {why}", block.place)));
    }
    problems.extend(check_python(&blocks));
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Errors and warnings. A note is no complaint: a step of an example may well be there for its effect.
fn told(diagnostics: &Diagnostics) -> Result<(), String> {
    let complaints = diagnostics
        .iter()
        .filter(|it| it.severity != Severity::Note);
    let all: Vec<_> = complaints.map(ToString::to_string).collect();
    if all.is_empty() {
        Ok(())
    } else {
        Err(all.join("; "))
    }
}

fn check_flow(text: &str) -> Result<(), String> {
    told(&plan::check(&Source::new("block", text)).diagnostics)?;
    fits("flow", text)
}

/// Whether a text fits one of the schemas that editors use.
fn fits(schema: &str, text: &str) -> Result<(), String> {
    let schema = Schema::compile(&value(&read(&format!("schemas/{schema}.json")))).unwrap();
    let source = Source::new("block", text);
    let node = document::read(&source, &mut Diagnostics::new(&source)).expect("it was read before");
    let violations = schema.validate(&node.to_value());
    violations.map_err(|violations| format!("the schema refuses it: {violations:?}"))
}

fn check_expression(line: &str) -> Result<(), String> {
    let source = Source::new("block", line);
    let mut diagnostics = Diagnostics::new(&source);
    if let Some(node) = document::read(&source, &mut diagnostics) {
        expression::parse(&node, &mut diagnostics);
    }
    told(&diagnostics).map_err(|why| format!("{line}: {why}"))
}

enum Strict {
    Whole,
    KeysOnly,
}

fn check_config(text: &str, strict: Strict) -> Result<(), String> {
    let folder = Folder::default().file("config.yml", text);
    let ran = folder.run(&["validate", "--config", "config.yml"]);
    let is_good = match strict {
        Strict::Whole => ran.code == Some(0),
        // Unknown keys are E0201; that a part refers to what is not in it is no mistake.
        Strict::KeysOnly => !ran.stderr.contains("E0201") && !ran.stderr.contains("panicked"),
    };
    match strict {
        _ if !is_good => Err(ran.stderr),
        Strict::Whole => fits("config", text),
        Strict::KeysOnly => Ok(()),
    }
}

/// Compiles, and runs what is to be run, in one Python; it answers with what does not work.
fn check_python(blocks: &[Block]) -> Vec<String> {
    const CHECK: &str = "
import json, sys
problems = []
for place, fence, text in json.load(sys.stdin):
    try:
        code = compile(text, place, 'exec')
        if fence == 'python run':
            exec(code, {'__name__': place})
    except BaseException as error:
        problems.append(f'{place}: {type(error).__name__}: {error}')
json.dump(problems, sys.stdout)
";
    let python = blocks
        .iter()
        .filter(|block| block.fence.starts_with("python"));
    let python: Vec<_> = python.map(|it| (&it.place, &it.fence, &it.text)).collect();
    let mut child = Command::new(Python::Project.interpreter())
        .args(["-c", CHECK])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(&serde_json::to_vec(&python).unwrap())
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

type Reader = fn(&str) -> Result<Value, String>;

/// Reads a text as a type and writes it again.
fn through<T: Serialize + DeserializeOwned>(text: &str) -> Result<Value, String> {
    let read: T = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Value::from_serialize(&read).map_err(|error| error.to_string())
}

/// How the params and the result of each method are read.
fn methods() -> HashMap<&'static str, (Reader, Option<Reader>)> {
    fn method<M: Method>() -> (&'static str, (Reader, Option<Reader>)) {
        (M::NAME, (through::<M::Params>, Some(through::<M::Result>)))
    }
    fn notice<N: Notice>() -> (&'static str, (Reader, Option<Reader>)) {
        (N::NAME, (through::<N::Params>, None))
    }
    HashMap::from([
        method::<lifecycle::Initialize>(),
        notice::<lifecycle::Initialized>(),
        method::<lifecycle::Ping>(),
        method::<component::List>(),
        method::<component::Info>(),
        method::<component::Execute>(),
        method::<blob::Put>(),
        method::<blob::Get>(),
        method::<flow::Evaluate>(),
        method::<flow::GetMetadata>(),
        method::<flow::SubmitBatch>(),
        method::<flow::GetBatch>(),
        notice::<Cancel>(),
        notice::<notice::Progress>(),
        notice::<notice::Log>(),
    ])
}

/// Messages in their order: each has the shape of its method, and no field that the method does not know.
fn check_messages<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    let methods = methods();
    let mut asked = HashMap::new();
    for line in lines {
        let wrong = |why: String| format!("{line:.100}: {why}");
        fits("protocol", line).map_err(wrong)?;
        let message = Message::decode(line).map_err(|error| wrong(format!("{error:?}")))?;
        let (text, reader) = match &message {
            Message::Request(it) => {
                let method = methods.get(&*it.method);
                asked.insert(it.id.clone(), method.and_then(|method| method.1));
                (it.params.get(), method.map(|method| method.0))
            }
            Message::Notification(it) => {
                let method = methods.get(&*it.method);
                (it.params.get(), method.map(|method| method.0))
            }
            Message::Unattributed(_) => continue,
            Message::Response(it) => match (&it.result, asked.get(&it.id)) {
                (Ok(result), Some(reader)) => (result.get(), *reader),
                // An error, or an answer whose question is not shown.
                _ => continue,
            },
        };
        let reader = reader.ok_or_else(|| wrong("the protocol has no such method".to_owned()))?;
        let written = reader(text).map_err(wrong)?;
        let given = Value::parse(text).map_err(|error| wrong(error.to_string()))?;
        is_part_of(&given, &written).map_err(wrong)?;
    }
    Ok(())
}

/// Whether all fields of an object are in another, so that none of them is one that a reader ignores.
fn is_part_of(given: &Value, known: &Value) -> Result<(), String> {
    for (key, value) in given.entries() {
        match known.get(key) {
            Some(known) => is_part_of(value, &known)?,
            None if value.is_null() => {}
            None => return Err(format!("the protocol has no field `{key}` here")),
        }
    }
    Ok(())
}

/// The flows and configs of the examples, which the pages do not show whole.
#[test]
fn the_examples_fit_the_schemas() {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(workspace().join("examples"))
        .unwrap()
        .flatten()
    {
        for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
            let text = || std::fs::read_to_string(file.path()).unwrap();
            let name = file.file_name().into_string().unwrap();
            match name.as_str() {
                "flow.yaml" => found.push((name, fits("flow", &text()))),
                "stepflow-config.yml" => found.push((name, fits("config", &text()))),
                _ => {}
            }
        }
    }
    assert!(found.len() >= 6, "{found:?}");
    assert!(found.iter().all(|(_, fits)| fits.is_ok()), "{found:#?}");
}

/// What the types of the protocol refuse, its schema refuses.
#[test]
fn the_schema_of_the_protocol_is_no_milder_than_its_types() {
    for message in [
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"runtime_protocol_version":"1"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"components/execute","params":{"component":"/a"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"components/execute","params":{"component":5,"input":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"components/info","params":{"component":null}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"blobs/put","params":{"data":1,"blob_type":"other"}}"#,
        r#"{"jsonrpc":"2.0","method":"$/progress","params":{"fraction":0.5}}"#,
        r#"{"jsonrpc":"2.0","method":"$/log","params":{"level":"info"}}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"no/such"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":"m"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":"m"}}"#,
        r#"{"jsonrpc":"2.0","result":1}"#,
    ] {
        assert!(fits("protocol", message).is_err(), "{message}");
    }
    for message in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":"a","result":null}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":4242,"message":"m","data":[1]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"components/execute","params":{"component":"/a","input":null,"later":1}}"#,
        r#"{"jsonrpc":"2.0","method":"initialized"}"#,
    ] {
        assert_eq!(fits("protocol", message), Ok(()), "{message}");
    }
}

// req: docs.error-table
#[test]
fn the_table_of_error_codes_is_the_one_in_the_code() {
    let page = read("docs/protocol/message-format.md");
    let section = page
        .split("\n## Error codes\n")
        .nth(1)
        .expect("the page has the section");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter(|line| line.starts_with("| -3"));
    let listed: Vec<i64> = rows
        .map(|row| row.split('|').nth(1).unwrap().trim().parse().unwrap())
        .collect();
    let known: Vec<i64> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
    assert_eq!(listed, known);
}

// req: docs.diagnostics-table
#[test]
fn the_table_of_diagnostics_is_the_one_in_the_code() {
    let page = read("docs/flows.md");
    let rows = page.lines().filter(|line| line.starts_with("| E"));
    let listed: Vec<_> = rows.map(str::to_owned).collect();
    let known = Code::ALL
        .iter()
        .map(|code| format!("| {} | {} |", code.name(), code.summary()));
    assert_eq!(listed, known.collect::<Vec<_>>());
}

// req: docs.blob-example
#[test]
fn the_example_of_a_blob_id_is_right() {
    let page = read("docs/protocol/message-format.md");
    let example = page
        .split("\nExample: ")
        .nth(1)
        .expect("the page has the example");
    let quoted: Vec<_> = example.split('`').skip(1).step_by(2).take(3).collect();
    let [value, canonical, id] = quoted[..] else {
        panic!("the example has a value, a canonical form and an id: {quoted:?}");
    };
    let value = Value::parse(value).unwrap();
    assert_eq!(stepflow_flow::blob::canonical(&value).unwrap(), canonical);
    assert_eq!(BlobId::of(&value).unwrap().to_string(), id);
}

fn read(page: &str) -> String {
    std::fs::read_to_string(workspace().join(Path::new(page))).unwrap()
}
