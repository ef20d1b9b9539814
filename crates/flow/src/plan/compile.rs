//! From a flow to its plan, with every check on the way.
//!
//! Owns the order of the checks. Each reports and goes on; a plan comes out only if none found an error.
//! Every pass is linear in the flow.

use std::collections::HashMap;
use std::sync::Arc;

use super::{
    Compiled, CompiledExpression, Known, Plan, PlannedStep, StepIdx, cycles, fit, known_fields,
};
use crate::blob::BlobId;
use crate::diagnostic::{Code, Diagnostics, Severity};
use crate::document::{self, Span, nearest};
use crate::expression::{Expression, Need, Reference, StepName, Target};
use crate::flow::{Flow, LocatedSchema, Step};
use crate::path::Path;
use crate::schema::Schema;
use crate::value::Value;

/// How many names a suggestion is sought among.
const MOST_SUGGESTIONS: usize = 1000;

/// Compiles a flow if neither reading it nor the checks here found an error.
pub(super) fn compile(
    flow: &Flow,
    known: &Known<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Plan> {
    // First, because it takes the text of the flow twice over for a moment.
    let flow_id = flow_id(flow, diagnostics);
    let parts = check(flow, known, diagnostics);
    if diagnostics.has_errors() {
        return None;
    }
    let steps: Vec<PlannedStep> = parts.steps.into_iter().collect::<Option<_>>()?;
    let output = parts.output?;
    let output_needs = needed_at_once(&output);
    let roots = roots(&steps, &output_needs, &parts.uses);
    let mut warnings = diagnostics.clone();
    warnings.sort();
    warnings.forget_text();
    Some(Plan(Arc::new(Compiled {
        flow_id: flow_id?,
        flow: flow.value.clone(),
        name: flow.name.clone(),
        steps,
        by_id: parts.by_id,
        output,
        output_needs,
        roots,
        input_schema: parts.input_schema,
        output_schema: parts.output_schema,
        variables: flow.variables.clone(),
        variables_schema: parts.variables_schema,
        warnings,
    })))
}

/// What the checks leave for the plan; a step or an output with an error is missing.
struct Parts {
    steps: Vec<Option<PlannedStep>>,
    by_id: HashMap<StepName, StepIdx>,
    uses: Uses,
    output: Option<CompiledExpression>,
    input_schema: Option<Schema>,
    output_schema: Option<Schema>,
    variables_schema: Option<Schema>,
}

/// Runs every check on a flow and on the flows inside it.
fn check(flow: &Flow, known: &Known<'_>, diagnostics: &mut Diagnostics) -> Parts {
    let mut compiler = Compiler {
        flow,
        known,
        by_id: HashMap::new(),
        uses: Uses::default(),
        has_lost_its_steps: flow.steps.is_empty() && diagnostics.has_errors(),
        diagnostics,
    };
    compiler.index_ids();
    let places = 0..flow.steps.len();
    let steps = places
        .map(|place| compiler.step(StepIdx::new(place)))
        .collect();
    compiler.diagnostics.enter_step(None);
    let output = compiler.expression(&flow.output, None);
    compiler.find_cycles();
    compiler.note_unused();
    let input_schema = compiler.schema(flow.input_schema.as_ref());
    let output_schema = compiler.schema(flow.output_schema.as_ref());
    compiler.check_fit(
        &flow.output,
        flow.output_schema.as_ref().map(|schema| &schema.value),
        flow.output_span,
        Severity::Error,
    );
    let variables_schema = flow.variables.as_ref().map(|variables| LocatedSchema {
        value: variables.schema.clone(),
        span: variables.span,
    });
    let variables_schema = compiler.schema(variables_schema.as_ref());
    let Compiler { by_id, uses, .. } = compiler;
    Parts {
        steps,
        by_id,
        uses,
        output,
        input_schema,
        output_schema,
        variables_schema,
    }
}

/// Who refers to whom.
#[derive(Default)]
struct Uses {
    /// For each step the steps it refers to, anywhere, and where.
    by_step: Vec<Vec<(StepIdx, Span)>>,
    /// Whether anything refers to the step.
    is_used: Vec<bool>,
}

struct Compiler<'a> {
    flow: &'a Flow,
    known: &'a Known<'a>,
    by_id: HashMap<StepName, StepIdx>,
    uses: Uses,
    /// The mistake that took away all the steps, such as a misspelled `steps`, has been told, and says it all.
    has_lost_its_steps: bool,
    diagnostics: &'a mut Diagnostics,
}

impl Compiler<'_> {
    fn index_ids(&mut self) {
        let n_steps = self.flow.steps.len();
        self.uses = Uses {
            by_step: vec![Vec::new(); n_steps],
            is_used: vec![false; n_steps],
        };
        self.by_id.reserve(n_steps);
        for (place, step) in self.flow.steps.iter().enumerate() {
            let first = *self
                .by_id
                .entry(Arc::clone(&step.id))
                .or_insert(StepIdx::new(place));
            if first.place() != place {
                let (line, _) = self
                    .flow
                    .source
                    .line_column(self.flow.steps[first.place()].id_span.start());
                self.diagnostics
                    .error(
                        Code::DuplicateId,
                        step.id_span,
                        format!("a second step has the id {:?}", step.id),
                    )
                    .hint(format!("rename it; the first stands in line {line}"));
            }
        }
    }

    fn step(&mut self, idx: StepIdx) -> Option<PlannedStep> {
        let step = &self.flow.steps[idx.place()];
        self.diagnostics.enter_step(Some(&step.id));
        if let Some(subflow) = &step.subflow {
            check(subflow, self.known, self.diagnostics);
            self.diagnostics.enter_step(Some(&step.id));
        }
        let skip_if = step
            .skip_if
            .as_ref()
            .map(|skip_if| self.expression(skip_if, Some(idx)));
        let input = self.expression(&step.input, Some(idx));
        let default = step
            .on_error
            .default_value()
            .map(|default| self.expression(default, Some(idx)));
        let input_schema = self.schema(step.input_schema.as_ref());
        let output_schema = self.schema(step.output_schema.as_ref());
        let own = step
            .input_schema
            .as_ref()
            .map(|schema| schema.value.clone());
        let component = (self.known)(&step.component).and_then(|known| known.input);
        for schema in [own, component] {
            self.check_fit(
                &step.input,
                schema.as_ref(),
                step.input_span,
                Severity::Warning,
            );
        }
        let skip_if = match skip_if {
            Some(skip_if) => Some(skip_if?),
            None => None,
        };
        default
            .is_none_or(|default| default.is_some())
            .then_some(())?;
        let input = input?;
        let by_id = &self.by_id;
        Some(PlannedStep {
            id: Arc::clone(&step.id),
            component: Arc::clone(&step.component),
            skip_if_needs: skip_if.as_ref().map(needed_at_once).unwrap_or_default(),
            skip_if: skip_if.map(Box::new),
            input_needs: needed_at_once(&input),
            input,
            on_error: step
                .on_error
                .map_steps(&mut |name, _| by_id.get(name).copied())?,
            timeout: step.timeout,
            at_most_once: step.at_most_once,
            must_execute: step.must_execute,
            input_schema,
            output_schema,
        })
    }

    /// Looks up the steps of an expression and checks its references.
    fn expression(
        &mut self,
        expression: &Expression<StepName>,
        of: Option<StepIdx>,
    ) -> Option<CompiledExpression> {
        expression.visit(Need::AtOnce, &mut |reference, _| self.reference(reference));
        let Compiler {
            by_id,
            uses,
            has_lost_its_steps,
            diagnostics,
            ..
        } = self;
        expression.map_steps(&mut |name, span| {
            let Some(&step) = by_id.get(name) else {
                if !*has_lost_its_steps {
                    undefined_step(name, span, by_id, diagnostics);
                }
                return None;
            };
            uses.is_used[step.place()] = true;
            if let Some(of) = of {
                uses.by_step[of.place()].push((step, span));
            }
            Some(step)
        })
    }

    /// Checks what is known about the value a reference leads into.
    fn reference(&mut self, reference: &Reference<StepName>) {
        let what = match &reference.target {
            Target::Input => "the input",
            Target::Step { .. } => "the step's output",
            Target::Variable { name, default } => {
                self.variable(name, default.is_some(), reference.span);
                return;
            }
        };
        if let Some(schema) = self.schema_of(&reference.target) {
            known_fields::check(
                &schema,
                &reference.path,
                what,
                reference.path_span,
                self.diagnostics,
            );
        }
    }

    /// The schema of what a reference leads into, where it is known.
    fn schema_of(&self, target: &Target<StepName>) -> Option<Value> {
        schema_of(self.flow, self.known, &self.by_id, target)
    }

    fn variable(&mut self, name: &str, has_default: bool, span: Span) {
        let Some(declared) = &self.flow.variables else {
            if !has_default {
                self.diagnostics
                    .warning(
                        Code::UndefinedVariable,
                        span,
                        format!("the variable {name:?} is not declared"),
                    )
                    .hint(format!(
                        "declare it: `variables: {{type: object, properties: {{{name}: {{}}}}}}`"
                    ));
            }
            return;
        };
        if declared.each.contains_key(name) {
            return;
        }
        let names = || declared.each.keys().map(|name| &**name);
        let hint = match nearest(name, names().take(MOST_SUGGESTIONS)) {
            Some(near) => format!("did you mean {near:?}?"),
            None if declared.each.is_empty() => {
                format!("declare it: `variables: {{type: object, properties: {{{name}: {{}}}}}}`")
            }
            None => format!(
                "the flow declares {}",
                names().take(20).collect::<Vec<_>>().join(", ")
            ),
        };
        self.diagnostics
            .error(
                Code::UndefinedVariable,
                span,
                format!("the variable {name:?} is not declared"),
            )
            .hint(hint);
    }

    fn find_cycles(&mut self) {
        for cycle in cycles::find(&self.uses.by_step) {
            let steps: Vec<&Step> = cycle
                .iter()
                .map(|(idx, _)| &self.flow.steps[idx.place()])
                .collect();
            let Some((first, (_, span))) = steps.first().zip(cycle.first()) else {
                continue;
            };
            self.diagnostics.enter_step(Some(&first.id));
            if steps.len() == 1 {
                self.diagnostics
                    .error(
                        Code::Cycle,
                        *span,
                        format!("the step {:?} refers to its own result", first.id),
                    )
                    .hint("refer to the input or to another step");
                continue;
            }
            self.diagnostics
                .error(
                    Code::Cycle,
                    *span,
                    format!("these steps wait for each other: {}", chain(&steps)),
                )
                .hint("remove one of these references");
        }
        self.diagnostics.enter_step(None);
    }

    /// After an error nothing is said: the reference that is missing may be the one that was wrong.
    fn note_unused(&mut self) {
        if self.diagnostics.has_errors() {
            return;
        }
        for (step, is_used) in self.flow.steps.iter().zip(&self.uses.is_used) {
            if !is_used && !step.must_execute {
                self.diagnostics.enter_step(Some(&step.id));
                self.diagnostics
                    .note(
                        Code::UnusedResult,
                        step.id_span,
                        "nothing uses the result of this step; it runs for its effect",
                    )
                    .hint("write `mustExecute: true` to say that this is meant");
            }
        }
        self.diagnostics.enter_step(None);
    }

    fn schema(&mut self, schema: Option<&LocatedSchema>) -> Option<Schema> {
        let schema = schema?;
        match Schema::compile(&schema.value) {
            Ok(compiled) => Some(compiled),
            Err(error) => {
                let source = Arc::clone(self.diagnostics.source());
                let place = document::place_below(&source, schema.span, &error.pointer);
                self.diagnostics
                    .error(
                        Code::BadSchema,
                        place.unwrap_or(schema.span),
                        format!("the schema cannot be used: {error}"),
                    )
                    .hint("correct it here; the keyword is described in the JSON Schema reference");
                None
            }
        }
    }

    /// Checks what is known about a value against the schema of the place it goes to.
    fn check_fit(
        &mut self,
        expression: &Expression<StepName>,
        schema: Option<&Value>,
        span: Span,
        severity: Severity,
    ) {
        let Some(schema) = schema else { return };
        let (flow, known, by_id) = (self.flow, self.known, &self.by_id);
        let source_schema = |target: &Target<StepName>| schema_of(flow, known, by_id, target);
        let mut fit = fit::Fit {
            source_schema: &source_schema,
            severity,
            what: if self.diagnostics.step().is_some() {
                "the input"
            } else {
                "the output"
            },
            diagnostics: self.diagnostics,
        };
        fit.check(expression, schema, &Path::root(), span);
    }
}

fn schema_of(
    flow: &Flow,
    known: &Known<'_>,
    by_id: &HashMap<StepName, StepIdx>,
    target: &Target<StepName>,
) -> Option<Value> {
    let own = match target {
        Target::Input => flow.input_schema.as_ref(),
        Target::Variable { .. } => None,
        Target::Step { step, .. } => {
            let step = &flow.steps[by_id.get(step)?.place()];
            if step.output_schema.is_none() {
                return known(&step.component)?.output;
            }
            step.output_schema.as_ref()
        }
    };
    own.map(|schema| schema.value.clone())
}

fn flow_id(flow: &Flow, diagnostics: &mut Diagnostics) -> Option<BlobId> {
    match BlobId::of(&flow.value) {
        Ok(id) => Some(id),
        Err(error) => {
            diagnostics
                .error(
                    Code::BadValue,
                    Span::default(),
                    format!("the flow has no id: {error}"),
                )
                .hint("quote numbers and text that JSON cannot carry");
            None
        }
    }
}

fn undefined_step(
    name: &str,
    span: Span,
    by_id: &HashMap<StepName, StepIdx>,
    diagnostics: &mut Diagnostics,
) {
    let dotted = name
        .split_once('.')
        .filter(|(step, _)| by_id.contains_key(*step));
    let near = if by_id.len() <= MOST_SUGGESTIONS {
        let mut names: Vec<&str> = by_id.keys().map(|name| &**name).collect();
        names.sort_unstable();
        nearest(name, names)
    } else {
        None
    };
    let hint = match (dotted, near) {
        (Some((step, path)), _) => format!("write `{{ $step: {step}, path: {path} }}`"),
        (None, Some(near)) => format!("did you mean {near:?}?"),
        (None, None) if by_id.is_empty() => "the flow has no steps".to_owned(),
        (None, None) => among(by_id, diagnostics.step()),
    };
    diagnostics
        .error(
            Code::UndefinedStep,
            span,
            format!("there is no step {name:?}"),
        )
        .hint(hint);
}

/// Which steps there are beside the one that refers, as long as they are few enough to be read.
fn among(by_id: &HashMap<StepName, StepIdx>, of: Option<&StepName>) -> String {
    const SHOWN: usize = 10;
    // A flow that a program wrote may have as many mistakes as steps.
    if by_id.len() > MOST_SUGGESTIONS {
        return format!("name one of the {} steps of this flow", by_id.len());
    }
    let mut steps: Vec<_> = by_id.iter().filter(|(name, _)| Some(*name) != of).collect();
    if steps.is_empty() {
        return "the flow has no other steps".to_owned();
    }
    steps.sort_unstable_by_key(|(_, place)| **place);
    let names = steps
        .iter()
        .take(SHOWN)
        .map(|(name, _)| format!("{name:?}"));
    let names = names.collect::<Vec<_>>().join(", ");
    let more = if steps.len() > SHOWN { ", …" } else { "" };
    format!("name a step of this flow: {names}{more}")
}

/// `a → b → a`, shortened.
fn chain(steps: &[&Step]) -> String {
    const SHOWN: usize = 10;
    let mut names: Vec<&str> = steps.iter().take(SHOWN).map(|step| &*step.id).collect();
    if steps.len() > SHOWN {
        names.push("…");
    }
    names.push(&steps[0].id);
    names.join(" → ")
}

fn needed_at_once(expression: &CompiledExpression) -> Box<[StepIdx]> {
    let mut needs = Vec::new();
    expression.visit(Need::AtOnce, &mut |reference, need| {
        if let (Target::Step { step, .. }, Need::AtOnce) = (&reference.target, need) {
            needs.push(*step);
        }
    });
    needs.sort_unstable();
    needs.dedup();
    needs.into()
}

fn roots(steps: &[PlannedStep], output_needs: &[StepIdx], uses: &Uses) -> Vec<StepIdx> {
    let mut is_root: Vec<bool> = steps
        .iter()
        .zip(&uses.is_used)
        .map(|(step, is_used)| step.must_execute || !is_used)
        .collect();
    for idx in output_needs {
        is_root[idx.place()] = true;
    }
    let places = is_root.iter().enumerate().filter(|(_, is_root)| **is_root);
    places.map(|(place, _)| StepIdx::new(place)).collect()
}
