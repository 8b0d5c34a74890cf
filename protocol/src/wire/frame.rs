//! [`Frame`]: what a link carries at once, read from foreign bytes without copying.

use std::marker::PhantomData;

use super::{
    Envelope, Hello, Lane, MAX_FRAME, MAX_PAYLOAD, Signal, Unreadable,
    codec::{self, Borrowed, Malformed},
};

/// The first byte of each frame.
const HELLO: u8 = 0;
const BULK: u8 = 1;
const SIGNALS: u8 = 2;

/// A frame as it came in.
#[derive(Debug, Clone)]
pub enum Frame<'a> {
    /// The first one.
    Hello(Hello),
    /// Envelopes of one lane.
    Bulk {
        /// Whose window they count against.
        lane: Lane,
        /// Grows within the lane: one that does not is a copy, or came too late.
        number: u64,
        /// What it holds.
        envelopes: Items<'a, Envelope<'a>>,
    },
    /// What never waits.
    Signals(Items<'a, Signal>),
}

/// Why a frame cannot be read. Nothing of it may be acted on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// It has no bytes.
    #[error("a frame is empty")]
    Empty,
    /// It is of a kind that this build does not know.
    #[error("a frame is of the unknown kind {0}")]
    Unknown(u8),
    /// It has more bytes than [`MAX_FRAME`].
    #[error("a frame of {0} bytes is larger than {MAX_FRAME}")]
    TooLarge(usize),
    /// A payload has more bytes than [`MAX_PAYLOAD`].
    #[error("a message of {0} bytes is larger than {MAX_PAYLOAD}")]
    PayloadTooLarge(usize),
    /// Its hello is none.
    #[error(transparent)]
    Hello(#[from] Unreadable),
    /// Its bytes are not what they should be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl<'a> Frame<'a> {
    /// Reads the head of a frame.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn read(bytes: &'a [u8]) -> Result<Self, BadFrame> {
        if bytes.len() > MAX_FRAME {
            return Err(BadFrame::TooLarge(bytes.len()));
        }
        let (kind, rest) = bytes.split_first().ok_or(BadFrame::Empty)?;
        match *kind {
            HELLO => Ok(Self::Hello(Hello::read(rest)?)),
            BULK => {
                let ((lane, number), rest) = codec::head(rest)?;
                Ok(Self::Bulk {
                    lane,
                    number,
                    envelopes: Items::new(rest),
                })
            }
            SIGNALS => Ok(Self::Signals(Items::new(rest))),
            unknown => Err(BadFrame::Unknown(unknown)),
        }
    }
}

/// What a frame holds, one after another, until its end or the first fault.
#[derive(Debug, Clone)]
pub struct Items<'a, T> {
    rest: &'a [u8],
    of: PhantomData<T>,
}

impl<'a, T> Items<'a, T> {
    const fn new(rest: &'a [u8]) -> Self {
        Self {
            rest,
            of: PhantomData,
        }
    }
}

impl<'a, T: Borrowed<'a>> Iterator for Items<'a, T> {
    type Item = Result<T, BadFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match T::read(self.rest) {
            Ok((item, rest)) => {
                self.rest = rest;
                Some(item.fits().map(|()| item))
            }
            Err(malformed) => {
                self.rest = &[];
                Some(Err(malformed.into()))
            }
        }
    }
}

/// Writes a hello.
#[must_use]
pub fn hello(hello: &Hello) -> Vec<u8> {
    let mut frame = vec![HELLO];
    hello.write(&mut frame);
    frame
}

/// Writes signals.
#[must_use]
pub fn signals(signals: &[Signal]) -> Vec<u8> {
    let mut frame = vec![SIGNALS];
    for signal in signals {
        codec::write_signal(signal, &mut frame);
    }
    frame
}

/// A frame of envelopes in the making.
#[derive(Debug)]
pub struct Bulk {
    bytes: Vec<u8>,
    envelopes: usize,
}

impl Bulk {
    /// An empty one, with room for `capacity` bytes.
    #[must_use]
    pub fn new(lane: Lane, number: u64, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity.min(MAX_FRAME));
        bytes.push(BULK);
        codec::write_head(lane, number, &mut bytes);
        Self {
            bytes,
            envelopes: 0,
        }
    }

    /// Adds an envelope; it must have been seen to fit.
    pub fn push(&mut self, envelope: &Envelope<'_>) {
        debug_assert!(
            self.bytes.len() + envelope.weight() <= MAX_FRAME,
            "sizes are checked where a message is handed over"
        );
        codec::write_envelope(envelope, &mut self.bytes);
        self.envelopes += 1;
    }

    /// How many it holds.
    #[must_use]
    pub const fn envelopes(&self) -> usize {
        self.envelopes
    }

    /// Its bytes so far.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Ready to be sent.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
