//! Each target, for a bounded number of inputs: seeds, seeds with parts missing, chance.

#![expect(
    clippy::unwrap_used,
    reason = "a test may unwrap: its panic is its report"
)]

use std::path::Path;

use bolero::check;
use stepflow_fuzz::framing;
use stepflow_fuzz::language;
use stepflow_fuzz::words;

/// How many inputs chance makes for each target; a fuzzer does not stop there.
const INPUTS: usize = 5_000;

/// Runs a target on the files of a folder of `seeds/`, whole, cut short, and with each line missing.
fn on_seeds(folder: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(folder);
    let mut n_seeds = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = std::fs::read(entry.unwrap().path()).unwrap();
        // A file ends with a line break; what is in it need not.
        let seed = file.strip_suffix(b"\n").unwrap_or(&file);
        target(seed);
        let step = (seed.len() / 300).max(1);
        (0..seed.len())
            .step_by(step)
            .for_each(|end| target(&seed[..end]));
        let lines: Vec<_> = seed.split_inclusive(|byte| *byte == b'\n').collect();
        for missing in 0..lines.len() {
            target(&[&lines[..missing], &lines[missing + 1..]].concat().concat());
        }
        n_seeds += 1;
    }
    assert!(n_seeds > 0, "there are no seeds");
}

/// Makes a test of a target: on seeds, on bytes, and on words of a language.
macro_rules! targets {
    ($($name:ident: $target:path, seeds $seeds:literal, words $words:path;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn holds_for_seeds() {
                on_seeds($seeds, $target);
            }

            #[test]
            fn holds_for_any_bytes() {
                check!().with_iterations(INPUTS).for_each($target);
            }

            #[test]
            fn holds_for_any_words() {
                check!().with_iterations(INPUTS).for_each(|picks: &[u8]| {
                    $target(words::text($words, picks).as_bytes());
                });
            }
        })*
    };
}

targets! {
    message: framing::message, seeds "message", words words::MESSAGE;
    lines: framing::lines, seeds "message", words words::MESSAGE;
    value: language::value, seeds "message", words words::MESSAGE;
    path: language::path, seeds "path", words words::PATH;
    document: language::document, seeds "document", words words::FLOW;
    expression: language::expression, seeds "expression", words words::FLOW;
    flow: language::flow, seeds "flow", words words::FLOW;
}
