//! The run: greets the server, then does one check after another, each with its own time and transcript. Owns the order and the
//! connection that checks share; what a check does is its own business.

use std::time::Duration;

use stepflow_protocol::component::ListResult;
use stepflow_protocol::lifecycle::InitializeResult;
use tokio::time::Instant;

use crate::checks;
use crate::checks::Check;
use crate::lab::Facts;
use crate::lab::Lab;
use crate::report::Finding;
use crate::report::Outcome;
use crate::report::Report;
use crate::requirements;
use crate::requirements::Requirement;
use crate::target::Target;
use crate::target::Way;
use crate::verdict::Stop;
use crate::verdict::Verdict;
use crate::wire::Answer;
use crate::wire::Wire;

/// How many times as long as a check a server may take to start: interpreters and models are loaded.
const START: u32 = 6;

/// What is run.
#[derive(Debug)]
pub struct Options {
    /// The server.
    pub target: Target,
    /// How long a check may take.
    pub timeout: Duration,
    /// Only requirements whose ids begin with one of these; all when there is none.
    pub only: Vec<String>,
    /// Whether the headers of the target hold a token that the server asks for.
    pub has_token: bool,
}

/// The requirements that ids begin with one of `only`, for a way to talk where one is given.
pub fn select(
    all: &'static [Requirement],
    only: &[String],
    way: Option<Way>,
) -> Vec<&'static Requirement> {
    let wanted = |it: &&Requirement| {
        (only.is_empty() || only.iter().any(|prefix| it.id.starts_with(prefix.as_str())))
            && way.is_none_or(|way| it.over.contains(&way))
    };
    all.iter().filter(wanted).collect()
}

/// Does all checks. Each finding is told as it is made.
///
/// # Errors
/// When the server cannot even be started or reached; the text says why.
pub async fn run(options: Options, mut tell: impl FnMut(&Finding)) -> Result<Report, String> {
    let way = match &options.target {
        Target::Stdio { .. } => Way::Stdio,
        Target::Http { way: Some(way), .. } => *way,
        Target::Http { way: None, .. } => Way::Session,
    };
    let is_open = matches!(&options.target, Target::Http { way: None, .. });
    let start = options.timeout * START;
    let mut lab = Lab::new(options.target, way, options.has_token);
    let mut probe = probe(&lab, start).await;
    if is_open && probe.is_err() {
        (lab, probe) = without_session(lab, start).await;
    }
    let began = probe?;
    let mut run = Run {
        // A check that starts a process of its own has time for that too.
        timeout: options.timeout + 2 * began,
        lab,
        shared: None,
    };
    let mut findings = Vec::new();
    for requirement in select(requirements::of_servers(), &options.only, Some(run.lab.way)) {
        let finding = run.check(requirement).await;
        tell(&finding);
        findings.push(finding);
    }
    drop(run.shared.take());
    run.lab.shut_down().await;
    let greeting = run.lab.facts().ok().map(|facts| &facts.greeting);
    let server = greeting.and_then(|it| it.server.as_ref()).map(|it| {
        let version = it.version.as_deref().unwrap_or_default();
        format!("{} {version}", it.name).trim_end().to_owned()
    });
    Ok(Report {
        server,
        way: run.lab.way,
        findings,
    })
}

/// Greets the server and asks what it has; what it does wrong is for the checks to say, unless it says nothing at all. Tells how
/// long that took.
async fn probe(lab: &Lab, start: Duration) -> Result<Duration, String> {
    let began = Instant::now();
    lab.clock.start(start);
    let in_words = |stop| match stop {
        Stop::Fail(fault) => format!("{}: {}", fault.reason, fault.seen),
        Stop::Skip(reason) => reason,
    };
    let mut wire = lab.open().await.map_err(in_words)?;
    let greeting = wire.ask("initialize", Wire::hello()).await;
    let greeting = greeting.map_err(in_words)?;
    if let Ok(facts) = learn(&mut wire, greeting).await {
        lab.know(facts);
    }
    Ok(began.elapsed())
}

async fn learn(wire: &mut Wire, greeting: Answer) -> Result<Facts, Stop> {
    let unreadable = |error: serde_json::Error| Stop::skip(error.to_string());
    let greeting: InitializeResult = serde_json::from_value(greeting.ok()?).map_err(unreadable)?;
    wire.initialized().await?;
    let listed = wire.ask("components/list", serde_json::json!({})).await?;
    let listed: ListResult = serde_json::from_value(listed.ok()?).map_err(unreadable)?;
    Ok(Facts {
        greeting,
        components: listed.components,
    })
}

/// A server that offers no session is talked to without: by streams if it calls back on them.
async fn without_session(lab: Lab, start: Duration) -> (Lab, Result<Duration, String>) {
    let Lab {
        target, has_token, ..
    } = lab;
    let streamable = Lab::new(target, Way::Streamable, has_token);
    let probe = probe(&streamable, start).await;
    if probe.is_err() || calls_back(&streamable).await {
        return (streamable, probe);
    }
    let plain = Lab::new(streamable.target, Way::Plain, has_token);
    let probe = self::probe(&plain, start).await;
    (plain, probe)
}

async fn calls_back(lab: &Lab) -> bool {
    let Ok(component) = lab.component("blob") else {
        return true;
    };
    let tried = async {
        let mut wire = lab.greeted().await?;
        let input = serde_json::json!({"data": 1});
        wire.run(&component, input).await?.ok()
    };
    tried.await.is_ok()
}

struct Run {
    lab: Lab,
    timeout: Duration,
    /// The connection of those who want no other.
    shared: Option<Wire>,
}

impl Run {
    async fn check(&mut self, requirement: &'static Requirement) -> Finding {
        let began = Instant::now();
        self.lab.recorder.clear();
        self.lab.clock.start(self.timeout);
        let check = checks::find(&requirement.id);
        let verdict = match check {
            Some(check) => self.perform(check).await,
            None => Err(Stop::skip("nothing checks it")),
        };
        let transcript = self.lab.recorder.take();
        let outcome = match verdict {
            Ok(()) => Outcome::Pass,
            Err(Stop::Skip(reason)) => Outcome::Skip { reason },
            Err(Stop::Fail(fault)) => Outcome::Fail {
                fault: *fault,
                transcript,
            },
        };
        Finding {
            requirement,
            outcome,
            took: began.elapsed(),
        }
    }

    async fn perform(&mut self, check: Check) -> Verdict {
        // Every wait inside ends by itself, and says for what it waited; this one is for what does not wait by the clock.
        let most = self.timeout + Duration::from_secs(5);
        let late = || Stop::fail("the check came to no end", "an end", "none in time");
        let lab = &self.lab;
        let verdict = match check {
            Check::Alone(check) => tokio::time::timeout(most, check(lab)).await,
            Check::Fresh(check) => {
                let fresh = async {
                    let mut wire = lab.open().await?;
                    check(lab, &mut wire).await
                };
                tokio::time::timeout(most, fresh).await
            }
            Check::Shared(check) => {
                let mut wire = match self.shared.take() {
                    Some(wire) => wire,
                    None => lab.greeted().await?,
                };
                wire.forget();
                let verdict = tokio::time::timeout(most, check(lab, &mut wire)).await;
                // One on which something went wrong may go on doing so.
                if verdict.as_ref().is_ok_and(Verdict::is_ok) && wire.ended().is_none() {
                    self.shared = Some(wire);
                }
                verdict
            }
        };
        verdict.unwrap_or_else(|_| Err(late()))
    }
}
