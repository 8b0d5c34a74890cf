//! What happens to the screen, and what it asks for.

use protocol::api::{ActorView, AgentStats, MemberView};
use ratatui::layout::Rect;

use super::pick::Step;
use crate::cli::tree::{Key, News};

/// Something that happened.
#[derive(Debug)]
pub(super) enum Event {
    Press(Press),
    Size(Rect),
    /// Of the tree.
    News(News),
    /// The cluster's nodes, or why they are not known.
    Nodes(Result<Vec<MemberView>, String>),
    /// What agents took so far; who may not know, or is not told in time, is told nothing.
    Spent(AgentStats),
    /// Some time went by.
    Tick,
    /// An actor that was asked for, or why there is no answer.
    Actor(Key, Result<Box<ActorView>, String>),
}

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Press {
    Step(Step),
    Left,
    Right,
    Enter,
    Escape,
    Tab,
    BackTab,
    Erase,
    Interrupt,
    Char(char),
}

/// What is to be done beside drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Leave,
    /// Ask for all there is to know of this actor.
    Look(Key),
}
