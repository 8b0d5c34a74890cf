//! Letters and lines on squared paper.

/// Lines that meet in a square, by the sides that they lead to.
const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Square {
    Lines(u8),
    Letter(char),
}

/// The paper; it grows downwards.
#[derive(Debug)]
pub(super) struct Grid {
    width: usize,
    rows: Vec<Vec<Square>>,
}

impl Grid {
    pub(super) const fn new(width: usize) -> Self {
        Self {
            width,
            rows: Vec::new(),
        }
    }

    /// Has at least so many rows from now on.
    fn grow(&mut self, height: usize) {
        let height = height.max(self.rows.len());
        self.rows.resize(height, vec![Square::Lines(0); self.width]);
    }

    fn add(&mut self, row: usize, column: usize, sides: u8) {
        self.grow(row + 1);
        let square = self.rows.get_mut(row).and_then(|row| row.get_mut(column));
        if let Some(Square::Lines(lines)) = square {
            *lines |= sides;
        }
    }

    /// A line from the middle of one row to the middle of another one below.
    pub(super) fn down(&mut self, column: usize, from: usize, to: usize) {
        for row in from..to {
            self.add(row, column, DOWN);
            self.add(row + 1, column, UP);
        }
    }

    /// A line within a row.
    pub(super) fn across(&mut self, row: usize, one: usize, other: usize) {
        for column in one.min(other)..one.max(other) {
            self.add(row, column, RIGHT);
            self.add(row, column + 1, LEFT);
        }
    }

    /// A box around lines of text.
    pub(super) fn frame(&mut self, top: usize, left: usize, width: usize, lines: &[String]) {
        let (right, bottom) = (left + width - 1, top + lines.len() + 1);
        self.across(top, left, right);
        self.across(bottom, left, right);
        self.down(left, top, bottom);
        self.down(right, top, bottom);
        for (row, line) in (top + 1..).zip(lines) {
            for (column, letter) in (left + 2..right).zip(line.chars()) {
                let square = self.rows.get_mut(row).and_then(|row| row.get_mut(column));
                if let Some(square) = square {
                    *square = Square::Letter(letter);
                }
            }
        }
    }

    pub(super) fn print(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let line: String = row.iter().map(|square| square.letter()).collect();
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

impl Square {
    const fn letter(self) -> char {
        /// By the sides that lines lead to.
        const LINES: [char; 16] = [
            ' ', '│', '│', '│', '─', '┘', '┐', '┤', '─', '└', '┌', '├', '─', '┴', '┬', '┼',
        ];
        match self {
            Self::Letter(letter) => letter,
            Self::Lines(sides) => LINES[(sides & 15) as usize],
        }
    }
}
