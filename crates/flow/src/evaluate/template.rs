//! Templates with their values in them.
//!
//! Owns how a value looks inside text: strings as they are, anything else as JSON.

use super::{Scope, Stop, resolve_reference};
use crate::expression::Piece;
use crate::plan::StepIdx;
use crate::value::Value;

pub(super) fn render(pieces: &[Piece<StepIdx>], scope: &impl Scope) -> Result<Value, Stop> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Reference(reference) => {
                let value = resolve_reference(reference, scope)?.into_value();
                match value.as_str() {
                    Some(string) => text.push_str(&string),
                    None => text.push_str(value.as_text()),
                }
            }
        }
    }
    Ok(Value::string(&text))
}
