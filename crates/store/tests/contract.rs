//! What every backend of the store has to do. A backend passes `contract`; tests of what one
//! backend alone promises stand beside its code.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use stepflow_flow::blob::BlobId;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::StepIdx;
use stepflow_flow::value::Value;
use stepflow_store::journal::{Class, Entry, Parent, Record, RunCreated};
use stepflow_store::{BlobType, RunId, Store};

#[tokio::test]
async fn memory() {
    contract(Store::memory()).await;
}

/// Runs every check against one store.
async fn contract(store: Store) {
    blobs_keep_the_bytes_of_their_first_put(&store).await;
    a_flow_stays_a_flow(&store).await;
    unknown_ids_are_no_errors(&store).await;
    data_without_canonical_form_is_refused(&store).await;
    journals_keep_every_entry_in_order(&store).await;
    journals_do_not_mix(&store).await;
    clones_share_everything(&store).await;
    concurrent_appends_leave_no_gaps(&store).await;
}

fn value(text: &str) -> Value {
    Value::parse(text).unwrap()
}

async fn blobs_keep_the_bytes_of_their_first_put(store: &Store) {
    let first = store
        .put_blob(&value(r#"{"b": 1, "a": 1.50}"#), BlobType::Data)
        .await
        .unwrap();
    let second = store
        .put_blob(&value(r#"{"a":1.5,"b":1}"#), BlobType::Data)
        .await
        .unwrap();
    assert_eq!(first, second);
    let blob = store.get_blob(&first).await.unwrap().unwrap();
    assert_eq!(blob.data.as_text(), r#"{"b": 1, "a": 1.50}"#);
    assert_eq!(blob.blob_type, BlobType::Data);
}

async fn a_flow_stays_a_flow(store: &Store) {
    let data = value(r#"{"steps":[]}"#);
    let puts = [
        (BlobType::Data, BlobType::Data),
        (BlobType::Flow, BlobType::Flow),
        (BlobType::Data, BlobType::Flow),
    ];
    for (put_as, expected) in puts {
        let id = store.put_blob(&data, put_as).await.unwrap();
        assert_eq!(
            store.get_blob(&id).await.unwrap().unwrap().blob_type,
            expected
        );
    }
}

async fn unknown_ids_are_no_errors(store: &Store) {
    let id = BlobId::of(&value(r#""never put""#)).unwrap();
    assert_eq!(store.get_blob(&id).await.unwrap(), None);
    assert_eq!(store.load(&RunId::new()).await.unwrap(), []);
}

async fn data_without_canonical_form_is_refused(store: &Store) {
    let error = store
        .put_blob(&value("1e999"), BlobType::Data)
        .await
        .unwrap_err();
    assert!(std::error::Error::source(&error).is_some(), "{error}");
}

async fn journals_keep_every_entry_in_order(store: &Store) {
    let run_id = RunId::new();
    let mut entries = every_kind_of_entry();
    if let Entry::RunCreated(created) = &mut entries[0] {
        // How long the journal of a run that a step asked for is kept is each backend's affair.
        created.parent = None;
    }
    assert_eq!(store.append(&run_id, &entries[..2]).await.unwrap(), 0);
    assert_eq!(store.append(&run_id, &[]).await.unwrap(), 2);
    assert_eq!(store.append(&run_id, &entries[2..]).await.unwrap(), 2);
    let records = store.load(&run_id).await.unwrap();
    let sequences: Vec<u64> = records.iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, (0..entries.len() as u64).collect::<Vec<_>>());
    assert!(records.is_sorted_by_key(|record| record.at));
    assert_eq!(
        records
            .into_iter()
            .map(|record| record.entry)
            .collect::<Vec<_>>(),
        entries
    );
}

async fn journals_do_not_mix(store: &Store) {
    let (one, two) = (RunId::new(), RunId::new());
    for run_id in [one, two, one] {
        store.append(&run_id, &[Entry::RunResumed]).await.unwrap();
    }
    assert_eq!(store.load(&one).await.unwrap().len(), 2);
    assert_eq!(store.load(&two).await.unwrap().len(), 1);
}

async fn clones_share_everything(store: &Store) {
    let id = store
        .clone()
        .put_blob(&value(r#""shared""#), BlobType::Data)
        .await
        .unwrap();
    assert!(store.get_blob(&id).await.unwrap().is_some());
}

async fn concurrent_appends_leave_no_gaps(store: &Store) {
    let run_id = RunId::new();
    let appends: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            let pair = [Entry::RunResumed, Entry::RunResumed];
            tokio::spawn(async move { store.append(&run_id, &pair).await.unwrap() })
        })
        .collect();
    let mut firsts = Vec::new();
    for append in appends {
        firsts.push(append.await.unwrap());
    }
    firsts.sort_unstable();
    assert_eq!(firsts, (0..20).map(|n| n * 2).collect::<Vec<u64>>());
}

fn every_kind_of_entry() -> Vec<Entry> {
    let step = StepIdx::new(0);
    let error = ErrorCode::BUSY
        .error("later")
        .with_data(value(r#"{"retry_after_ms":5}"#));
    let parent = Parent {
        run_id: RunId::new(),
        step_id: "s".to_owned(),
        key: "3".to_owned(),
        depth: 1,
    };
    let created = RunCreated {
        flow_id: BlobId::of(&value("{}")).unwrap(),
        input: value(r#"{"n": 12345678901234567890123, "f": 1.0}"#),
        variables: Value::null(),
        overrides: Value::null(),
        parent: Some(parent),
    };
    let classes = [
        Class::NotSent,
        Class::Busy { retry_after: None },
        Class::Busy {
            retry_after: Some(Duration::from_millis(5)),
        },
        Class::Unknown,
        Class::TimedOut,
        Class::Component,
        Class::Refused,
        Class::Cancelled,
    ];
    let failures = classes.map(|class| Entry::StepFailed {
        step,
        attempt: 1,
        class,
        error: error.clone(),
    });
    let outcomes = [
        Outcome::Success(value(r#"[1, 2.0, null]"#)),
        Outcome::Success(Value::null()),
        Outcome::Skipped { reason: None },
        Outcome::Skipped {
            reason: Some("not today".to_owned()),
        },
        Outcome::Failed(error.clone()),
    ];
    let ends = outcomes.map(|outcome| Entry::StepFinished { step, outcome });
    let mut entries = vec![
        Entry::RunCreated(Box::new(created)),
        Entry::StepStarted { step, attempt: 1 },
        Entry::RunResumed,
    ];
    entries.extend(failures);
    entries.extend(ends);
    entries.push(Entry::RunFinished {
        outcome: Outcome::Failed(error),
        failed_step: Some(step),
    });
    entries
}

/// A journal has a written form: what is read back is what was written, numbers and texts
/// included.
#[test]
fn entries_survive_their_written_form() {
    for entry in every_kind_of_entry() {
        let text = serde_json::to_string(&entry).unwrap();
        let read: Entry = serde_json::from_str(&text).unwrap();
        assert_eq!(read, entry, "{text}");
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}

/// Journals outlive the programs that wrote them, so their form must not change by accident.
#[test]
fn entries_have_a_lasting_form() {
    let step = StepIdx::new(7);
    let class = Class::Busy {
        retry_after: Some(Duration::from_millis(250)),
    };
    let error = ErrorCode::BUSY.error("later");
    let check = |entry: Entry, expected: &str| {
        assert_eq!(serde_json::to_string(&entry).unwrap(), expected);
    };
    check(Entry::RunResumed, r#""run_resumed""#);
    check(
        Entry::StepStarted { step, attempt: 2 },
        r#"{"step_started":{"step":7,"attempt":2}}"#,
    );
    check(
        Entry::StepFailed {
            step,
            attempt: 2,
            class,
            error,
        },
        r#"{"step_failed":{"step":7,"attempt":2,"class":{"busy":{"retry_after_ms":250}},"error":{"code":-32011,"message":"later"}}}"#,
    );
    check(
        Entry::StepFinished {
            step,
            outcome: Outcome::Success(value("[1]")),
        },
        r#"{"step_finished":{"step":7,"outcome":{"outcome":"success","result":[1]}}}"#,
    );
    check(
        Entry::RunFinished {
            outcome: Outcome::Skipped { reason: None },
            failed_step: None,
        },
        r#"{"run_finished":{"outcome":{"outcome":"skipped"}}}"#,
    );
    let record: Record =
        serde_json::from_str(r#"{"sequence":0,"at":1764000000000,"entry":"run_resumed"}"#).unwrap();
    assert_eq!(record.entry, Entry::RunResumed);
}

#[test]
fn run_ids_are_read_as_they_are_written() {
    let id = RunId::new();
    assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
    assert!(
        "run-7"
            .parse::<RunId>()
            .unwrap_err()
            .to_string()
            .contains("`run-7`")
    );
    assert!(RunId::new() > id, "ids sort by the time they were made");
}

/// What the memory of the process keeps of runs that steps asked for: enough to take them up again, and nothing once that is over.
#[tokio::test]
async fn memory_lets_go_of_what_nobody_can_take_up_again() {
    let store = Store::memory();
    let (outer, item, inner) = (RunId::new(), RunId::new(), RunId::new());
    let created = |parent: Option<RunId>| {
        let parent = parent.map(|run_id| Parent {
            run_id,
            step_id: "s".to_owned(),
            key: "0".to_owned(),
            depth: 1,
        });
        Entry::RunCreated(Box::new(RunCreated {
            flow_id: BlobId::of(&value("{}")).unwrap(),
            input: value("1"),
            variables: Value::null(),
            overrides: Value::null(),
            parent,
        }))
    };
    let finished = || Entry::RunFinished {
        outcome: Outcome::Success(value("1")),
        failed_step: None,
    };
    let n_entries = async |run_id: RunId| store.load(&run_id).await.unwrap().len();
    for (run_id, parent) in [(outer, None), (item, Some(outer)), (inner, Some(item))] {
        let first = store.append(&run_id, &[created(parent)]).await.unwrap();
        assert_eq!((first, n_entries(run_id).await), (0, 1));
    }
    let another = RunId::new();
    let whole = [created(Some(outer)), finished()];
    store.append(&another, &whole).await.unwrap();
    assert_eq!(n_entries(another).await, 0, "it has ended");
    store.append(&outer, &[finished()]).await.unwrap();
    assert_eq!(n_entries(outer).await, 2, "top-level runs stay");
    assert_eq!((n_entries(item).await, n_entries(inner).await), (0, 0));
    let open = RunId::new();
    store.append(&open, &[created(None)]).await.unwrap();
    for run_id in [outer, open] {
        store.forget(&run_id).await.unwrap();
    }
    let left = (n_entries(outer).await, n_entries(open).await);
    assert_eq!(left, (0, 1), "what has not ended is not forgotten");
}

#[test]
fn the_id_of_a_sub_run_says_who_asked_for_it() {
    let outer = RunId::new();
    let id = outer.of_sub_run("step", "7");
    assert_eq!(id, outer.of_sub_run("step", "7"));
    assert!(
        id.as_bytes()[..6] == outer.as_bytes()[..6],
        "it sorts with the run around it"
    );
    for other in [
        outer.of_sub_run("step", "8"),
        outer.of_sub_run("ste", "p7"),
        RunId::new().of_sub_run("step", "7"),
        outer,
    ] {
        assert_ne!(id, other);
    }
    assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
}
