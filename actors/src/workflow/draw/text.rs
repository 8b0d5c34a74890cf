//! A picture for a terminal: boxes in layers, or a list where these would be too wide.

mod grid;
mod layers;

use std::fmt::Write;

use super::sketch::{Figure, Sketch};
use grid::Grid;
use layers::{Item, Layers};

/// Widest picture, in letters.
const WIDEST: usize = 160;

/// Most boxes and arrows of a picture.
const MOST: usize = 200;

type Mark<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(super) fn draw(sketch: &Sketch, mark: Mark<'_>) -> String {
    let mut text = boxes(sketch, mark).unwrap_or_else(|| list(sketch, mark));
    let labelled = sketch.arrows.iter();
    let mut labelled = labelled.filter(|arrow| arrow.goes_back || !arrow.label.is_empty());
    let mut next = labelled.next();
    if next.is_some() {
        text.push('\n');
    }
    while let Some(arrow) = next {
        let sign = if arrow.goes_back { "↺" } else { "→" };
        let (from, to) = (&sketch.figures[arrow.from].id, &sketch.figures[arrow.to].id);
        // Writing to a text does not fail.
        let _ = writeln!(
            text,
            "{}",
            format!("{from} {sign} {to}  {}", arrow.label).trim_end()
        );
        next = labelled.next();
    }
    text
}

/// What stands in a box.
fn lines(figure: &Figure, mark: Mark<'_>) -> [String; 2] {
    let name = match mark(&figure.id) {
        Some(mark) => format!("{mark} {}", figure.id),
        None => figure.id.clone(),
    };
    [name, figure.about.clone()]
}

/// `None` if it would be too wide, or goes round.
fn boxes(sketch: &Sketch, mark: Mark<'_>) -> Option<String> {
    let forward = sketch.arrows.iter().filter(|arrow| !arrow.goes_back);
    let arrows: Vec<_> = forward.map(|arrow| (arrow.from, arrow.to)).collect();
    if sketch.figures.len() + arrows.len() > MOST {
        return None;
    }
    let words: Vec<_> = sketch
        .figures
        .iter()
        .map(|figure| lines(figure, mark))
        .collect();
    let letters = |lines: &[String; 2]| lines.iter().map(|line| line.chars().count()).max();
    let widths: Vec<_> = words
        .iter()
        .map(|lines| letters(lines).unwrap_or(0) + 4)
        .collect();
    let layers = Layers::new(&widths, &arrows)?;
    if layers.width() > WIDEST {
        return None;
    }
    let mut grid = Grid::new(layers.width());
    let mut top = 0;
    for (depth, layer) in layers.rows().enumerate() {
        for item in layer {
            match item.figure {
                Some(figure) => grid.frame(top, item.left, item.width, &words[figure]),
                None => grid.down(item.port(), top, top + FRAME - 1),
            }
        }
        top = connect(&mut grid, layer, &layers.below(depth), top + FRAME);
    }
    Some(grid.print())
}

/// Lines of a box.
const FRAME: usize = 4;

/// Leads each item of a layer to the places of those below it, from a row on; gives the row of these.
fn connect(grid: &mut Grid, layer: &[Item], below: &[Vec<usize>], top: usize) -> usize {
    if below.iter().all(Vec::is_empty) {
        return top;
    }
    // Items that lead to the same ones share a row.
    let mut rows: Vec<&Vec<usize>> = Vec::new();
    for (item, ports) in layer.iter().zip(below) {
        if ports.iter().any(|to| *to != item.port()) && !rows.contains(&ports) {
            rows.push(ports);
        }
    }
    let bottom = top + rows.len().max(1);
    for (item, ports) in layer.iter().zip(below) {
        let port = item.port();
        match rows.iter().position(|row| *row == ports) {
            Some(own) => {
                let own = top + own;
                grid.down(port, top - 1, own);
                for &to in ports {
                    grid.across(own, port, to);
                    grid.down(to, own, bottom);
                }
            }
            None if ports.is_empty() => {}
            None => grid.down(port, top - 1, bottom),
        }
    }
    bottom
}

/// A line for each node, with those that it comes after.
fn list(sketch: &Sketch, mark: Mark<'_>) -> String {
    let mut before = vec![Vec::new(); sketch.figures.len()];
    for arrow in sketch.arrows.iter().filter(|arrow| !arrow.goes_back) {
        before[arrow.to].push(sketch.figures[arrow.from].id.as_str());
    }
    let names: Vec<_> = sketch
        .figures
        .iter()
        .map(|figure| lines(figure, mark))
        .collect();
    let widest = |at: usize| {
        names
            .iter()
            .map(|it| it[at].chars().count())
            .max()
            .unwrap_or(0)
    };
    let (first, second) = (widest(0), widest(1));
    let mut text = String::new();
    for ([name, about], before) in names.iter().zip(before) {
        let after = match before.as_slice() {
            [] => String::new(),
            [..] if before.len() > 8 => format!("← {} nodes", before.len()),
            before => format!("← {}", before.join(", ")),
        };
        let line = format!("{name:first$}  {about:second$}  {after}");
        // Writing to a text does not fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
