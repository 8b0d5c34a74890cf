//! Results on standard output: tables for people, JSON and YAML for programs.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use clap::ValueEnum;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use serde::Serialize;

use super::{
    Global,
    exit::{Exit, Failure, Outcome},
    top::terminal_size,
    view::{Block, View},
};

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Table,
    /// For people, with more columns
    Wide,
    /// As the HTTP interface answers
    Json,
    /// The same as YAML
    Yaml,
}

/// How much a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Short,
    Wide,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    Plain,
    Colours,
}

/// Where results go, and in which form.
#[derive(Debug)]
pub(super) struct Output {
    format: Format,
    ids_only: bool,
    out: Paint,
    err: Paint,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        let wanted = !global.no_color && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let paint = |terminal: bool| {
            if wanted && terminal {
                Paint::Colours
            } else {
                Paint::Plain
            }
        };
        Self {
            format: global.output,
            ids_only: global.quiet,
            out: paint(io::stdout().is_terminal()),
            err: paint(io::stderr().is_terminal()),
        }
    }

    /// Whether a program reads the result.
    pub(super) fn is_for_programs(&self) -> bool {
        matches!(self.format, Format::Json | Format::Yaml)
    }

    /// Whether only ids are printed.
    pub(super) const fn is_quiet(&self) -> bool {
        self.ids_only
    }

    /// Prints a result.
    pub(super) fn show<V: View>(&self, value: &V) -> Outcome {
        if self.ids_only {
            let ids: String = value.ids().iter().map(|id| visible(id) + "\n").collect();
            return self.text(&ids);
        }
        match self.format {
            Format::Json | Format::Yaml => self.data(value),
            Format::Table | Format::Wide => self.text(&self.drawn(&value.blocks(self.detail()))),
        }
    }

    /// Prints a value as data, whatever was asked for people.
    pub(super) fn data(&self, value: &impl Serialize) -> Outcome {
        let unprintable = |error: &dyn std::error::Error| {
            Failure::new(Exit::Failed, "the result cannot be printed").because(error)
        };
        let text = match self.format {
            Format::Yaml => serde_saphyr::to_string(value).map_err(|error| unprintable(&error))?,
            Format::Json | Format::Table | Format::Wide => {
                serde_json::to_string_pretty(value).map_err(|error| unprintable(&error))? + "\n"
            }
        };
        self.text(&text)
    }

    /// Prints one value a line as JSON, for streams.
    pub(super) fn line(&self, value: &impl Serialize) -> Outcome {
        let text = serde_json::to_string(value).map_err(|error| {
            Failure::new(Exit::Failed, "the result cannot be printed").because(error)
        })?;
        self.text(&(text + "\n"))
    }

    /// Prints a text as it is.
    pub(super) fn text(&self, text: &str) -> Outcome {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(Exit::Ok),
            // `troupe … | head` has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
            Err(error) => Err(Failure::new(Exit::Failed, "cannot write the result").because(error)),
        }
    }

    /// Tells people something that is no result, on standard error.
    pub(super) fn note(&self, text: &str) {
        if !self.ids_only {
            // Nobody is left to be told when standard error is closed.
            let _ = writeln!(io::stderr().lock(), "{}", visible_lines(text));
        }
    }

    /// Prints a text as it is to standard error.
    #[expect(
        clippy::unused_self,
        reason = "all that is printed goes through an output"
    )]
    pub(super) fn error_text(&self, text: &str) {
        // Nobody is left to be told when standard error is closed.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    pub(super) fn paint_error(&self, text: &str) -> String {
        match self.err {
            Paint::Colours => format!("\u{1b}[1;31m{text}\u{1b}[0m"),
            Paint::Plain => text.to_owned(),
        }
    }

    /// How much tables show.
    pub(super) const fn detail(&self) -> Detail {
        match self.format {
            Format::Wide => Detail::Wide,
            Format::Table | Format::Json | Format::Yaml => Detail::Short,
        }
    }

    /// The blocks as people see them on standard output.
    pub(super) fn drawn(&self, blocks: &[Block]) -> String {
        drawn(blocks, self.out)
    }

    /// Draws over the picture before on a terminal, and below it elsewhere. What does not fit on a
    /// terminal is left out and counted, or it would scroll.
    pub(super) fn picture(&self, blocks: &[Block]) -> Outcome {
        let text = self.drawn(blocks);
        match terminal_size() {
            Some(size) => self.text(&format!("\u{1b}[H\u{1b}[2J{}", fitting(&text, size))),
            None => self.text(&(text + "\n")),
        }
    }

    /// Whether standard output is a terminal that may be coloured.
    pub(super) fn is_coloured(&self) -> bool {
        self.out == Paint::Colours
    }
}

/// What of `text` fits into so many columns and lines, and how many lines do not.
fn fitting(text: &str, (width, height): (usize, usize)) -> String {
    let count = text.lines().count();
    let room = height.saturating_sub(1);
    let kept = if count <= room {
        count
    } else {
        room.saturating_sub(1)
    };
    let mut shown = String::with_capacity(text.len());
    for line in text.lines().take(kept) {
        clip(&mut shown, line, width);
        shown.push('\n');
    }
    if kept < count {
        let left = count - kept;
        let words = format!("… {left} more lines; `troupe top` scrolls, --depth shows less");
        clip(&mut shown, &words, width);
        shown.push('\n');
    }
    shown
}

/// The first `width` characters of a line, and all of its colours.
fn clip(shown: &mut String, line: &str, width: usize) {
    let (mut column, mut is_colour) = (0, false);
    for c in line.chars() {
        is_colour |= c == '\u{1b}';
        if is_colour || column < width {
            shown.push(c);
        }
        column += usize::from(!is_colour);
        is_colour &= c != 'm';
    }
}

/// The blocks without colours.
pub(super) fn plain(blocks: &[Block]) -> String {
    drawn(blocks, Paint::Plain)
}

fn drawn(blocks: &[Block], paint: Paint) -> String {
    let mut text = String::new();
    for (index, block) in blocks.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        match block {
            Block::Fields(named) => fields(&mut text, named),
            Block::Rows { header, rows } => table(&mut text, header, rows, paint),
            Block::Text(words) => {
                text.push_str(&visible_lines(words));
                text.push('\n');
            }
        }
    }
    text
}

fn fields(text: &mut String, fields: &[(&'static str, String)]) {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in fields {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{name:width$}  {}", visible(value));
    }
}

fn table(text: &mut String, header: &[&'static str], rows: &[Vec<String>], paint: Paint) {
    if rows.is_empty() {
        text.push_str("none\n");
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    if paint == Paint::Plain {
        table.force_no_tty();
    } else {
        table.enforce_styling();
    }
    table.set_header(
        header
            .iter()
            .map(|name| Cell::new(name).add_attribute(Attribute::Bold)),
    );
    for row in rows {
        table.add_row(row.iter().zip(header).map(|(value, column)| {
            let cell = Cell::new(visible(value));
            match colour(column, value) {
                Some(colour) => cell.fg(colour),
                None => cell,
            }
        }));
    }
    text.push_str(&table.trim_fmt());
    text.push('\n');
}
/// The colour of a state, in the columns that show states.
fn colour(column: &str, value: &str) -> Option<Color> {
    if !matches!(column, "STATUS" | "STATE" | "HEALTH" | "CIRCUIT" | "OK") {
        return None;
    }
    match value {
        "completed" | "succeeded" | "active" | "healthy" | "running" | "closed" | "ok" | "up" => {
            Some(Color::Green)
        }
        "failed" | "error" | "lost" | "unknown" | "unhealthy" | "parked" | "open" | "no"
        | "dead" | "stuck" | "crash_loop" => Some(Color::Red),
        "executing" | "planning" | "queued" | "paused" | "backing_off" | "half_open"
        | "cancelled" | "skipped" | "suspect" | "draining" | "starting" | "stopping" => {
            Some(Color::Yellow)
        }
        _ => None,
    }
}

/// `text` on one line, with control characters written out: a name must not drive the terminal.
pub(super) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), push)
}

/// The same, but for line ends and tabs.
pub(super) fn visible_lines(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut shown, c| {
            if matches!(c, '\n' | '\t') {
                shown.push(c);
                shown
            } else {
                push(shown, c)
            }
        })
}

fn push(mut shown: String, c: char) -> String {
    // Directional marks reorder what stands beside them, as dangerous as an escape.
    if c.is_control()
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    {
        shown.extend(c.escape_default());
    } else {
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_is_too_long_for_a_terminal_says_what_is_missing() {
        assert_eq!(fitting("a\nb\n", (80, 3)), "a\nb\n");
        let cut = fitting("a\nb\nc\nd\n", (80, 4));
        assert!(cut.starts_with("a\nb\n… 2 more lines"), "{cut}");
        assert_eq!(cut.lines().count(), 3);
    }

    #[test]
    fn a_line_that_is_too_wide_for_a_terminal_keeps_its_colours() {
        let painted = "ab\u{1b}[31mcd\u{1b}[0mef";
        assert_eq!(fitting(painted, (3, 9)), "ab\u{1b}[31mc\u{1b}[0m\n");
    }

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(visible("a\u{1b}[31mb\r\nc"), "a\\u{1b}[31mb\\r\\nc");
        assert_eq!(visible_lines("a\n\tb\u{7}"), "a\n\tb\\u{7}");
        assert_eq!(visible("x\u{202e}y ä 文"), "x\\u{202e}y ä 文");
    }
}
