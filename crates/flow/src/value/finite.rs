//! Finds floats that JSON cannot carry before they silently become null.
//!
//! Owns the walk over anything that serialises, and the path to what it finds. It writes nothing.

use std::fmt::{self, Display};

use serde::Serialize;
use serde::ser;

use super::ValueError;
use crate::path::{Path, Segment};

/// Finds the first NaN or infinity in what `source` serialises.
pub(super) fn check(source: &(impl Serialize + ?Sized)) -> Result<(), ValueError> {
    let mut path = Vec::new();
    match source.serialize(Walk { path: &mut path }) {
        Err(Stop::NotFinite { path, number }) => Err(ValueError::NotFinite { path, number }),
        // What does not serialise at all is reported by the writing that follows.
        Ok(()) | Err(Stop::Other(_)) => Ok(()),
    }
}

#[derive(Debug)]
enum Stop {
    NotFinite { path: String, number: String },
    Other(String),
}

impl Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::NotFinite { path, number } => write!(f, "{path} is {number}"),
            Stop::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Stop {}

impl ser::Error for Stop {
    fn custom<T: Display>(message: T) -> Stop {
        Stop::Other(message.to_string())
    }
}

struct Walk<'a> {
    path: &'a mut Vec<Segment>,
}

impl Walk<'_> {
    fn float(self, number: f64) -> Result<(), Stop> {
        if number.is_finite() {
            return Ok(());
        }
        let path = Path::new(std::mem::take(self.path)).to_string();
        Err(Stop::NotFinite {
            path,
            number: number.to_string(),
        })
    }
}

/// A list, map or struct whose parts are walked one by one.
struct Parts<'a> {
    path: &'a mut Vec<Segment>,
    place: i64,
    key: Segment,
}

impl Parts<'_> {
    fn part(&mut self, segment: Segment, value: &(impl Serialize + ?Sized)) -> Result<(), Stop> {
        self.path.push(segment);
        value.serialize(Walk { path: self.path })?;
        self.path.pop();
        Ok(())
    }

    fn item(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Stop> {
        self.place += 1;
        self.part(Segment::Index(self.place - 1), value)
    }
}

macro_rules! nothing_to_find {
    ($($method:ident: $type:ty),* $(,)?) => {
        $(fn $method(self, _: $type) -> Result<(), Stop> { Ok(()) })*
    };
}

impl<'a> ser::Serializer for Walk<'a> {
    type Ok = ();
    type Error = Stop;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    nothing_to_find!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str,
    );

    fn serialize_f32(self, number: f32) -> Result<(), Stop> {
        self.float(f64::from(number))
    }

    fn serialize_f64(self, number: f64) -> Result<(), Stop> {
        self.float(number)
    }

    fn serialize_none(self) -> Result<(), Stop> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Stop> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Stop> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Stop> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Stop> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Stop> {
        parts(self.path).part(Segment::field(variant), value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Stop> {
        Ok(parts(self.path))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'a>, Stop> {
        Ok(parts(self.path))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Stop> {
        Ok(parts(self.path))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Stop> {
        Ok(parts(self.path))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a>, Stop> {
        Ok(parts(self.path))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Stop> {
        Ok(parts(self.path))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Stop> {
        Ok(parts(self.path))
    }
}

fn parts(path: &mut Vec<Segment>) -> Parts<'_> {
    Parts {
        path,
        place: 0,
        key: Segment::Index(0),
    }
}

macro_rules! lists {
    ($($compound:ident: $method:ident),*) => {$(
        impl ser::$compound for Parts<'_> {
            type Ok = ();
            type Error = Stop;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
                self.item(value)
            }

            fn end(self) -> Result<(), Stop> {
                Ok(())
            }
        }
    )*};
}

lists!(
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
);

macro_rules! structs {
    ($($compound:ident),*) => {$(
        impl ser::$compound for Parts<'_> {
            type Ok = ();
            type Error = Stop;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Stop> {
                self.part(Segment::field(key), value)
            }

            fn end(self) -> Result<(), Stop> {
                Ok(())
            }
        }
    )*};
}

structs!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Stop> {
        let text = serde_json::to_string(key).map_err(ser::Error::custom)?;
        let name = serde_json::from_str::<String>(&text).unwrap_or(text);
        self.key = Segment::field(&name);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        let key = std::mem::replace(&mut self.key, Segment::Index(0));
        self.part(key, value)
    }

    fn end(self) -> Result<(), Stop> {
        Ok(())
    }
}
