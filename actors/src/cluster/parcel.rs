//! What is larger than one message, in pieces: cut, kept until it is whole, and put together.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use protocol::{id::NodeId, time::Timestamp};
use runtime::cluster::MAX_PAYLOAD;

/// Bytes of a piece; the rest of a message is for its head and for the envelope.
pub const PIECE: usize = MAX_PAYLOAD - 1024;
/// Bytes of what is on its way from and to all other nodes that a node keeps.
const KEPT: usize = 256 * 1024 * 1024;
/// The same, from and to one of them.
const KEPT_FOR_ONE: usize = 64 * 1024 * 1024;
/// How long an unfinished parcel is kept.
const PATIENCE: Duration = Duration::from_secs(30);

const WHOLE: u8 = 0;
const PART: u8 = 1;
const NEXT: u8 = 2;
const KEPT_PART: u8 = 3;
const GONE: u8 = 4;

/// How much there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one request or answer may have.
    pub largest: usize,
    /// Bytes that are kept of one other node.
    pub peer: usize,
    /// Bytes that are kept of all.
    pub all: usize,
}

impl Limits {
    /// For use cases, whose answers may be long lists.
    pub const CALLS: Self = Self {
        largest: KEPT_FOR_ONE,
        peer: KEPT_FOR_ONE,
        all: KEPT,
    };
    /// For agents and attempts: what is larger is to be a file.
    pub const WORK: Self = Self {
        largest: 16 * 1024 * 1024,
        peer: KEPT_FOR_ONE,
        all: KEPT,
    };
}

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

/// What fits into one message, as it travels: itself, unless it could be taken for a frame.
#[must_use]
pub fn plain(payload: Vec<u8>) -> Vec<u8> {
    match payload.first() {
        Some(first) if *first <= GONE => Frame::Whole(&payload).encode(),
        Some(_) | None => payload,
    }
}

/// How many pieces something has.
#[must_use]
pub fn pieces(whole: &[u8]) -> u32 {
    u32::try_from(whole.len().div_ceil(PIECE)).unwrap_or(u32::MAX)
}

/// What is on its way from and to other nodes, in pieces.
#[derive(Debug)]
pub struct Parcels {
    limits: Limits,
    next: u64,
    /// Bytes that are kept, in all and of each node.
    kept: usize,
    by_peer: HashMap<NodeId, usize>,
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
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            next: 0,
            kept: 0,
            by_peer: HashMap::new(),
            arriving: HashMap::new(),
            leaving: HashMap::new(),
        }
    }

    /// Bytes that one of them may have.
    #[must_use]
    pub const fn largest(&self) -> usize {
        self.limits.largest
    }

    /// Bytes that are kept now.
    #[must_use]
    pub const fn kept(&self) -> usize {
        self.kept
    }

    /// A number for a parcel that leaves this node.
    pub const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn fits(&self, peer: NodeId, size: usize) -> bool {
        let kept = self.by_peer.get(&peer).copied().unwrap_or_default();
        kept + size <= self.limits.peer && self.kept + size <= self.limits.all
    }

    fn add(&mut self, peer: NodeId, size: usize) {
        self.kept += size;
        *self.by_peer.entry(peer).or_default() += size;
    }

    fn subtract(&mut self, peer: NodeId, size: usize) {
        self.kept -= size;
        if let Entry::Occupied(mut kept) = self.by_peer.entry(peer) {
            *kept.get_mut() -= size;
            if *kept.get() == 0 {
                kept.remove();
            }
        }
    }

    /// Takes in a piece from another node. The last but one may come twice.
    pub fn arrived(
        &mut self,
        from: (NodeId, u64),
        (index, of): (u32, u32),
        bytes: &[u8],
        now: Timestamp,
    ) -> Arrived {
        self.forget(now);
        let (peer, _) = from;
        let mut parcel = match self.arriving.remove(&from) {
            Some(parcel) if index > 0 && index + 1 == parcel.next => {
                self.arriving.insert(from, parcel);
                return Arrived::Kept;
            }
            Some(parcel) => {
                self.subtract(peer, parcel.bytes.len());
                parcel
            }
            None => Parcel::new(now),
        };
        if index == 0 {
            parcel = Parcel::new(now);
        }
        let size = parcel.bytes.len() + bytes.len();
        if index != parcel.next || size > self.limits.largest || !self.fits(peer, size) {
            return Arrived::Gone;
        }
        parcel.bytes.extend_from_slice(bytes);
        parcel.next += 1;
        parcel.touched = now;
        self.add(peer, size);
        if parcel.next >= of {
            return Arrived::Whole(parcel.bytes);
        }
        self.arriving.insert(from, parcel);
        Arrived::Kept
    }

    /// Something whole that arrived is no longer in memory.
    pub fn handled(&mut self, from: NodeId, size: usize) {
        self.subtract(from, size);
    }

    /// Keeps an answer that another node fetches in pieces, and gives its first one.
    /// None when it is too large, or too much is kept already.
    pub fn leave(&mut self, to: NodeId, whole: Vec<u8>, now: Timestamp) -> Option<Vec<u8>> {
        self.forget(now);
        if whole.len() > self.limits.largest || !self.fits(to, whole.len()) {
            return None;
        }
        let number = self.number();
        let first = Frame::part(number, &whole, 0)?.encode();
        self.add(to, whole.len());
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
        let size = parcel.bytes.len();
        if index.saturating_add(1) >= pieces(&parcel.bytes) {
            self.leaving.remove(&(by, number));
            self.subtract(by, size);
        }
        part
    }

    /// Drops what nobody came for.
    fn forget(&mut self, now: Timestamp) {
        let mut dropped = Vec::new();
        for parcels in [&mut self.arriving, &mut self.leaving] {
            parcels.retain(|(peer, _), parcel| {
                let stays = now.since(parcel.touched) <= PATIENCE;
                if !stays {
                    dropped.push((*peer, parcel.bytes.len()));
                }
                stays
            });
        }
        for (peer, size) in dropped {
            self.subtract(peer, size);
        }
    }
}

impl Parcel {
    const fn new(now: Timestamp) -> Self {
        Self {
            bytes: Vec::new(),
            next: 0,
            touched: now,
        }
    }
}

#[cfg(test)]
mod tests;
