//! Each short text once.
//!
//! A long flow says the same few hundred keys, components and ids over and over. Owns which texts are shared;
//! must not know what they are.

use std::collections::HashSet;
use std::sync::Arc;

/// Longer texts hardly ever come twice.
const LONGEST: usize = 64;

/// The short texts of one document so far.
#[derive(Default)]
pub(super) struct SharedTexts(HashSet<Arc<str>>);

impl SharedTexts {
    /// The text, and the same memory for the same text if it is short.
    pub fn share(&mut self, text: &str) -> Arc<str> {
        if text.len() > LONGEST {
            return Arc::from(text);
        }
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new = Arc::<str>::from(text);
        self.0.insert(Arc::clone(&new));
        new
    }
}
