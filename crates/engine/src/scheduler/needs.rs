//! What an expression still waits for. Owns the look ahead that lets all steps of a branch start at
//! once, where evaluation alone would ask for them one after the other.

use stepflow_flow::evaluate::{Evaluated, Scope, evaluate};
use stepflow_flow::expression::{Expression, OnSkip, Piece, Reference, Target};
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::{CompiledExpression, StepIdx};

/// The steps without an outcome that evaluation is certain to ask for, as far as can be told from
/// the outcomes that are there: those in the conditions, branches and items that are reached.
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
    /// Looks through an expression. Returns whether evaluation would go on after it: not when it
    /// is skipped or fails.
    fn expression(&mut self, expression: &CompiledExpression) -> bool {
        match expression {
            Expression::Literal(_) => true,
            Expression::Reference(reference) => self.reference(reference),
            Expression::List(items) => items.iter().all(|item| self.expression(item)),
            Expression::Object(entries) => entries.iter().all(|(_, entry)| self.expression(entry)),
            Expression::Template(pieces) => pieces.iter().all(|piece| match piece {
                Piece::Text(_) => true,
                Piece::Reference(reference) => self.reference(reference),
            }),
            Expression::If(parts) => {
                if self.finds_in(&parts.condition) {
                    return true;
                }
                match evaluate(&parts.condition, self.scope) {
                    Evaluated::Value(it) if it.is_truthy() => self.expression(&parts.then),
                    Evaluated::Value(_) => self.expression(&parts.otherwise),
                    _ => false,
                }
            }
            Expression::Coalesce(items) => {
                for item in items {
                    if self.finds_in(item) {
                        return true;
                    }
                    if let Evaluated::Value(value) = evaluate(item, self.scope)
                        && !value.is_null()
                    {
                        return true;
                    }
                }
                matches!(evaluate(expression, self.scope), Evaluated::Value(_))
            }
        }
    }

    /// Whether an expression waits for something.
    fn finds_in(&mut self, expression: &CompiledExpression) -> bool {
        let n_before = self.found.len();
        self.expression(expression);
        self.found.len() > n_before
    }

    fn reference(&mut self, reference: &Reference<StepIdx>) -> bool {
        match &reference.target {
            Target::Input => true,
            Target::Variable { name, default } => match (self.scope.variable(name), default) {
                (None, Some(default)) => self.expression(default),
                _ => true,
            },
            Target::Step { step, on_skip } => match (self.scope.outcome(*step), on_skip) {
                (None, _) => {
                    self.found.push(*step);
                    true
                }
                (Some(Outcome::Success(value)), _) => reference.path.select(value).is_ok(),
                (Some(Outcome::Skipped { .. }), OnSkip::UseDefault(default)) => {
                    self.expression(default)
                }
                (Some(_), _) => false,
            },
        }
    }
}
