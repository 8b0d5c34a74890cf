//! What nodes say to each other about files: one piece asked, one piece given.

use std::{io, path::Path};

use protocol::id::NodeId;
use serde::{Deserialize, Serialize};

use crate::adapter::ArtifactId;

/// Bytes of a piece.
pub(crate) const PIECE: usize = 192 * 1024;

const THERE: u8 = b'F';
const ABSENT: u8 = b'A';

/// Asks for a piece of a file that a step left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) artifact: ArtifactId,
    /// Where the piece starts.
    pub(crate) offset: u64,
    /// The node that has the file, for whoever has no link to it: who is asked passes it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) beyond: Option<NodeId>,
}

/// A piece, or that there is no such file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    There {
        /// Of the whole file.
        length: u64,
        bytes: Vec<u8>,
    },
    Absent,
}

impl Answer {
    /// Reads the piece below a data directory. Blocks.
    pub(crate) fn to(request: &Request, data_dir: &Path) -> io::Result<Self> {
        let Some(open) = request.artifact.open(data_dir)? else {
            return Ok(Self::Absent);
        };
        Ok(Self::There {
            length: open.length,
            bytes: open.piece(request.offset, PIECE)?,
        })
    }

    /// As sent.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::There { length, bytes } => [&[THERE], &length.to_be_bytes()[..], bytes].concat(),
            Self::Absent => vec![ABSENT],
        }
    }

    /// As received; nothing when it is none of ours.
    pub(crate) fn decode(answer: &[u8]) -> Option<Self> {
        let (kind, rest) = answer.split_first()?;
        match *kind {
            THERE => {
                let (length, bytes) = rest.split_first_chunk()?;
                Some(Self::There {
                    length: u64::from_be_bytes(*length),
                    bytes: bytes.to_vec(),
                })
            }
            ABSENT => Some(Self::Absent),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_reads_back_and_foreign_bytes_are_refused() {
        let there = Answer::There {
            length: 7,
            bytes: b"some".to_vec(),
        };
        for answer in [there, Answer::Absent] {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        for foreign in [&b""[..], b"x", b"F123"] {
            assert_eq!(Answer::decode(foreign), None);
        }
    }
}
