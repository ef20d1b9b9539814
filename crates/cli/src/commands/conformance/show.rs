//! Reports of the suite as text: a table for people, JSON for programs, JUnit's XML for build servers.

use std::fmt::Write;

use stepflow_conformance::Finding;
use stepflow_conformance::Outcome;
use stepflow_conformance::Report;
use stepflow_conformance::Requirement;
use stepflow_conformance::Severity;
use stepflow_conformance::Way;
use stepflow_conformance::transcript::Line;
use stepflow_flow::value::Value;

use crate::args::SuiteFormat;
use crate::output;
use crate::report;
use crate::secrets::Secrets;
use crate::wire_text::LONGEST_MESSAGE;
use crate::wire_text::brief;
use crate::xml_text;

/// The widest name of a requirement.
const NAME: usize = 34;

/// The table for people, as far as it is written.
#[derive(Debug, Default)]
pub struct Table {
    group: String,
}

impl Table {
    /// The next row, below the name of its group where that is another one.
    pub fn row(&mut self, finding: &Finding, secrets: &Secrets) -> String {
        let requirement = finding.requirement;
        let mut text = String::new();
        if requirement.group() != self.group {
            requirement.group().clone_into(&mut self.group);
            let _ = writeln!(text, "\n{}", self.group);
        }
        let word = match &finding.outcome {
            Outcome::Pass => "pass",
            Outcome::Fail { .. } => "FAIL",
            Outcome::Skip { .. } => "skip",
        };
        let Requirement {
            id,
            severity,
            behaviour,
            ..
        } = requirement;
        let severity = severity.to_string();
        let _ = writeln!(text, "  {word}  {id:NAME$} {severity:6}  {behaviour}");
        match &finding.outcome {
            Outcome::Pass => {}
            Outcome::Skip { reason } => {
                let _ = writeln!(text, "        {}", secrets.scrub(reason));
            }
            Outcome::Fail { .. } => {
                text.push_str(&report::indent(&details(finding, secrets), "        "))
            }
        }
        if matches!(finding.outcome, Outcome::Fail { .. }) {
            text.push('\n');
        }
        text
    }
}

/// What is wrong, and what was said.
fn details(finding: &Finding, secrets: &Secrets) -> String {
    let Outcome::Fail { fault, transcript } = &finding.outcome else {
        return String::new();
    };
    let mut text = format!(
        "{}\nexpected  {}\nseen      {}\nwritten   docs/protocol/{}\n",
        fault.reason, fault.expected, fault.seen, finding.requirement.section
    );
    text = secrets.scrub(&text).into_owned();
    for line in transcript {
        let _ = writeln!(text, "{}", said(line, secrets));
    }
    without_controls(&text)
}

/// What a server says is shown, and does nothing to the terminal.
fn without_controls(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

fn said(line: &Line, secrets: &Secrets) -> String {
    let head = match line.head.as_str() {
        "" => String::new(),
        head => format!("{} ", secrets.scrub(head)),
    };
    let text = brief(&line.text, LONGEST_MESSAGE, secrets);
    let cut = match line.size > line.text.len() + 2 {
        true => format!(" ({} bytes in all)", line.size),
        false => String::new(),
    };
    let arrow = line.direction.arrow();
    format!("{} {arrow} {head}{text}{cut}", line.connection)
}

/// The last lines of the table.
pub fn summary(report: &Report) -> String {
    let counts = report.counts();
    let server = report.server.as_deref().unwrap_or("the server");
    let way = match report.way {
        Way::Stdio => " over stdio".to_owned(),
        way => format!(" over HTTP, {}", way.name()),
    };
    let mut text = format!(
        "\n{server}{way}: {} passed, {} failed, {} not as recommended, {} skipped\n",
        counts.passed, counts.failed, counts.warned, counts.skipped
    );
    let failed = report
        .findings
        .iter()
        .filter(|it| matches!(it.outcome, Outcome::Fail { .. }));
    for finding in failed {
        let Requirement { id, severity, .. } = finding.requirement;
        let severity = severity.to_string();
        let _ = writeln!(text, "  {id:NAME$} {severity}");
    }
    text
}

/// The requirements alone.
pub fn list(all: &[&Requirement], format: SuiteFormat) -> String {
    if format == SuiteFormat::Json {
        return output::json(&Value::list(all.iter().map(|it| described(it))));
    }
    let mut text = String::new();
    for Requirement {
        id,
        severity,
        behaviour,
        ..
    } in all
    {
        let severity = severity.to_string();
        let _ = writeln!(text, "{id:NAME$} {severity:6}  {behaviour}");
    }
    text
}

fn described(requirement: &Requirement) -> Value {
    Value::object(fields(requirement))
}

fn fields(requirement: &Requirement) -> [(&'static str, Value); 5] {
    let ways = requirement.over.iter().map(|way| Value::string(way.name()));
    [
        ("id", Value::string(&requirement.id)),
        ("severity", Value::string(&requirement.severity.to_string())),
        ("section", Value::string(&requirement.section)),
        ("over", Value::list(ways)),
        ("behaviour", Value::string(&requirement.behaviour)),
    ]
}

/// The report for programs.
pub fn json(report: &Report, secrets: &Secrets) -> Value {
    let counts = report.counts();
    let number = |count: usize| Value::from_serialize(&count).expect("a number is JSON");
    let optional = |text: Option<&str>| text.map_or_else(Value::null, Value::string);
    let counts = [
        ("passed", number(counts.passed)),
        ("failed", number(counts.failed)),
        ("notAsRecommended", number(counts.warned)),
        ("skipped", number(counts.skipped)),
    ];
    let findings = report.findings.iter().map(|it| finding(it, secrets));
    Value::object([
        ("server", optional(report.server.as_deref())),
        ("mode", Value::string(report.way.name())),
        ("counts", Value::object(counts)),
        ("findings", Value::list(findings)),
    ])
}

fn finding(finding: &Finding, secrets: &Secrets) -> Value {
    let clean = |text: &str| Value::string(&secrets.scrub(text));
    let mut entries = Vec::from(fields(finding.requirement));
    let milliseconds = u64::try_from(finding.took.as_millis()).unwrap_or(u64::MAX);
    let took = Value::from_serialize(&milliseconds).expect("a number is JSON");
    entries.push(("ms", took));
    match &finding.outcome {
        Outcome::Pass => entries.push(("outcome", Value::string("pass"))),
        Outcome::Skip { reason } => {
            entries.push(("outcome", Value::string("skip")));
            entries.push(("reason", clean(reason)));
        }
        Outcome::Fail { fault, transcript } => {
            let lines = transcript
                .iter()
                .map(|it| Value::string(&said(it, secrets)));
            entries.push(("outcome", Value::string("fail")));
            entries.push(("reason", clean(&fault.reason)));
            entries.push(("expected", clean(&fault.expected)));
            entries.push(("seen", clean(&fault.seen)));
            entries.push(("transcript", Value::list(lines)));
        }
    }
    Value::object(entries)
}

/// The report for build servers. What is only recommended is no failure there: it stands in the output of its case.
pub fn junit(report: &Report, secrets: &Secrets) -> String {
    let counts = report.counts();
    let seconds = |finding: &Finding| finding.took.as_secs_f64();
    let total: f64 = report.findings.iter().map(seconds).sum();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"stepflow conformance\" tests=\"{}\" failures=\"{}\" \
         skipped=\"{}\" time=\"{total:.3}\">\n",
        report.findings.len(),
        counts.failed,
        counts.skipped
    );
    for finding in &report.findings {
        let requirement = finding.requirement;
        let _ = write!(
            text,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            xml(requirement.group()),
            xml(&requirement.id),
            seconds(finding)
        );
        text.push_str(&case(finding, secrets));
    }
    text + "</testsuite>\n"
}

/// What stands in a case, and its end.
fn case(finding: &Finding, secrets: &Secrets) -> String {
    match &finding.outcome {
        Outcome::Pass => "/>\n".to_owned(),
        Outcome::Skip { reason } => format!(
            "><skipped message=\"{}\"/></testcase>\n",
            xml(&secrets.scrub(reason))
        ),
        Outcome::Fail { fault, .. } => {
            let details = xml(&details(finding, secrets));
            match finding.requirement.severity {
                Severity::Must => format!(
                    "><failure message=\"{}\">{details}</failure></testcase>\n",
                    xml(&secrets.scrub(&fault.reason))
                ),
                Severity::Should => {
                    format!("><system-out>{details}</system-out></testcase>\n")
                }
            }
        }
    }
}

fn xml(text: &str) -> String {
    xml_text::escaped(text, '?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_written_as_xml_takes_it() {
        let cases = [
            ("a < b & \"c\"", "a &lt; b &amp; &quot;c&quot;"),
            ("line\nline\u{0}\u{1b}[0m", "line\nline??[0m"),
            ("é日😀", "é日😀"),
        ];
        for (text, expected) in cases {
            assert_eq!(xml(text), expected);
        }
    }
}
