//! `troupe top`: the living tree on a terminal.
//!
//! - `state`: what is shown, and what each key and each message from the cluster makes of it; with
//!   `lines`, `pick` and `reading`. Pure.
//! - `draw` and `lists`: the state on a screen, which `panes` divides. Pure.
//! - `terminal`: the door to the terminal; `feed`: what the cluster tells.

use super::{
    exit::{Exit, Outcome},
    output::Output,
    start::Signals,
    tree::probe,
};
use crate::client::Client;

mod draw;
mod event;
mod feed;
mod lines;
mod lists;
mod panes;
mod pick;
mod reading;
mod state;
mod terminal;
#[cfg(test)]
mod tests;

use draw::Paint;
use event::{Event, Wish};
use feed::Feed;
use state::Top;
use terminal::Screen;
pub(super) use terminal::terminal_size;

/// Shows the cluster until the operator leaves.
pub(super) async fn run(client: &Client, output: &Output) -> Outcome {
    let mut signals = Signals::listen()?;
    let paint = match output.is_coloured() {
        true => Paint::Colours,
        false => Paint::Plain,
    };
    terminal::check()?;
    // What is refused is better told on a terminal as it was.
    probe(client, None).await?;
    let mut screen = Screen::open(paint)?;
    let mut feed = Feed::of(client.clone());
    let mut top = Top::default();
    let mut event = Event::Size(screen.size()?);
    loop {
        match top.on(event) {
            Some(Wish::Leave) => return Ok(Exit::Ok),
            Some(Wish::Look(key)) => feed.look(key),
            None => {}
        }
        // All that is there is one picture.
        event = match feed.ready() {
            Some(event) => event,
            None => {
                screen.draw(&top)?;
                tokio::select! {
                    event = screen.next() => event?,
                    event = feed.next() => event,
                    () = signals.next() => return Ok(Exit::Interrupted),
                }
            }
        };
    }
}
