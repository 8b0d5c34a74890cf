//! The witness: a program that writes down each time it is run, and never forgets or merges one.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Value, json};

/// Appends one line, makes it durable, waits a moment so that a kill can fall between the effect
/// and its receipt, and answers the line.
const SCRIPT: &str = r#"
line="$TROUPE_TASK_ID $TROUPE_STEP $TROUPE_ATTEMPT $TROUPE_IDEMPOTENCY_KEY"
printf '%s\n' "$line" | dd of="$1" oflag=append conv=notrunc,fsync status=none || exit 1
if [ "$TROUPE_ATTEMPT" = 1 ]; then sleep "$2"; else sleep "$3"; fi
printf '%s' "$line"
"#;

/// Everything that the witness saw.
pub(crate) struct Ledger {
    file: PathBuf,
}

/// One time that it was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its place among all.
    pub(crate) place: usize,
    pub(crate) attempt: u32,
    pub(crate) key: String,
}

/// Entries by task and step, in the order in which they were made.
pub(crate) type Entries = BTreeMap<(String, String), Vec<Entry>>;

impl Ledger {
    /// An empty one.
    pub(crate) fn new(file: PathBuf) -> Self {
        fs::write(&file, "").unwrap();
        Self { file }
    }

    /// The agent whose effect is one line; it answers `seconds` after that.
    pub(crate) fn agent(&self, name: &str, seconds: &str) -> Value {
        self.straggler(name, seconds, seconds)
    }

    /// One whose first attempts take another time than later ones.
    pub(crate) fn straggler(&self, name: &str, first: &str, later: &str) -> Value {
        json!({
            "name": name, "agent_type": "command", "capabilities": [name],
            "config": {
                "argv": ["/bin/sh", "-c", SCRIPT, "witness", self.file, first, later],
                "stdin": "none", "timeout": "30s",
            },
        })
    }

    pub(crate) fn read(&self) -> Entries {
        let mut entries = Entries::new();
        for (place, line) in fs::read_to_string(&self.file).unwrap().lines().enumerate() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [task, step, attempt, key] = fields[..] else {
                panic!("the witness wrote half a line: {line}");
            };
            let of = (task.to_owned(), step.to_owned());
            entries.entry(of).or_default().push(Entry {
                place,
                attempt: attempt.parse().unwrap(),
                key: key.to_owned(),
            });
        }
        entries
    }
}
