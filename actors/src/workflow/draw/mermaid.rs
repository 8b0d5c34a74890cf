//! A picture for Mermaid.

use std::fmt::Write;

use super::sketch::{Form, Sketch};

pub(super) fn draw(sketch: &Sketch) -> String {
    let mut chart = String::from("flowchart TD\n");
    // Ids of ours may be words of its own; numbers never are. Writing to a text does not fail.
    for (at, figure) in sketch.figures.iter().enumerate() {
        let label = quoted(&figure.id, &figure.about);
        let figure = match figure.form {
            Form::Box => format!("[{label}]"),
            Form::Diamond => format!("{{{label}}}"),
            Form::Round => format!("({label})"),
            Form::Person => format!("[/{label}\\]"),
        };
        let _ = writeln!(chart, "  n{at}{figure}");
    }
    for arrow in &sketch.arrows {
        let line = if arrow.goes_back { "-.->" } else { "-->" };
        let label = match arrow.label.as_str() {
            "" => String::new(),
            label => format!("|\"{}\"|", escaped(label)),
        };
        let _ = writeln!(chart, "  n{} {line}{label} n{}", arrow.from, arrow.to);
    }
    chart
}

fn quoted(id: &str, about: &str) -> String {
    format!("\"{}<br/>{}\"", escaped(id), escaped(about))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '#' => escaped.push_str("#35;"),
            '"' => escaped.push_str("#quot;"),
            '<' => escaped.push_str("#lt;"),
            '>' => escaped.push_str("#gt;"),
            '&' => escaped.push_str("#amp;"),
            '\n' | '\r' => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
