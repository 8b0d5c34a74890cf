//! What happened, as lines: hashed always, kept when asked for.

use std::fmt::{self, Write as _};

/// Lines of a run in order.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

/// Whether lines are kept for people to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Hash,
    Lines,
}

impl Trace {
    pub(crate) const fn new(keep: Keep) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            lines: match keep {
                Keep::Hash => None,
                Keep::Lines => Some(Vec::new()),
            },
        }
    }

    pub(crate) fn line(&mut self, now: u64, what: fmt::Arguments<'_>) {
        let line = format_args!("{:>12.6} {what}", now as f64 / 1e6).to_string();
        // FNV-1a.
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for line in self.lines.iter().flatten() {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}
