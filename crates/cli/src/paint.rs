//! The few colours there are: the same for errors, logs and hints as for diagnostics. Always written; the screen takes
//! them away where they are not wanted.

/// A word that says what follows: `error:`, `warning:`, `hint:`.
pub fn label(word: &str) -> String {
    let colour = match word {
        "error" => 91,
        "warning" => 93,
        "debug" => 94,
        "trace" => 95,
        _ => 96,
    };
    format!("\x1b[1;{colour}m{word}\x1b[0m\x1b[1m:\x1b[0m")
}

/// Text of lesser weight.
pub fn dim(text: &str) -> String {
    format!("\x1b[2m{text}\x1b[0m")
}
