//! Changes to the steps of a flow for one run, given beside the flow.
//!
//! Owns what overrides look like and how they are merged (RFC 7396). Must not know whether what comes out is a sound flow:
//! that is checked like any other ([`crate::plan::check`]).

use indexmap::IndexMap;

use crate::document::{nearest, spells};
use crate::value::{Kind, Value};

/// The one way there is to change a step.
const MERGE_PATCH: &str = "merge_patch";

/// How many names an error lists.
const SHOWN: usize = 20;

/// Overrides that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// They are no object with a key for each step.
    #[error(
        "overrides are an object with a key for each step to change, such as \
         `{{\"load\": {{\"$type\": \"merge_patch\", \"value\": {{\"input\": {{}}}}}}}}`, and this is {found}"
    )]
    NoObject {
        /// What they are.
        found: Kind,
    },
    /// There is no such step.
    #[error("an override for {step_id:?}, and the flow has no such step ({hint})")]
    NoSuchStep {
        /// The step.
        step_id: String,
        /// What may be meant.
        hint: String,
    },
    /// One of them does not look like an override.
    #[error(
        "the override for {step_id:?} {why}; write `{{\"$type\": \"merge_patch\", \"value\": {{…}}}}`"
    )]
    BadOverride {
        /// The step.
        step_id: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The flow with its steps changed. Keys keep the spelling that the flow has them in.
///
/// ```
/// use stepflow_flow::{overrides, value::Value};
/// let flow = Value::parse(r#"{"steps":[{"id":"a","component":"/x","input":{"n":1,"m":2}}],"output":1}"#).unwrap();
/// let changes = Value::parse(r#"{"a":{"$type":"merge_patch","value":{"input":{"n":null,"k":3}}}}"#).unwrap();
/// assert_eq!(
///     overrides::apply(&flow, &changes).unwrap().as_text(),
///     r#"{"steps":[{"id":"a","component":"/x","input":{"m":2,"k":3}}],"output":1}"#
/// );
/// ```
///
/// # Errors
/// When the overrides do not look like overrides or name steps that the flow does not have.
pub fn apply(flow: &Value, overrides: &Value) -> Result<Value, OverrideError> {
    let patches = patches(overrides)?;
    if patches.is_empty() {
        return Ok(flow.clone());
    }
    let steps = flow.get("steps").unwrap_or_default();
    let ids: Vec<Option<String>> = steps.items().iter().map(id_of).collect();
    if let Some(step_id) = patches
        .keys()
        .find(|step_id| !ids.iter().flatten().any(|id| id == *step_id))
    {
        let names = || ids.iter().flatten().map(String::as_str);
        return Err(OverrideError::NoSuchStep {
            step_id: (*step_id).to_owned(),
            hint: match nearest(step_id, names()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!(
                    "it has {}",
                    names().take(SHOWN).collect::<Vec<_>>().join(", ")
                ),
            },
        });
    }
    let changed = steps.items().iter().zip(&ids).map(|(step, id)| {
        match id.as_deref().and_then(|id| patches.get(id)) {
            Some(patch) => merge(Some(step), &respelled(step, patch)),
            None => step.clone(),
        }
    });
    let changed = Value::list(changed);
    let entries = flow.entries().map(|(key, value)| match key {
        "steps" => (key, changed.clone()),
        _ => (key, value.clone()),
    });
    Ok(Value::object(entries))
}

fn id_of(step: &Value) -> Option<String> {
    Some(step.get("id")?.as_str()?.into_owned())
}

/// The patch for each step.
fn patches(overrides: &Value) -> Result<IndexMap<&str, Value>, OverrideError> {
    match overrides.kind() {
        Kind::Null => return Ok(IndexMap::new()),
        Kind::Object => {}
        found => return Err(OverrideError::NoObject { found }),
    }
    let patch = |(step_id, it): (_, &Value)| match patch_of(it) {
        Ok(patch) => Ok((step_id, patch)),
        Err(why) => Err(OverrideError::BadOverride {
            step_id: str::to_owned(step_id),
            why,
        }),
    };
    overrides.entries().map(patch).collect()
}

fn patch_of(it: &Value) -> Result<Value, String> {
    if it.kind() != Kind::Object {
        return Err(format!("is {}, not an object", it.kind()));
    }
    if let Some(key) = it.keys().find(|key| !matches!(*key, "$type" | "value")) {
        return Err(format!("has the unknown key {key:?}"));
    }
    let kind = it.get("$type").unwrap_or_default();
    if kind.as_str().as_deref() != Some(MERGE_PATCH) {
        return Err(format!("has the `$type` {kind}"));
    }
    let value = it.get("value").unwrap_or_default();
    match value.kind() {
        Kind::Object => Ok(value),
        found => Err(format!("has {found} as its `value`, not an object")),
    }
}

/// A patch with its keys spelled as the step spells them: `onError` changes `on_error`.
fn respelled(step: &Value, patch: &Value) -> Value {
    let entries = patch.entries().map(|(key, value)| {
        let same = |known: &&str| spells(known, key) || spells(key, known);
        (step.keys().find(same).unwrap_or(key), value.clone())
    });
    Value::object(entries)
}

/// RFC 7396: objects are merged, null removes, anything else replaces.
fn merge(target: Option<&Value>, patch: &Value) -> Value {
    if patch.kind() != Kind::Object {
        return patch.clone();
    }
    let mut merged: IndexMap<&str, Value> = target
        .into_iter()
        .flat_map(Value::entries)
        .map(|(key, value)| (key, value.clone()))
        .collect();
    for (key, change) in patch.entries() {
        if change.is_null() {
            merged.shift_remove(key);
        } else {
            let value = merge(merged.get(key), change);
            merged.insert(key, value);
        }
    }
    Value::object(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Value::parse(text).unwrap()
    }

    /// The examples of RFC 7396, appendix A, that concern objects.
    #[test]
    fn merging_follows_the_standard() {
        for (target, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            (r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            (r#"{"a":1.0}"#, r#"{"b":1e2}"#, r#"{"a":1.0,"b":1e2}"#),
        ] {
            let merged = merge(Some(&value(target)), &value(patch));
            assert_eq!(merged.as_text(), expected, "{target} + {patch}");
        }
    }

    const FLOW: &str = r#"{"steps":[{"id":"load","component":"/x","on_error":{"action":"skip"}},{"id":"b","component":"/y"}],"output":1}"#;

    #[test]
    fn keys_keep_their_spelling() {
        let changes = r#"{"load":{"$type":"merge_patch","value":{"onError":{"action":"fail"},"skipIf":true}}}"#;
        let changed = apply(&value(FLOW), &value(changes)).unwrap();
        assert_eq!(
            changed.get("steps").unwrap().index(0).unwrap().as_text(),
            r#"{"id":"load","component":"/x","on_error":{"action":"fail"},"skipIf":true}"#
        );
        assert_eq!(apply(&value(FLOW), &Value::null()).unwrap(), value(FLOW));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (changes, expected) in [
            ("[]", "and this is array"),
            (
                r#"{"laod":{"$type":"merge_patch","value":{}}}"#,
                r#"did you mean "load"?"#,
            ),
            (
                r#"{"zzz":{"$type":"merge_patch","value":{}}}"#,
                "it has load, b",
            ),
            (r#"{"b":{"value":{}}}"#, "has the `$type` null"),
            (
                r#"{"b":{"$type":"json_patch","value":[]}}"#,
                r#"has the `$type` "json_patch""#,
            ),
            (
                r#"{"b":{"$type":"merge_patch","value":1}}"#,
                "has number as its `value`",
            ),
            (
                r#"{"b":{"$type":"merge_patch","valeu":{}}}"#,
                r#"the unknown key "valeu""#,
            ),
            (r#"{"b":{"input":{}}}"#, r#"the unknown key "input""#),
            (r#"{"b":3}"#, "is number, not an object"),
        ] {
            let error = apply(&value(FLOW), &value(changes))
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{changes}: {error}");
        }
    }
}
