//! Logs: to the screen for people or programs, and to a file. Owns their format and what is logged unasked.

use std::fmt;
use std::fmt::Write as _;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tracing::Event;
use tracing::Level;
use tracing::Subscriber;
use tracing::field::Field;
use tracing::field::Visit;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::FormatEvent;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::Global;
use crate::args::LogFormat;
use crate::paint;
use crate::report::CliError;
use crate::report::words;
use crate::screen::Loudness;
use crate::screen::Screen;
use crate::secrets::Secrets;

/// What components print and log.
const OUTPUT: &str = "stepflow::output";

/// Steps that failed and did not end their run.
const STEP: &str = "stepflow::step";

/// What is shown besides warnings when the flags do not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unasked {
    /// Nothing.
    Warnings,
    /// What components print and log.
    Output,
}

/// Starts logging as the flags say.
pub fn start(flags: &Global, unasked: Unasked, screen: &Screen) -> Result<(), CliError> {
    let wanted = wanted(flags, unasked);
    let on_screen = match flags.log_format {
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .event_format(Plain {
                with_ids: screen.loudness > Loudness::Normal,
            })
            .with_writer(screen.clone())
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .with_writer(screen.clone())
            .boxed(),
    };
    let mut layers = vec![on_screen.with_filter(filter(&wanted)?).boxed()];
    if let Some(path) = &flags.log_file {
        layers.push(in_file(flags, path, &wanted, screen)?);
    }
    // A second subscriber cannot be there: nothing before this sets one.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    Ok(())
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn in_file(
    flags: &Global,
    path: &Path,
    wanted: &str,
    screen: &Screen,
) -> Result<BoxedLayer, CliError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.map_err(|error| words::unreadable("the log file", path, error))?;
    let file = LogFile {
        file: Arc::new(Mutex::new(file)),
        secrets: screen.secrets.clone(),
    };
    let layer = match flags.log_format {
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(file)
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .with_writer(file)
            .boxed(),
    };
    let at_least_info = flags.log_level.is_none() && screen.loudness < Loudness::Verbose(2);
    let wanted = if at_least_info {
        "warn,stepflow=info"
    } else {
        wanted
    };
    Ok(layer.with_filter(filter(wanted)?).boxed())
}

fn wanted(flags: &Global, unasked: Unasked) -> String {
    match flags.log_level.as_deref() {
        Some("off") => return "off".to_owned(),
        Some(level @ ("error" | "warn" | "info" | "debug" | "trace")) => {
            return format!(
                "{},stepflow={level}",
                if level == "error" { level } else { "warn" }
            );
        }
        Some(list) => return list.to_owned(),
        None => {}
    }
    match flags.loudness() {
        Loudness::Silent => "off",
        Loudness::Quiet => "error",
        Loudness::Normal if unasked == Unasked::Output => "warn,stepflow::output=trace",
        Loudness::Normal => "warn",
        Loudness::Verbose(1) if unasked == Unasked::Output => {
            "warn,stepflow=info,stepflow::output=trace"
        }
        Loudness::Verbose(1) => "warn,stepflow=info",
        Loudness::Verbose(2) => "info,stepflow=debug",
        Loudness::Verbose(_) => "trace",
    }
    .to_owned()
}

fn filter(wanted: &str) -> Result<EnvFilter, CliError> {
    let refused = || {
        let hint =
            "it is off, error, warn, info, debug, trace, or a list such as warn,stepflow_rpc=debug";
        CliError::usage(format!("--log-level does not understand `{wanted}`")).hint(hint)
    };
    // Without this a misspelled level would be taken for the name of a module.
    let is_level = |word: &str| word.contains('=') || word.parse::<LevelFilter>().is_ok();
    if !wanted.split(',').all(is_level) {
        return Err(refused());
    }
    let filter = EnvFilter::builder().parse(wanted);
    filter.map_err(|error| refused().because(error))
}

/// `warning: message key=value`; what components print with their plugin's name before it.
struct Plain {
    with_ids: bool,
}

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        if event.metadata().target() == OUTPUT {
            return writeln!(writer, "{}", said.by_component());
        }
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        if !self.with_ids {
            // They help to find a run among others, and here is one.
            said.fields.retain(|(name, _)| *name != "run_id");
        }
        if event.metadata().target() == STEP {
            said.make_sentence();
        }
        writeln!(writer, "{} {}", paint::label(level), said.by_runtime())
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Said {
    fn field(&self, wanted: &str) -> &str {
        let found = self.fields.iter().find(|(name, _)| *name == wanted);
        found.map_or("", |(_, value)| value)
    }

    /// `plugin step | message`
    fn by_component(&self) -> String {
        let mut from = self.field("plugin").to_owned();
        if !self.field("step").is_empty() {
            let _ = write!(from, " {}", self.field("step"));
        }
        let mut line = format!("{} {}", paint::dim(&format!("{from} |")), self.message);
        // Which stream a line was printed on is of no interest to people.
        let data = self.field("data");
        if !data.is_empty() && !data.starts_with("{\"stream\":") {
            let _ = write!(line, " {data}");
        }
        line
    }

    /// Puts a step's failure into words; what is left of the fields follows them.
    fn make_sentence(&mut self) {
        let (step, component) = (self.field("step_id"), self.field("component"));
        let step = words::step(step, component);
        let error = words::without_component(self.field("error"), component);
        let error = match error.lines().next() {
            None => String::new(),
            Some(error) => format!(": {error}"),
        };
        let sentence = match self.field("became") {
            "" => format!(
                "{step}, attempt {} of {} failed{error}; trying again in {} ms",
                self.field("attempt"),
                self.field("of"),
                self.field("wait_ms")
            ),
            "skipped" => format!("{step} failed and is skipped, as its `onError` says{error}"),
            _ => format!("{step} failed and has its default, as its `onError` says{error}"),
        };
        self.message = sentence;
        self.fields.retain(|(name, _)| *name == "run_id");
    }

    /// `message key=value`, and what more lines the message and the fields have below that.
    fn by_runtime(&self) -> String {
        let mut lines = self.message.lines();
        let mut text = lines.next().unwrap_or_default().to_owned();
        let is_long = |value: &str| value.trim_end().contains('\n');
        let (long, short): (Vec<_>, Vec<_>) =
            self.fields.iter().partition(|(_, value)| is_long(value));
        for (name, value) in short {
            let _ = write!(text, " {}{value}", paint::dim(&format!("{name}=")));
        }
        for line in lines.chain(long.iter().flat_map(|(_, value)| value.lines())) {
            let _ = write!(text, "\n{line}");
        }
        text
    }

    fn set(&mut self, name: &'static str, value: String) {
        match name {
            "message" => self.message = value,
            _ => self.fields.push((name, value)),
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value.to_owned());
    }
}

/// A log file; scrubbed like the screen.
struct LogFile {
    file: Arc<Mutex<File>>,
    secrets: Secrets,
}

impl<'s> MakeWriter<'s> for LogFile {
    type Writer = LogFileLines<'s>;

    fn make_writer(&'s self) -> LogFileLines<'s> {
        LogFileLines(self)
    }
}

struct LogFileLines<'s>(&'s LogFile);

impl Write for LogFileLines<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let clean = self.0.secrets.scrub(&text);
        let mut file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(clean.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
