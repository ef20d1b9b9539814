//! Params and results with one value that may be large: it is neither copied when they are written nor when they are read.
//! Owns that; what else they hold goes through serde.

use serde::Serialize;
use serde::de::DeserializeOwned;
use stepflow_flow::value::Value;
use stepflow_json::Json;
use stepflow_json::LARGE_BYTES;
use stepflow_rpc::router;

/// Params or a result with one value that may be large.
pub(crate) trait Carry: Clone + Serialize + DeserializeOwned {
    /// The key it has on the wire.
    const KEY: &'static str;

    /// The value, where there is one.
    fn carried(&self) -> Option<&Value>;

    /// Its place.
    fn place(&mut self) -> Option<&mut Value>;
}

/// The text of a message around its value.
pub(crate) fn write<T: Carry>(message: &T) -> Result<Json, serde_json::Error> {
    let carried = message.carried().map(Value::as_json);
    let Some(carried) = carried.filter(|text| text.len() >= LARGE_BYTES) else {
        return Json::of(message);
    };
    let mut rest = message.clone();
    rest.place().map(std::mem::take);
    let rest = Json::of(&rest)?;
    let whole = rest.with_member(T::KEY, carried.clone());
    Ok(whole.expect("what has a value writes it with its key"))
}

/// A message from its text, which its value shares.
pub(crate) fn read<T: Carry>(text: &Json) -> Result<T, String> {
    let is_large = text.len() >= LARGE_BYTES;
    let Some((rest, value)) = is_large.then(|| text.take_member(T::KEY)).flatten() else {
        return router::read(text.get());
    };
    let mut message: T = router::read(&rest)?;
    if let Some(place) = message.place() {
        *place = Value::from(value);
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::GetResult;
    use crate::blob::PutParams;
    use crate::component::ExecuteParams;
    use crate::component::ExecuteResult;

    fn large() -> String {
        format!("\"{}\"", "x".repeat(LARGE_BYTES))
    }

    /// Read with and without copies, a text says the same; and so it does when it is written.
    fn check<T: Carry>(text: &str) {
        let text = Json::parse(text).unwrap();
        let plain = router::read::<T>(text.get()).unwrap();
        let shared = read::<T>(&text).unwrap();
        let expected = serde_json::to_string(&plain).unwrap();
        assert_eq!(serde_json::to_string(&shared).unwrap(), expected);
        assert_eq!(write(&plain).unwrap().pieces().concat(), expected);
        assert_eq!(write(&shared).unwrap().get(), expected);
    }

    #[test]
    fn a_large_value_is_read_and_written_as_serde_does() {
        for value in ["1", "null", &large(), &format!("[{}]", large())] {
            check::<ExecuteParams>(&format!(
                r#"{{"observability":null,"input":{value},"component":"/a","attempt":2}}"#
            ));
            check::<ExecuteResult>(&format!(r#"{{"output":{value}}}"#));
            check::<PutParams>(&format!(r#"{{"data":{value},"execution":7}}"#));
            check::<GetResult>(&format!(r#"{{"data":{value},"blob_type":"data"}}"#));
        }
        check::<ExecuteResult>(&format!(r#"{{"skipped":{{"reason":{}}}}}"#, large()));
    }

    #[test]
    fn a_large_value_is_where_it_arrived() {
        let text = Json::parse(&format!(r#"{{"output":{}}}"#, large())).unwrap();
        let result = read::<ExecuteResult>(&text).unwrap();
        let value = result.carried().unwrap().as_text();
        assert_eq!(value.as_ptr(), text.get()[10..].as_ptr());
        let again = write(&result).unwrap();
        assert_eq!(again.pieces()[1].as_ptr(), value.as_ptr());
    }

    #[test]
    fn what_does_not_fit_is_refused_whatever_its_size() {
        for value in ["1", &large()] {
            let twice = format!(r#"{{"output":{value},"output":{value}}}"#);
            let both = format!(r#"{{"output":{value},"skipped":{{}}}}"#);
            for text in [twice, both, r#"{}"#.to_owned()] {
                let text = Json::parse(&text).unwrap();
                assert!(read::<ExecuteResult>(&text).is_err(), "{text:.200}");
            }
        }
    }
}
