//! "Did you mean": which known name is nearest to a mistaken one.
//!
//! Owns the measure of nearness. Must not know what the names are for.

/// The known name nearest to a mistaken one, if one is near enough to be meant.
///
/// ```
/// use stepflow_flow::document::nearest;
/// assert_eq!(nearest("imput", ["input", "output"]), Some("input"));
/// assert_eq!(nearest("colour", ["input", "output"]), None);
/// ```
pub fn nearest<'k>(mistaken: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    const LONGEST: usize = 64;
    if mistaken.len() > LONGEST {
        return None;
    }
    let folded = fold(mistaken);
    let allowed = match folded.len() {
        0..=2 => 0,
        3..=5 => 1,
        length => length / 3,
    };
    known
        .into_iter()
        .filter(|name| name.len() <= LONGEST && name.len().abs_diff(mistaken.len()) <= LONGEST / 4)
        .map(|name| (distance(&folded, &fold(name)), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Case and separators are the commonest mistakes, so they count for nothing.
fn fold(name: &str) -> Vec<char> {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// How many insertions, removals, changes and swaps of neighbours lead from one to the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let change = last[j] + usize::from(from != to);
            let mut least = change.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *to && *from == b[j - 1] {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
