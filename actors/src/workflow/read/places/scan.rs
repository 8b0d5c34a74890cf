//! Where the parts of JSON stand, and whether a name is given twice: one pass over a text that was read
//! as JSON already.

use super::{Place, Places, Problem, Step, WHOLE, twice};

/// An object or array that is not closed yet.
struct Open {
    /// Which part it is.
    part: usize,
    /// How its own whole leads to it.
    step: Option<Step>,
    inside: Inside,
}

#[derive(Clone, Copy)]
enum Inside {
    /// A name comes next.
    Name,
    /// The value of a name does.
    Value,
    /// An element does, with so many before it.
    Element(usize),
}

/// A text, of which a beginning has been walked through.
struct Walk<'a> {
    text: &'a str,
    counted: usize,
    place: Place,
    open: Vec<Open>,
    places: Places,
}

/// The places of all parts.
pub(super) fn places(text: &str) -> Result<Places, Problem> {
    let mut walk = Walk {
        text,
        counted: 0,
        place: Place { line: 1, column: 1 },
        open: Vec::new(),
        places: Places::default(),
    };
    let bytes = text.as_bytes();
    // The part that the next value is, and the step to it.
    let mut next = (WHOLE, None);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let end = match byte {
            b'"' => string_end(bytes, at),
            _ => at + 1,
        };
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b':' => {}
            b',' => walk.go_on(),
            b'}' | b']' => drop(walk.open.pop()),
            b'"' if walk.is_name_next() => next = walk.name(at, end)?,
            _ => {
                if let Some(element) = walk.element(at) {
                    next = element;
                }
                let inside = match byte {
                    b'{' => Some(Inside::Name),
                    b'[' => Some(Inside::Element(0)),
                    _ => None,
                };
                if let Some(inside) = inside {
                    let (part, step) = std::mem::replace(&mut next, (WHOLE, None));
                    walk.open.push(Open { part, step, inside });
                }
            }
        }
        at = end;
    }
    Ok(walk.places)
}

/// Behind the closing quote of the string that begins here.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    loop {
        match bytes.get(at) {
            None | Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

impl Walk<'_> {
    fn is_name_next(&self) -> bool {
        matches!(self.open.last(), Some(open) if matches!(open.inside, Inside::Name))
    }

    /// A comma: another one follows.
    fn go_on(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.inside = match open.inside {
                Inside::Element(before) => Inside::Element(before + 1),
                Inside::Name | Inside::Value => Inside::Name,
            };
        }
    }

    fn name(&mut self, at: usize, end: usize) -> Result<(usize, Option<Step>), Problem> {
        let place = self.place_of(at);
        // What was read as a name before is one.
        let name: String = serde_json::from_str(&self.text[at..end]).unwrap_or_default();
        let step = Step::field(&name);
        let whole = self.open.last_mut().map_or(WHOLE, |open| {
            open.inside = Inside::Value;
            open.part
        });
        match self.places.add(whole, step.clone(), place) {
            Some(part) => Ok((part, Some(step))),
            None => {
                let steps = self.open.iter().filter_map(|open| open.step.as_ref());
                Err(twice(steps, &name, place))
            }
        }
    }

    /// What begins here, if it is an element of an array, is given a part when nothing of it was seen.
    fn element(&mut self, at: usize) -> Option<(usize, Option<Step>)> {
        let open = self.open.last()?;
        let Inside::Element(index) = open.inside else {
            return None;
        };
        let (whole, place) = (open.part, self.place_of(at));
        let part = self.places.add(whole, Step::Element(index), place)?;
        Some((part, Some(Step::Element(index))))
    }

    /// Counts on from what was counted last.
    fn place_of(&mut self, at: usize) -> Place {
        for byte in &self.text.as_bytes()[self.counted..at] {
            match byte {
                b'\n' => {
                    self.place.line += 1;
                    self.place.column = 1;
                }
                // The rest of a letter of several bytes.
                0x80..=0xbf => {}
                _ => self.place.column += 1,
            }
        }
        self.counted = at;
        self.place
    }
}
