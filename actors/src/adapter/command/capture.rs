//! Reads what a program says, keeps so much, and lets the rest go by.

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::sync::CancellationToken;

/// How much of the end is kept beside the beginning.
const TAIL: usize = 4 * 1024;

/// What a program said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// The beginning.
    pub head: Vec<u8>,
    /// The end; holds some of the beginning when there is little.
    pub tail: Vec<u8>,
    /// All that it said, in bytes.
    pub total: u64,
}

impl Captured {
    /// Whether something is missing from `head`.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        u64::try_from(self.head.len()).is_ok_and(|kept| kept < self.total)
    }

    /// The last lines, for a message.
    #[must_use]
    pub fn last_lines(&self) -> String {
        const LINES: usize = 5;
        const LENGTH: usize = 1000;
        let text = String::from_utf8_lossy(&self.tail);
        let lines: Vec<&str> = text.trim().lines().collect();
        let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
        let cut = last.len().saturating_sub(LENGTH);
        last[last.ceil_char_boundary(cut)..].to_owned()
    }

    fn push(&mut self, bytes: &[u8], limit: usize) {
        self.total += u64::try_from(bytes.len()).unwrap_or(0);
        let room = limit.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail.extend_from_slice(bytes);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
    }
}

/// Reads until the last writer is gone, or `enough`. Goes on reading beyond `limit`, so that no
/// program waits for us.
pub(super) async fn capture(
    mut source: impl AsyncRead + Unpin,
    limit: u64,
    enough: CancellationToken,
) -> Captured {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut captured = Captured::default();
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let read = enough.run_until_cancelled(source.read(&mut buffer));
        match read.await {
            Some(Ok(length)) if length > 0 => captured.push(&buffer[..length], limit),
            Some(Ok(_) | Err(_)) | None => return captured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_is_cut_but_its_end_is_known() {
        let text: String = (0..100_000).map(|line| format!("line {line}\n")).collect();
        let captured = capture(text.as_bytes(), 1000, CancellationToken::new()).await;
        assert_eq!(captured.head, &text.as_bytes()[..1000]);
        assert_eq!(captured.total, u64::try_from(text.len()).unwrap());
        assert!(captured.is_cut());
        assert!(captured.last_lines().starts_with("line 99995\n"));
        assert!(captured.last_lines().ends_with("line 99999"));
    }

    #[test]
    fn last_lines_are_short_even_when_a_line_is_long_or_not_text() {
        let mut captured = Captured::default();
        captured.push("é".repeat(5000).as_bytes(), 10);
        captured.push(&[0xff, 0xfe], 10);
        assert!(captured.last_lines().len() <= 1000);
        assert_eq!(captured.head.len(), 10);
    }
}
