//! [`Ledger`]: what a node without a store has taken over and not yet handed back, in a file.
//!
//! One line of JSON for each fact, written and flushed to the disk before anybody relies on it. It is
//! written anew, without what is settled, when the node starts and whenever it has grown.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use protocol::task::{Failure, Outcome, TokenHash};
use serde::{Deserialize, Serialize};

use super::message::Ended;
use crate::{adapter::Call, agent::token_hash};

/// Lines beyond which settled ones are left out.
const GROWN: usize = 4096;

/// The journal of a worker's attempts. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Ledger(Arc<Mutex<Book>>);

#[derive(Debug)]
struct Book {
    path: PathBuf,
    file: File,
    lines: usize,
    open: HashMap<TokenHash, Entry>,
    /// Whether the last line may stand there in part: another behind it could not be read.
    torn: bool,
}

/// What stands in the file of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// It was taken over. The outcome says what became of it should no other line follow.
    Accepted(Ended),
    /// It ended; its owner has not said yet that it is on disk.
    Ended(Ended),
    /// Its owner has.
    Sent(TokenHash),
}

impl Ledger {
    /// Opens the file, and answers what is still to be handed back: results that were not sent, and
    /// attempts that ended with the process that ran them.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub(crate) fn open(data_dir: &Path) -> io::Result<(Self, Vec<Ended>)> {
        std::fs::create_dir_all(data_dir)?;
        let path = data_dir.join("attempts.jsonl");
        let open = match File::open(&path) {
            Ok(file) => settle(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => HashMap::new(),
            Err(error) => return Err(error),
        };
        let unsent = open.values().filter_map(Entry::result).cloned().collect();
        let file = rewrite(&path, &open)?;
        let lines = open.len();
        let book = Book {
            path,
            file,
            lines,
            open,
            torn: false,
        };
        Ok((Self(Arc::new(Mutex::new(book))), unsent))
    }

    /// An attempt was taken over.
    ///
    /// # Errors
    ///
    /// When it is not on disk: it must not run.
    pub(super) async fn accepted(&self, call: &Call, token: &[u8; 16]) -> io::Result<()> {
        let error = Failure::new("node_lost", "the worker that ran it was started anew");
        let ended = Ended {
            task: call.task,
            step: call.step.clone(),
            number: call.attempt,
            token: *token,
            agent: "proxy".to_owned(),
            outcome: Outcome::Lost { error },
            usage: None,
            load: None,
        };
        self.write(Entry::Accepted(ended)).await
    }

    /// Whether attempts can be written down: what is asked before a slot is kept for one. After a write that failed the file is
    /// written anew, so that a disk with room again is found out without an attempt.
    pub(super) async fn is_writable(&self) -> bool {
        let mended = self.on_disk(|book| if book.torn { book.renew() } else { Ok(()) });
        let mended = mended.await;
        if let Err(error) = &mended {
            tracing::warn!(%error, "the attempts' journal cannot be written, so none is taken over");
        }
        mended.is_ok()
    }

    /// An attempt ended. A result that cannot be written is sent all the same, while the node lives.
    pub(super) async fn ended(&self, ended: &Ended) {
        let ended = Ended {
            load: None,
            ..ended.clone()
        };
        if let Err(error) = self.write(Entry::Ended(ended)).await {
            tracing::error!(%error, "a result could not be written down");
        }
    }

    /// Its owner has the result.
    pub(super) async fn sent(&self, token: &TokenHash) {
        if let Err(error) = self.write(Entry::Sent(token.clone())).await {
            tracing::warn!(%error, "a result that was sent is sent again after a restart");
        }
    }

    /// Writes a line and flushes it to the disk, where no handler waits for it.
    async fn write(&self, entry: Entry) -> io::Result<()> {
        self.on_disk(move |book| book.write(entry)).await
    }

    async fn on_disk(
        &self,
        work: impl FnOnce(&mut Book) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let book = self.0.clone();
        let writing = tokio::task::spawn_blocking(move || {
            let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut book)
        });
        writing
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

impl Entry {
    fn token(&self) -> TokenHash {
        match self {
            Self::Accepted(ended) | Self::Ended(ended) => token_hash(&ended.token),
            Self::Sent(token) => token.clone(),
        }
    }

    fn result(&self) -> Option<&Ended> {
        match self {
            Self::Accepted(ended) | Self::Ended(ended) => Some(ended),
            Self::Sent(_) => None,
        }
    }
}

impl Book {
    fn write(&mut self, entry: Entry) -> io::Result<()> {
        if self.torn || self.lines > GROWN.max(2 * self.open.len()) {
            self.renew()?;
        }
        self.torn = true;
        append(&mut self.file, &entry)?;
        self.file.sync_data()?;
        self.torn = false;
        self.lines += 1;
        note(&mut self.open, entry);
        Ok(())
    }

    fn renew(&mut self) -> io::Result<()> {
        self.file = rewrite(&self.path, &self.open)?;
        self.lines = self.open.len();
        self.torn = false;
        Ok(())
    }
}

fn note(open: &mut HashMap<TokenHash, Entry>, entry: Entry) {
    let token = entry.token();
    match entry {
        Entry::Sent(_) => {
            open.remove(&token);
        }
        Entry::Accepted(_) | Entry::Ended(_) => {
            open.insert(token, entry);
        }
    }
}

/// What the lines of a file leave open. A last line that was cut off by a crash says nothing, and
/// nobody relied on it.
fn settle(file: File) -> io::Result<HashMap<TokenHash, Entry>> {
    let mut open = HashMap::new();
    for line in BufReader::new(file).split(b'\n') {
        match serde_json::from_slice(&line?) {
            Ok(entry) => note(&mut open, entry),
            Err(error) => tracing::warn!(%error, "a line of the attempts' journal says nothing"),
        }
    }
    Ok(open)
}

fn append(file: &mut File, entry: &Entry) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// Writes a new file beside the old one, then puts it in its place.
fn rewrite(path: &Path, open: &HashMap<TokenHash, Entry>) -> io::Result<File> {
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    // The tokens in it speak for attempts.
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&fresh)?;
    for entry in open.values() {
        append(&mut file, entry)?;
    }
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use protocol::id::TaskId;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    fn call(step: &str) -> Call {
        Call {
            task: TaskId::from_uuid(Uuid::from_u128(1)),
            step: step.to_owned(),
            attempt: 1,
            idempotency_key: "key".to_owned(),
            description: "describe".into(),
            task_input: Value::Null.into(),
            replies: crate::adapter::Replies::new(),
            input: Value::Null,
            needs: serde_json::Map::new(),
            timeout: std::time::Duration::from_secs(1),
            trace: None,
            spent: crate::adapter::Spent::default(),
        }
    }

    fn ended(step: &str, token: [u8; 16]) -> Ended {
        Ended {
            task: TaskId::from_uuid(Uuid::from_u128(1)),
            step: step.to_owned(),
            number: 1,
            token,
            agent: "one".to_owned(),
            outcome: Outcome::Succeeded { output: json!(7) },
            usage: None,
            load: None,
        }
    }

    #[tokio::test]
    async fn what_was_not_handed_back_is_there_after_a_restart_also_after_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, unsent) = Ledger::open(folder.path()).unwrap();
        assert_eq!(unsent, []);
        for (step, token) in [("sent", [1; 16]), ("unsent", [2; 16]), ("running", [3; 16])] {
            ledger.accepted(&call(step), &token).await.unwrap();
        }
        ledger.ended(&ended("sent", [1; 16])).await;
        ledger.ended(&ended("unsent", [2; 16])).await;
        ledger.sent(&token_hash(&[1; 16])).await;
        drop(ledger);
        let path = folder.path().join("attempts.jsonl");
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"{\"sent\":\"cut o").unwrap();

        let (_ledger, mut unsent) = Ledger::open(folder.path()).unwrap();
        unsent.sort_by(|one, other| one.step.cmp(&other.step));
        let [running, result] = &unsent[..] else {
            panic!("{unsent:?}");
        };
        assert!(matches!(running.outcome, Outcome::Lost { .. }));
        assert_eq!(running.step, "running");
        assert_eq!(*result, ended("unsent", [2; 16]));
    }

    #[tokio::test]
    async fn a_disk_that_was_full_keeps_what_is_written_once_it_has_room() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, _) = Ledger::open(folder.path()).unwrap();
        ledger.accepted(&call("before"), &[1; 16]).await.unwrap();
        assert!(ledger.is_writable().await);
        let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
        let path = {
            let mut book = ledger.0.lock().unwrap();
            // The beginning of the line finds room, and a new file does not.
            book.file.write_all(b"{\"accepted\":").unwrap();
            book.file = full();
            std::mem::replace(&mut book.path, folder.path().join("no/such"))
        };
        assert!(ledger.accepted(&call("full"), &[2; 16]).await.is_err());
        assert!(!ledger.is_writable().await);
        ledger.0.lock().unwrap().path = path;
        assert!(ledger.is_writable().await);
        ledger.accepted(&call("after"), &[3; 16]).await.unwrap();
        let (_again, unsent) = Ledger::open(folder.path()).unwrap();
        let mut steps: Vec<_> = unsent.iter().map(|it| it.step.as_str()).collect();
        steps.sort_unstable();
        assert_eq!(steps, ["after", "before"]);
    }

    #[tokio::test]
    async fn the_file_does_not_grow_with_what_is_settled() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, _) = Ledger::open(folder.path()).unwrap();
        {
            let mut book = ledger.0.lock().unwrap();
            book.lines = GROWN + 1;
        }
        ledger.accepted(&call("one"), &[1; 16]).await.unwrap();
        assert_eq!(ledger.0.lock().unwrap().lines, 1);
        let (_again, unsent) = Ledger::open(folder.path()).unwrap();
        assert_eq!(unsent.len(), 1);
    }
}
