//! Plain scalars by the YAML 1.2 core schema.
//!
//! Owns what is null, a boolean, a number or a string, and how a number is written as JSON without losing
//! a digit. `no`, `on` and `off` are strings.

use std::sync::Arc;

use super::{Kind, Style};

/// Why a plain scalar cannot be data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// `.nan` or `.inf`.
    NotFinite,
    /// A float beyond the range of 64-bit floats, or a hexadecimal or octal integer over 128 bits.
    Range,
}

/// What a plain scalar with this text is; `string` makes a string of it.
pub(super) fn resolve(text: &str, string: impl FnOnce(&str) -> Arc<str>) -> Result<Kind, Refused> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Err(Refused::NotFinite),
        _ => match number(text)? {
            Some(token) => Kind::Number(token.into()),
            None => Kind::String(string(text), Style::Plain),
        },
    })
}

/// The JSON token of a number by the core schema.
pub(super) fn number(text: &str) -> Result<Option<String>, Refused> {
    if let Some(digits) = text.strip_prefix("0x") {
        return based(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return based(digits, 8);
    }
    let (sign, rest) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    if matches!(rest, ".inf" | ".Inf" | ".INF") {
        return Err(Refused::NotFinite);
    }
    let Some((whole, fraction, exponent)) = split(rest) else {
        return Ok(None);
    };
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let mut token = format!("{sign}{whole}");
    if let Some(fraction) = fraction {
        token.push('.');
        token.push_str(if fraction.is_empty() { "0" } else { fraction });
    }
    if let Some(exponent) = exponent {
        token.push('e');
        token.push_str(exponent);
    }
    let is_float = fraction.is_some() || exponent.is_some();
    if is_float && !token.parse::<f64>().is_ok_and(f64::is_finite) {
        return Err(Refused::Range);
    }
    Ok(Some(token))
}

/// The digits before the point, after it, and the exponent with its sign.
fn split(text: &str) -> Option<(&str, Option<&str>, Option<&str>)> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.find('.') {
        Some(at) => (&mantissa[..at], Some(&mantissa[at + 1..])),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let some_digit = !whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty());
    let exponent_is_one = exponent.is_none_or(|exponent| {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !unsigned.is_empty() && digits(unsigned)
    });
    let is_number = some_digit && digits(whole) && fraction.is_none_or(digits) && exponent_is_one;
    is_number.then_some((whole, fraction, exponent))
}

fn based(digits: &str, radix: u32) -> Result<Option<String>, Refused> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Ok(None);
    }
    let number = u128::from_str_radix(digits, radix).map_err(|_| Refused::Range)?;
    Ok(Some(number.to_string()))
}
