//! What is larger than one message, in pieces: cut, kept until it is whole, and put together.

use std::{collections::HashMap, time::Duration};

use protocol::{id::NodeId, time::Timestamp};
use runtime::cluster::MAX_PAYLOAD;

/// Bytes of a piece; the rest of a message is for its head and for the envelope.
pub const PIECE: usize = MAX_PAYLOAD - 1024;
/// Bytes that one request or answer may have.
pub const LARGEST: usize = 64 * 1024 * 1024;
/// Bytes of unfinished parcels that a node keeps.
const KEPT: usize = 256 * 1024 * 1024;
/// How long an unfinished parcel is kept.
const PATIENCE: Duration = Duration::from_secs(30);

const WHOLE: u8 = 0;
const PART: u8 = 1;
const NEXT: u8 = 2;
const KEPT_PART: u8 = 3;
const GONE: u8 = 4;

/// One message of a request or of its answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// A piece of it.
    Part {
        /// Tells the parcels of one node apart.
        parcel: u64,
        /// Which piece; the first is 0.
        index: u32,
        /// How many there are.
        of: u32,
        /// The piece.
        bytes: &'a [u8],
    },
    /// Asks for a piece of an answer.
    Next {
        /// Of which parcel.
        parcel: u64,
        /// Which piece.
        index: u32,
    },
    /// The piece arrived; more are to come.
    Kept,
    /// The parcel is not here any more.
    Gone,
}

impl<'a> Frame<'a> {
    /// As sent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Whole(bytes) => [&[WHOLE], *bytes].concat(),
            Self::Part {
                parcel,
                index,
                of,
                bytes,
            } => {
                let (parcel, index, of) =
                    (parcel.to_be_bytes(), index.to_be_bytes(), of.to_be_bytes());
                [&[PART], &parcel[..], &index, &of, bytes].concat()
            }
            Self::Next { parcel, index } => {
                [&[NEXT], &parcel.to_be_bytes()[..], &index.to_be_bytes()].concat()
            }
            Self::Kept => vec![KEPT_PART],
            Self::Gone => vec![GONE],
        }
    }

    /// As received; nothing when it is none of ours.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            WHOLE => Some(Self::Whole(rest)),
            PART => {
                let (parcel, rest) = rest.split_first_chunk()?;
                let (index, rest) = rest.split_first_chunk()?;
                let (of, bytes) = rest.split_first_chunk()?;
                Some(Self::Part {
                    parcel: u64::from_be_bytes(*parcel),
                    index: u32::from_be_bytes(*index),
                    of: u32::from_be_bytes(*of),
                    bytes,
                })
            }
            NEXT => {
                let (parcel, rest) = rest.split_first_chunk()?;
                let index = rest.try_into().ok()?;
                Some(Self::Next {
                    parcel: u64::from_be_bytes(*parcel),
                    index: u32::from_be_bytes(index),
                })
            }
            KEPT_PART => Some(Self::Kept),
            GONE => Some(Self::Gone),
            _ => None,
        }
    }

    /// One piece of a whole.
    #[must_use]
    pub fn part(parcel: u64, whole: &'a [u8], index: u32) -> Option<Self> {
        let bytes = whole.chunks(PIECE).nth(usize::try_from(index).ok()?)?;
        Some(Self::Part {
            parcel,
            index,
            of: pieces(whole),
            bytes,
        })
    }
}

/// How many pieces something has.
#[must_use]
pub fn pieces(whole: &[u8]) -> u32 {
    u32::try_from(whole.len().div_ceil(PIECE)).unwrap_or(u32::MAX)
}

/// What is on its way from and to other nodes, in pieces.
#[derive(Debug, Default)]
pub struct Parcels {
    next: u64,
    kept: usize,
    /// Requests whose pieces arrive, and answers whose pieces are fetched.
    arriving: HashMap<(NodeId, u64), Parcel>,
    leaving: HashMap<(NodeId, u64), Parcel>,
}

#[derive(Debug)]
struct Parcel {
    bytes: Vec<u8>,
    /// Which piece must come next.
    next: u32,
    touched: Timestamp,
}

/// What became of a piece that arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived {
    /// It was the last one.
    Whole(Vec<u8>),
    /// More must come.
    Kept,
    /// It follows on nothing that is here.
    Gone,
}

impl Parcels {
    /// A number for a parcel that leaves this node.
    pub const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Takes in a piece from another node.
    pub fn arrived(
        &mut self,
        from: (NodeId, u64),
        (index, of): (u32, u32),
        bytes: &[u8],
        now: Timestamp,
    ) -> Arrived {
        self.forget(now);
        let mut parcel = match (index, self.arriving.remove(&from)) {
            (0, before) => {
                self.kept -= before.map_or(0, |parcel| parcel.bytes.len());
                Parcel {
                    bytes: Vec::new(),
                    next: 0,
                    touched: now,
                }
            }
            (_, Some(parcel)) => parcel,
            (_, None) => return Arrived::Gone,
        };
        self.kept -= parcel.bytes.len();
        let size = parcel.bytes.len() + bytes.len();
        if index != parcel.next || size > LARGEST || self.kept + size > KEPT {
            return Arrived::Gone;
        }
        parcel.bytes.extend_from_slice(bytes);
        parcel.next += 1;
        parcel.touched = now;
        if parcel.next >= of {
            return Arrived::Whole(parcel.bytes);
        }
        self.kept += size;
        self.arriving.insert(from, parcel);
        Arrived::Kept
    }

    /// Keeps an answer that another node fetches in pieces, and gives its first one.
    /// None when it is too large, or too much is kept already.
    pub fn leave(&mut self, to: NodeId, whole: Vec<u8>, now: Timestamp) -> Option<Vec<u8>> {
        self.forget(now);
        if whole.len() > LARGEST || self.kept + whole.len() > KEPT {
            return None;
        }
        let number = self.number();
        let first = Frame::part(number, &whole, 0)?.encode();
        self.kept += whole.len();
        let parcel = Parcel {
            bytes: whole,
            next: 1,
            touched: now,
        };
        self.leaving.insert((to, number), parcel);
        Some(first)
    }

    /// A piece of an answer; the last one ends it.
    pub fn fetched(&mut self, by: NodeId, number: u64, index: u32, now: Timestamp) -> Vec<u8> {
        self.forget(now);
        let Some(parcel) = self.leaving.get_mut(&(by, number)) else {
            return Frame::Gone.encode();
        };
        parcel.touched = now;
        let part = Frame::part(number, &parcel.bytes, index).unwrap_or(Frame::Gone);
        let part = part.encode();
        if index.saturating_add(1) >= pieces(&parcel.bytes) {
            self.kept -= parcel.bytes.len();
            self.leaving.remove(&(by, number));
        }
        part
    }

    /// Drops what nobody came for.
    fn forget(&mut self, now: Timestamp) {
        let mut dropped = 0;
        for parcels in [&mut self.arriving, &mut self.leaving] {
            parcels.retain(|_, parcel| {
                let stays = now.since(parcel.touched) <= PATIENCE;
                dropped += if stays { 0 } else { parcel.bytes.len() };
                stays
            });
        }
        self.kept -= dropped;
    }
}

#[cfg(test)]
mod tests;
