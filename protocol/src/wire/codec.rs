//! The bytes of envelopes and signals: bincode's, and named nowhere else.
//!
//! `Layout`, `Words` and `Sign` are the contract: a variant keeps its place, its fields keep their
//! order, and what is new comes last, with a new [`WIRE_VERSION`](super::WIRE_VERSION). Everything is
//! borrowed from the frame: foreign bytes cannot make us allocate.

use bincode::{
    BorrowDecode, Decode, Encode,
    config::{Configuration, Limit, LittleEndian, Varint},
    enc::write::Writer,
    error::{DecodeError, EncodeError},
};
use uuid::Uuid;

use super::{
    Complaint, Envelope, Lane, MAX_FRAME, MAX_PAYLOAD, Service, Signal, Trace, frame::BadFrame,
};
use crate::id::NodeId;

const CONFIG: Configuration<LittleEndian, Varint, Limit<MAX_FRAME>> =
    bincode::config::standard().with_limit::<MAX_FRAME>();

/// Bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a frame is malformed: {0}")]
pub struct Malformed(String);

impl From<DecodeError> for Malformed {
    fn from(error: DecodeError) -> Self {
        Self(format!("{error:?}"))
    }
}

#[derive(Encode, BorrowDecode)]
enum Layout<'a> {
    Request(u64, u16, u32, Option<Traced>, &'a [u8]),
    Reply(u64, &'a [u8]),
    Fault(u64, Words<'a>),
    Tell(u16, Option<Traced>, &'a [u8]),
    Cancel(u64),
}

#[derive(Encode, BorrowDecode)]
enum Words<'a> {
    Unreachable([u8; 16]),
    Lost([u8; 16]),
    Deadline([u8; 16]),
    Overloaded([u8; 16]),
    TooLarge(u64, u64),
    NoService([u8; 16]),
    Refused(&'a str),
}

#[derive(Encode, Decode)]
enum Sign {
    Heartbeat(u64),
    Echo(u64),
    Done(u16, u64),
}

#[derive(Encode, Decode)]
struct Traced([u8; 16], [u8; 8], u8);

/// What can be read out of a frame.
pub trait Borrowed<'a>: Sized {
    /// Reads one, and gives what follows it.
    ///
    /// # Errors
    ///
    /// When the bytes are malformed.
    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed>;

    /// Checks its size.
    ///
    /// # Errors
    ///
    /// When it is larger than it may be.
    fn fits(&self) -> Result<(), BadFrame>;
}

impl<'a> Borrowed<'a> for Envelope<'a> {
    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (layout, used) = bincode::borrow_decode_from_slice::<Layout<'a>, _>(bytes, CONFIG)?;
        Ok((layout.into(), rest(bytes, used)?))
    }

    fn fits(&self) -> Result<(), BadFrame> {
        match self {
            Self::Request { payload, .. }
            | Self::Reply { payload, .. }
            | Self::Tell { payload, .. }
                if payload.len() > MAX_PAYLOAD =>
            {
                Err(BadFrame::PayloadTooLarge(payload.len()))
            }
            Self::Request { .. }
            | Self::Reply { .. }
            | Self::Fault { .. }
            | Self::Tell { .. }
            | Self::Cancel { .. } => Ok(()),
        }
    }
}

impl<'a> Borrowed<'a> for Signal {
    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (sign, used) = bincode::decode_from_slice::<Sign, _>(bytes, CONFIG)?;
        let signal = match sign {
            Sign::Heartbeat(sent_us) => Self::Heartbeat { sent_us },
            Sign::Echo(sent_us) => Self::Echo { sent_us },
            Sign::Done(lane, number) => Self::Done {
                lane: Lane(lane),
                number,
            },
        };
        Ok((signal, rest(bytes, used)?))
    }

    fn fits(&self) -> Result<(), BadFrame> {
        Ok(())
    }
}

/// Reads whose window a frame counts against, and its number.
pub(super) fn head(bytes: &[u8]) -> Result<((Lane, u64), &[u8]), Malformed> {
    let ((lane, number), used) = bincode::decode_from_slice::<(u16, u64), _>(bytes, CONFIG)?;
    Ok(((Lane(lane), number), rest(bytes, used)?))
}

fn rest(bytes: &[u8], used: usize) -> Result<&[u8], Malformed> {
    bytes
        .get(used..)
        .filter(|_| used > 0)
        .ok_or_else(|| Malformed("nothing was read".to_owned()))
}

pub(super) fn write_head(lane: Lane, number: u64, bytes: &mut Vec<u8>) {
    write((lane.0, number), bytes);
}

pub(super) fn write_envelope(envelope: &Envelope<'_>, bytes: &mut Vec<u8>) {
    write(Layout::from(*envelope), bytes);
}

pub(super) fn write_signal(signal: &Signal, bytes: &mut Vec<u8>) {
    let sign = match *signal {
        Signal::Heartbeat { sent_us } => Sign::Heartbeat(sent_us),
        Signal::Echo { sent_us } => Sign::Echo(sent_us),
        Signal::Done { lane, number } => Sign::Done(lane.0, number),
    };
    write(sign, bytes);
}

fn write(value: impl Encode, bytes: &mut Vec<u8>) {
    let written = bincode::encode_into_writer(value, Growing(bytes), CONFIG);
    debug_assert!(written.is_ok(), "a vector takes all that is written");
}

struct Growing<'a>(&'a mut Vec<u8>);

impl Writer for Growing<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl<'a> From<Envelope<'a>> for Layout<'a> {
    #[inline]
    fn from(envelope: Envelope<'a>) -> Self {
        match envelope {
            Envelope::Request {
                id,
                service,
                left_ms,
                trace,
                payload,
            } => Self::Request(id, service.0, left_ms, trace.map(Traced::from), payload),
            Envelope::Reply { id, payload } => Self::Reply(id, payload),
            Envelope::Fault { id, why } => Self::Fault(id, why.into()),
            Envelope::Tell {
                service,
                trace,
                payload,
            } => Self::Tell(service.0, trace.map(Traced::from), payload),
            Envelope::Cancel { id } => Self::Cancel(id),
        }
    }
}

impl<'a> From<Layout<'a>> for Envelope<'a> {
    #[inline]
    fn from(layout: Layout<'a>) -> Self {
        match layout {
            Layout::Request(id, service, left_ms, trace, payload) => Self::Request {
                id,
                service: Service(service),
                left_ms,
                trace: trace.map(Trace::from),
                payload,
            },
            Layout::Reply(id, payload) => Self::Reply { id, payload },
            Layout::Fault(id, why) => Self::Fault {
                id,
                why: why.into(),
            },
            Layout::Tell(service, trace, payload) => Self::Tell {
                service: Service(service),
                trace: trace.map(Trace::from),
                payload,
            },
            Layout::Cancel(id) => Self::Cancel { id },
        }
    }
}

impl From<Trace> for Traced {
    fn from(trace: Trace) -> Self {
        Self(trace.trace, trace.span, trace.flags)
    }
}

impl From<Traced> for Trace {
    fn from(Traced(trace, span, flags): Traced) -> Self {
        Self { trace, span, flags }
    }
}

impl<'a> From<Complaint<'a>> for Words<'a> {
    fn from(why: Complaint<'a>) -> Self {
        match why {
            Complaint::Unreachable(node) => Self::Unreachable(bare(node)),
            Complaint::Lost(node) => Self::Lost(bare(node)),
            Complaint::Deadline(node) => Self::Deadline(bare(node)),
            Complaint::Overloaded(node) => Self::Overloaded(bare(node)),
            Complaint::TooLarge { size, limit } => Self::TooLarge(size, limit),
            Complaint::NoService(node) => Self::NoService(bare(node)),
            Complaint::Refused(words) => Self::Refused(words),
        }
    }
}

impl<'a> From<Words<'a>> for Complaint<'a> {
    fn from(words: Words<'a>) -> Self {
        match words {
            Words::Unreachable(node) => Self::Unreachable(named(node)),
            Words::Lost(node) => Self::Lost(named(node)),
            Words::Deadline(node) => Self::Deadline(named(node)),
            Words::Overloaded(node) => Self::Overloaded(named(node)),
            Words::TooLarge(size, limit) => Self::TooLarge { size, limit },
            Words::NoService(node) => Self::NoService(named(node)),
            Words::Refused(words) => Self::Refused(words),
        }
    }
}

const fn bare(node: NodeId) -> [u8; 16] {
    node.uuid().into_bytes()
}

const fn named(bytes: [u8; 16]) -> NodeId {
    NodeId::from_uuid(Uuid::from_bytes(bytes))
}
