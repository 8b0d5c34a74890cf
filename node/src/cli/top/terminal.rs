//! The one door to the terminal: opens it, reads its keys, and gives it back as it was.

use std::io::{self, IsTerminal};

use crossterm::event::{Event as Raw, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt;
use ratatui::{DefaultTerminal, layout::Rect};

use super::{
    draw::{Paint, draw},
    event::{Event, Press},
    pick::Step,
    state::Top,
};
use crate::cli::exit::{Exit, Failure};

/// The terminal as long as it is ours; dropped, it is given back, and a panic gives it back before it
/// is printed.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    keys: EventStream,
    paint: Paint,
}

/// How many columns and lines standard output shows, if it is a terminal.
pub(in crate::cli) fn terminal_size() -> Option<(usize, usize)> {
    let is_terminal = io::stdout().is_terminal();
    let (columns, lines) = crossterm::terminal::size().ok().filter(|_| is_terminal)?;
    Some((usize::from(columns), usize::from(lines)))
}

/// Refuses to go on without a terminal.
pub(super) fn check() -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage, "`troupe top` needs a terminal").help(
            "run it in one, over ssh with `ssh -t`; without one, `troupe tree --watch` prints what changes",
        ));
    }
    Ok(())
}

impl Screen {
    pub(super) fn open(paint: Paint) -> Result<Self, Failure> {
        let terminal = ratatui::try_init().map_err(|error| failed(&error))?;
        Ok(Self {
            terminal,
            keys: EventStream::new(),
            paint,
        })
    }

    pub(super) fn size(&self) -> Result<Rect, Failure> {
        let size = self.terminal.size().map_err(|error| failed(&error))?;
        Ok(Rect::from(((0, 0).into(), size)))
    }

    pub(super) fn draw(&mut self, top: &Top) -> Result<(), Failure> {
        let paint = self.paint;
        let drawn = self.terminal.draw(|frame| draw(frame, top, paint));
        drawn.map(drop).map_err(|error| failed(&error))
    }

    /// The next key, or the screen's new size.
    pub(super) async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            let raw = match self.keys.next().await {
                Some(raw) => raw.map_err(|error| failed(&error))?,
                None => return Ok(Event::Press(Press::Interrupt)),
            };
            match raw {
                Raw::Resize(width, height) => {
                    return Ok(Event::Size(Rect::new(0, 0, width, height)));
                }
                Raw::Key(key) => {
                    if let Some(press) = press(key) {
                        return Ok(Event::Press(press));
                    }
                }
                Raw::FocusGained | Raw::FocusLost | Raw::Mouse(_) | Raw::Paste(_) => {}
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A panic has given it back already, and stands on the screen. A terminal that is gone needs
        // nothing.
        if !std::thread::panicking() {
            // Some that were resized meanwhile would show parts of the picture afterwards.
            let _ = self.terminal.clear();
            let _ = ratatui::try_restore();
        }
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, "the terminal cannot be used").because(error)
}

/// What a key means; nothing, for one that means nothing here.
fn press(key: KeyEvent) -> Option<Press> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Press::Interrupt);
    }
    Some(match key.code {
        KeyCode::Up => Press::Step(Step::Up),
        KeyCode::Down => Press::Step(Step::Down),
        KeyCode::PageUp => Press::Step(Step::PageUp),
        KeyCode::PageDown => Press::Step(Step::PageDown),
        KeyCode::Home => Press::Step(Step::First),
        KeyCode::End => Press::Step(Step::Last),
        KeyCode::Left => Press::Left,
        KeyCode::Right => Press::Right,
        KeyCode::Enter => Press::Enter,
        KeyCode::Esc => Press::Escape,
        KeyCode::Tab => Press::Tab,
        KeyCode::BackTab => Press::BackTab,
        KeyCode::Backspace => Press::Erase,
        KeyCode::Char(c) => Press::Char(c),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_c_interrupts_and_other_keys_with_control_do_nothing() {
        let key = |code, modifiers| press(KeyEvent::new(code, modifiers));
        let (c, none) = (KeyCode::Char('c'), KeyModifiers::NONE);
        assert_eq!(key(c, KeyModifiers::CONTROL), Some(Press::Interrupt));
        assert_eq!(key(c, none), Some(Press::Char('c')));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::CONTROL), None);
        assert_eq!(key(KeyCode::F(1), none), None);
    }
}
