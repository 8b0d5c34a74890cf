//! [`Hello`]: the first frame each way, in a layout that every version reads.

/// Says that this is Troupe's mesh and nothing else.
const MAGIC: &[u8; 6] = b"troupe";

/// What [`Hello::write`] writes; later versions may append.
const LENGTH: usize = MAGIC.len() + 2 + 8 + 4 + 4 + 1;

/// What a node says first on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The version it speaks.
    pub version: u16,
    /// How many links it opened before this one; decides which of two links to the same node stays.
    pub turn: u64,
    /// Envelopes that it takes on each lane before it is done with some.
    pub window: u32,
    /// Their weight in bytes.
    pub window_bytes: u32,
    /// Whether it has heard the other's hello already.
    pub heard: bool,
}

/// Why bytes are no hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Something else talks.
    #[error("this is not Troupe's mesh")]
    Stranger,
    /// It breaks off.
    #[error("a hello breaks off")]
    Short,
}

impl Hello {
    pub(super) fn write(&self, frame: &mut Vec<u8>) {
        frame.reserve(LENGTH);
        frame.extend_from_slice(MAGIC);
        frame.extend_from_slice(&self.version.to_le_bytes());
        frame.extend_from_slice(&self.turn.to_le_bytes());
        frame.extend_from_slice(&self.window.to_le_bytes());
        frame.extend_from_slice(&self.window_bytes.to_le_bytes());
        frame.push(u8::from(self.heard));
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(Unreadable::Stranger)?;
        let (version, rest) = take(rest)?;
        let (turn, rest) = take(rest)?;
        let (window, rest) = take(rest)?;
        let (window_bytes, rest) = take(rest)?;
        let ([heard], _) = take(rest)?;
        Ok(Self {
            version: u16::from_le_bytes(version),
            turn: u64::from_le_bytes(turn),
            window: u32::from_le_bytes(window),
            window_bytes: u32::from_le_bytes(window_bytes),
            heard: heard != 0,
        })
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), Unreadable> {
    bytes
        .split_first_chunk()
        .map(|(taken, rest)| (*taken, rest))
        .ok_or(Unreadable::Short)
}
