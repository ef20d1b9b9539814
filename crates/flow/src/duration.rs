//! Durations as people write them: `500ms`, `30s`, `5m`, or a number of seconds.
//!
//! Owns reading and printing. Must not know what is being timed.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration; write 500ms, 30s, 5m, 2h or a number of seconds")]
pub struct DurationError(String);

/// The longest duration that can be written: 100 years, so that adding one to a clock never overflows.
const LONGEST_SECONDS: f64 = 100.0 * 365.25 * 24.0 * 3600.0;

/// Reads a duration.
///
/// ```
/// use std::time::Duration;
/// use stepflow_flow::duration;
/// assert_eq!(duration::parse("1.5s").unwrap(), Duration::from_millis(1500));
/// assert_eq!(duration::parse("5m").unwrap(), Duration::from_secs(300));
/// assert_eq!(duration::print(Duration::from_millis(500)), "500ms");
/// ```
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError(text.chars().take(50).collect());
    let trimmed = text.trim();
    let unit_start = trimmed.find(|c: char| c.is_ascii_alphabetic() && c != 'e' && c != 'E');
    let (number, unit) = trimmed.split_at(unit_start.unwrap_or(trimmed.len()));
    let per_second = match unit {
        "ms" => 1000.0,
        "" | "s" => 1.0,
        "m" => 1.0 / 60.0,
        "h" => 1.0 / 3600.0,
        _ => return Err(error()),
    };
    let number = number.trim_end();
    if !number.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(error());
    }
    let seconds = number.parse::<f64>().map_err(|_| error())? / per_second;
    if !(0.0..=LONGEST_SECONDS).contains(&seconds) {
        return Err(error());
    }
    // Rounded to a microsecond, so that 0.1s is 100 ms and not a bit more.
    Ok(Duration::from_micros((seconds * 1e6).round() as u64))
}

/// Writes a duration in the largest unit that is whole; what is finer than a microsecond is lost.
pub fn print(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0 => "0s".to_owned(),
        _ if micros.is_multiple_of(60_000_000) => format!("{}m", micros / 60_000_000),
        _ if micros.is_multiple_of(1_000_000) => format!("{}s", micros / 1_000_000),
        _ if micros.is_multiple_of(1_000) => format!("{}ms", micros / 1_000),
        _ => format!("{}.{:03}ms", micros / 1_000, micros % 1_000),
    }
}
