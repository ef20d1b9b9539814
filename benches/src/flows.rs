//! The texts of the flows that are measured, for whole runs and for the pure parts alike.

use std::fmt::Write;

/// How the steps of a flow hang together.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Each step takes the result of the one before.
    Sequential,
    /// All steps take the flow's input.
    Parallel,
}

/// A flow of so many steps on one component, of which every result is wanted.
pub fn text(component: &str, shape: Shape, n_steps: usize) -> String {
    let mut text = String::from("steps:\n");
    for step in 0..n_steps {
        let input = match (shape, step) {
            (Shape::Parallel, _) | (Shape::Sequential, 0) => "{ $input: \"$\" }".to_owned(),
            (Shape::Sequential, _) => format!("{{ $step: s{} }}", step - 1),
        };
        push(
            &mut text,
            format_args!("  - {{ id: s{step}, component: {component}, input: {input} }}\n"),
        );
    }
    match shape {
        Shape::Sequential => {
            push(
                &mut text,
                format_args!("output: {{ $step: s{} }}\n", n_steps - 1),
            );
        }
        Shape::Parallel => {
            text.push_str("output:\n");
            for step in 0..n_steps {
                push(&mut text, format_args!("  - {{ $step: s{step} }}\n"));
            }
        }
    }
    text
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a string takes any text");
}
