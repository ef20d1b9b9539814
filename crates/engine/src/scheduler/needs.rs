//! What an expression still waits for. Owns the look ahead that lets all steps of a branch start at
//! once, where evaluation alone would ask for them one after the other.
//!
//! Whether a branch or an item is reached depends on the conditions and items before it and on
//! nothing else. In particular a skip in one place does not stop the search in another: what runs
//! would then depend on which of two steps was faster, and a recovered run might run other steps
//! than the one it continues.

use stepflow_flow::evaluate::{Evaluated, Scope, evaluate};
use stepflow_flow::expression::{Expression, OnSkip, Piece, Reference, Target};
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::{CompiledExpression, StepIdx};

/// The steps without an outcome that an expression refers to in places that are reached, as far as
/// the outcomes that are there tell.
pub(super) fn missing(expression: &CompiledExpression, scope: &impl Scope) -> Vec<StepIdx> {
    let mut search = Search {
        scope,
        found: Vec::new(),
    };
    search.expression(expression);
    search.found.sort_unstable();
    search.found.dedup();
    search.found
}

struct Search<'s, S> {
    scope: &'s S,
    found: Vec<StepIdx>,
}

impl<S: Scope> Search<'_, S> {
    fn expression(&mut self, expression: &CompiledExpression) {
        match expression {
            Expression::Literal(_) => {}
            Expression::Reference(reference) => self.reference(reference),
            Expression::List(items) => items.iter().for_each(|item| self.expression(item)),
            Expression::Object(entries) => {
                entries.iter().for_each(|(_, entry)| self.expression(entry));
            }
            Expression::Template(pieces) => pieces.iter().for_each(|piece| match piece {
                Piece::Text(_) => {}
                Piece::Reference(reference) => self.reference(reference),
            }),
            Expression::If(parts) => {
                if self.waits_for(&parts.condition) {
                    return;
                }
                match evaluate(&parts.condition, self.scope) {
                    Evaluated::Value(it) if it.is_truthy() => self.expression(&parts.then),
                    Evaluated::Value(_) => self.expression(&parts.otherwise),
                    // Without a condition there is no branch.
                    _ => {}
                }
            }
            Expression::Coalesce(items) => self.first_with_value(items),
        }
    }

    fn first_with_value(&mut self, items: &[CompiledExpression]) {
        for item in items {
            if self.waits_for(item) {
                return;
            }
            match evaluate(item, self.scope) {
                Evaluated::Value(value) if !value.is_null() => return,
                _ => {}
            }
        }
    }

    /// Looks through an expression and says whether it waits for anything.
    fn waits_for(&mut self, expression: &CompiledExpression) -> bool {
        let n_before = self.found.len();
        self.expression(expression);
        self.found.len() > n_before
    }

    fn reference(&mut self, reference: &Reference<StepIdx>) {
        match &reference.target {
            Target::Input => {}
            Target::Variable { name, default } => {
                if let (None, Some(default)) = (self.scope.variable(name), default) {
                    self.expression(default);
                }
            }
            Target::Step { step, on_skip } => match (self.scope.outcome(*step), on_skip) {
                (None, _) => self.found.push(*step),
                (Some(Outcome::Skipped { .. }), OnSkip::UseDefault(default)) => {
                    self.expression(default);
                }
                (Some(_), _) => {}
            },
        }
    }
}
