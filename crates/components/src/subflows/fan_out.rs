//! One flow run on many inputs. Owns how many runs go on at once and that inputs are looked at one after the other: what has not
//! begun takes no room but its text.

use std::pin::Pin;
use std::task::Poll;

use serde_json::value::RawValue;
use stepflow_engine::Ended;
use stepflow_engine::Flight;
use stepflow_engine::Invocation;
use stepflow_engine::RunError;
use stepflow_engine::SubFlow;
use stepflow_engine::SubRun;
use stepflow_flow::error::FlowError;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;

use super::Started;
use super::broken;
use super::start;

/// Runs a flow on each input, so many at once (fewer while very many runs are alive), and tells of each end. The place of an input is the key of its run, after `prefix`.
///
/// # Errors
/// When runs are nested too deep, too many are alive, or the runtime is broken; the other runs are dropped then.
pub async fn fan_out(
    call: &Invocation,
    flow: &SubFlow,
    prefix: &str,
    mut inputs: impl Iterator<Item = (u64, Value)>,
    at_once: usize,
    mut on_end: impl FnMut(u64, Outcome),
) -> Result<(), FlowError> {
    let mut flight = Flight::default();
    loop {
        while (flight.is_empty() || flight.len() < at_once && call.has_room())
            && let Some((place, input)) = inputs.next()
        {
            match start(call, flow, &format!("{prefix}{place}"), input)? {
                Started::Misfit(outcome) => on_end(place, outcome),
                Started::Run(run) => {
                    if let Poll::Ready((place, ended)) = flight.launch(Item { place, run }) {
                        on_end(place, outcome(ended)?);
                    }
                }
            }
        }
        match std::future::poll_fn(|context| flight.poll_ended(context)).await {
            Some((place, ended)) => on_end(place, outcome(ended)?),
            None => return Ok(()),
        }
    }
}

fn outcome(ended: Result<Ended, RunError>) -> Result<Outcome, FlowError> {
    ended
        .map(|ended| ended.outcome)
        .map_err(|error| broken(&error))
}

/// A run and the place of its input.
struct Item {
    place: u64,
    run: SubRun,
}

impl Future for Item {
    type Output = (u64, Result<Ended, RunError>);

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let place = self.place;
        Pin::new(&mut self.run)
            .poll(context)
            .map(|ended| (place, ended))
    }
}

/// The items of a list, read from its text as they are asked for.
#[derive(Debug)]
pub struct Items {
    list: Value,
    /// Where the text goes on after the last item that was read.
    next: usize,
    place: u64,
}

impl Items {
    /// The items of a value that is a list.
    pub fn of(list: Value) -> Items {
        Items {
            list,
            next: 1,
            place: 0,
        }
    }
}

impl Iterator for Items {
    type Item = (u64, Value);

    fn next(&mut self) -> Option<(u64, Value)> {
        let rest = self.list.as_text().get(self.next..)?;
        let rest_after_comma = rest.trim_start_matches([' ', '\t', ',']);
        let skipped = rest.len() - rest_after_comma.len();
        if rest_after_comma.starts_with(']') {
            return None;
        }
        let mut items =
            serde_json::Deserializer::from_str(rest_after_comma).into_iter::<&RawValue>();
        let item = items.next()?.expect("the text of a list is JSON");
        let item = Value::from(item);
        self.next += skipped + items.byte_offset();
        let place = self.place;
        self.place += 1;
        Some((place, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_those_of_the_list() {
        for text in [
            "[]",
            "[ ]",
            "[1]",
            "[1,2,3]",
            "[ 1 , \"a,]\" ,{\"b\":[1,2]}, [] ,null,true ,-1.5e3 ]",
            "[[[1]],[],\"\\\"]\"]",
            "[1.0,1e2,12345678901234567890123]",
        ] {
            let list = Value::parse(text).unwrap();
            let read: Vec<_> = Items::of(list.clone()).collect();
            let expected: Vec<_> = (0..).zip(list.items().iter().cloned()).collect();
            assert_eq!(read, expected, "{text}");
            let texts = |items: &[(u64, Value)]| {
                let items = items.iter();
                items
                    .map(|(_, it)| it.as_text().to_owned())
                    .collect::<Vec<_>>()
            };
            assert_eq!(texts(&read), texts(&expected));
        }
    }
}
