//! A picture for Graphviz.

use std::fmt::Write;

use super::sketch::{Form, Sketch};

pub(super) fn draw(sketch: &Sketch) -> String {
    let mut dot = format!("digraph {} {{\n", quoted(&sketch.name));
    dot.push_str("  node [shape=box, fontname=\"sans-serif\"];\n");
    // Writing to a text does not fail.
    for figure in &sketch.figures {
        let label = quoted(&format!("{}\n{}", figure.id, figure.about));
        let shape = match figure.form {
            Form::Box => "",
            Form::Diamond => ", shape=diamond",
            Form::Round => ", style=rounded",
            Form::Person => ", shape=house",
        };
        let _ = writeln!(dot, "  {} [label={label}{shape}];", quoted(&figure.id));
    }
    for arrow in &sketch.arrows {
        let (from, to) = (&sketch.figures[arrow.from].id, &sketch.figures[arrow.to].id);
        let mut looks = Vec::new();
        if !arrow.label.is_empty() {
            looks.push(format!("label={}", quoted(&arrow.label)));
        }
        if arrow.goes_back {
            looks.push("style=dashed, constraint=false".to_owned());
        }
        let looks = match looks.is_empty() {
            true => String::new(),
            false => format!(" [{}]", looks.join(", ")),
        };
        let _ = writeln!(dot, "  {} -> {}{looks};", quoted(from), quoted(to));
    }
    dot.push_str("}\n");
    dot
}

fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('\n', "\\n"))
}
