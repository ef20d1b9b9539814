//! Expressions: how a flow says what goes into a step.
//!
//! Owns the one tree that both dialects (`$from`, and `$input`/`$step`/`$variable`) parse into, and its
//! printed form in the newer dialect. Must not know which steps exist, nor how a value is computed.

use std::sync::Arc;

use crate::document::Span;
use crate::path::Path;
use crate::value::Value;

mod lookalike;
mod parse;
mod print;
mod shapes;
mod template;

pub use parse::parse;
pub(crate) use parse::{action_hint, parse_condition};
pub use print::print;
pub use shapes::{EXPRESSION, NO_DOLLAR};

/// A step as a flow names it, before it is looked up.
pub type StepName = Arc<str>;

/// What a value is made from. `R` is how a step is referred to: by [`StepName`] as parsed, by
/// [`crate::plan::StepIdx`] as compiled.
#[derive(Clone, Debug)]
pub enum Expression<R> {
    /// Data without references in it.
    Literal(Value),
    /// A value from the input, a variable or a step.
    Reference(Box<Reference<R>>),
    /// `$if`: one of two branches; the other is never computed.
    If(Box<If<R>>),
    /// `$coalesce`: the first item that has a value.
    Coalesce(Vec<Expression<R>>),
    /// `$template`: text with values in it.
    Template(Vec<Piece<R>>),
    /// A list with references in it.
    List(Vec<Expression<R>>),
    /// An object with references in it.
    Object(Vec<(Arc<str>, Expression<R>)>),
}

/// A value taken from somewhere else.
#[derive(Clone, Debug)]
pub struct Reference<R> {
    /// Where it is taken from.
    pub target: Target<R>,
    /// What part of it.
    pub path: Path,
    /// Where the reference stands in the flow.
    pub span: Span,
    /// Where its path stands, if it has a place of its own.
    pub path_span: Span,
}

/// Where a [`Reference`] takes its value from.
#[derive(Clone, Debug)]
pub enum Target<R> {
    /// The flow's input.
    Input,
    /// A step's result.
    Step {
        /// The step.
        step: R,
        /// What to do when it was skipped.
        on_skip: OnSkip<R>,
    },
    /// A variable.
    Variable {
        /// Its name.
        name: Arc<str>,
        /// Its value where none was given.
        default: Option<Expression<R>>,
    },
}

/// What a reference to a skipped step means.
#[derive(Clone, Debug)]
pub enum OnSkip<R> {
    /// What needs it is skipped too.
    Skip,
    /// This value instead.
    UseDefault(Expression<R>),
}

/// A condition and its two branches.
#[derive(Clone, Debug)]
pub struct If<R> {
    /// What decides.
    pub condition: Expression<R>,
    /// For everything but `false` and `null`.
    pub then: Expression<R>,
    /// For `false` and `null`.
    pub otherwise: Expression<R>,
}

/// A piece of a template.
#[derive(Clone, Debug)]
pub enum Piece<R> {
    /// Text as it is.
    Text(Arc<str>),
    /// A value: a string as it is, anything else as JSON.
    Reference(Reference<R>),
}

/// When a reference is needed: see "What runs" in the flow language's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Before the expression can be computed at all.
    AtOnce,
    /// Only when the computation reaches it: a branch, a later item of `$coalesce`, a default.
    WhenReached,
}

impl<R> Expression<R> {
    /// Shows every reference to `see`, in the order of the text, with when it is needed.
    pub fn visit<'e>(&'e self, need: Need, see: &mut impl FnMut(&'e Reference<R>, Need)) {
        match self {
            Expression::Literal(_) => {}
            Expression::Reference(reference) => reference.visit(need, see),
            Expression::If(parts) => {
                parts.condition.visit(need, see);
                parts.then.visit(Need::WhenReached, see);
                parts.otherwise.visit(Need::WhenReached, see);
            }
            Expression::Coalesce(items) => {
                for (place, item) in items.iter().enumerate() {
                    item.visit(if place == 0 { need } else { Need::WhenReached }, see);
                }
            }
            Expression::Template(pieces) => pieces.iter().for_each(|piece| match piece {
                Piece::Text(_) => {}
                Piece::Reference(reference) => reference.visit(need, see),
            }),
            Expression::List(items) => items.iter().for_each(|item| item.visit(need, see)),
            Expression::Object(entries) => {
                entries.iter().for_each(|(_, entry)| entry.visit(need, see));
            }
        }
    }

    /// The same expression with its steps looked up. `find` is asked for every step, so that it can report
    /// all that are missing; the result is `None` if any was.
    pub fn map_steps<S>(
        &self,
        find: &mut impl FnMut(&R, Span) -> Option<S>,
    ) -> Option<Expression<S>> {
        Some(match self {
            Expression::Literal(value) => Expression::Literal(value.clone()),
            Expression::Reference(reference) => {
                Expression::Reference(Box::new(reference.map_steps(find)?))
            }
            Expression::If(parts) => {
                let condition = parts.condition.map_steps(find);
                let then = parts.then.map_steps(find);
                let otherwise = parts.otherwise.map_steps(find);
                Expression::If(Box::new(If {
                    condition: condition?,
                    then: then?,
                    otherwise: otherwise?,
                }))
            }
            Expression::Coalesce(items) => {
                Expression::Coalesce(map_all(items, |item| item.map_steps(find))?)
            }
            Expression::List(items) => {
                Expression::List(map_all(items, |item| item.map_steps(find))?)
            }
            Expression::Template(pieces) => {
                Expression::Template(map_all(pieces, |piece| match piece {
                    Piece::Text(text) => Some(Piece::Text(Arc::clone(text))),
                    Piece::Reference(reference) => reference.map_steps(find).map(Piece::Reference),
                })?)
            }
            Expression::Object(entries) => Expression::Object(map_all(entries, |(key, entry)| {
                entry.map_steps(find).map(|entry| (Arc::clone(key), entry))
            })?),
        })
    }
}

/// Maps every item even after one has failed.
fn map_all<A, B>(items: &[A], map: impl FnMut(&A) -> Option<B>) -> Option<Vec<B>> {
    let mapped: Vec<Option<B>> = items.iter().map(map).collect();
    mapped.into_iter().collect()
}

impl<R> Reference<R> {
    fn visit<'e>(&'e self, need: Need, see: &mut impl FnMut(&'e Reference<R>, Need)) {
        see(self, need);
        match &self.target {
            Target::Input
            | Target::Step {
                on_skip: OnSkip::Skip,
                ..
            }
            | Target::Variable { default: None, .. } => {}
            Target::Step {
                on_skip: OnSkip::UseDefault(default),
                ..
            }
            | Target::Variable {
                default: Some(default),
                ..
            } => default.visit(Need::WhenReached, see),
        }
    }

    fn map_steps<S>(&self, find: &mut impl FnMut(&R, Span) -> Option<S>) -> Option<Reference<S>> {
        let target = match &self.target {
            Target::Input => Target::Input,
            Target::Step { step, on_skip } => {
                let step = find(step, self.span);
                let on_skip = match on_skip {
                    OnSkip::Skip => Some(OnSkip::Skip),
                    OnSkip::UseDefault(default) => default.map_steps(find).map(OnSkip::UseDefault),
                };
                Target::Step {
                    step: step?,
                    on_skip: on_skip?,
                }
            }
            Target::Variable { name, default } => {
                let default = match default {
                    Some(default) => Some(default.map_steps(find)?),
                    None => None,
                };
                Target::Variable {
                    name: Arc::clone(name),
                    default,
                }
            }
        };
        Some(Reference {
            target,
            path: self.path.clone(),
            span: self.span,
            path_span: self.path_span,
        })
    }
}
