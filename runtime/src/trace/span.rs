//! What is known of one piece of work when it is over.

use std::borrow::Cow;

use protocol::{id::NodeId, time::Timestamp, wire::Trace};

/// One piece of work of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// On which start of a node it was done.
    pub node: NodeId,
    /// Its own place in its trace.
    pub at: Trace,
    /// What caused it, if that is known.
    pub parent: Option<[u8; 8]>,
    /// Where that was.
    pub origin: Origin,
    /// Such as `execute_tool clerk`; few different ones.
    pub name: Cow<'static, str>,
    /// Which side of a call it is.
    pub kind: Kind,
    /// When it began.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
    /// What it was about.
    pub attributes: Vec<(&'static str, Value)>,
    /// What happened meanwhile.
    pub notes: Vec<Note>,
    /// Other work that it goes back to.
    pub links: Vec<Link>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// Where the cause of a span was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// In the same process.
    #[default]
    Here,
    /// In another one.
    Elsewhere,
}

/// Which side of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work of the node's own.
    Internal,
    /// It answers somebody.
    Server,
    /// It asks somebody.
    Client,
}

/// What an attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Words.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

/// Something that happened at one moment of a span.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// What.
    pub name: &'static str,
    /// When.
    pub at: Timestamp,
    /// About what.
    pub attributes: Vec<(&'static str, Value)>,
}

/// Other work that a span goes back to.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Its place.
    pub to: Trace,
    /// Why it is named.
    pub attributes: Vec<(&'static str, Value)>,
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}
