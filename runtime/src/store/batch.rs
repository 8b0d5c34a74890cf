//! Which appends of a batch can be committed by the same statements.
//!
//! A batch has the effect of its appends one after the other. Most neither name their stream nor
//! share a client's key, so they cannot meet each other; a run ends where one might.

use std::collections::{BTreeMap, HashSet};

use super::{Append, Appended, Refusal, ReminderChange};

pub(super) type Verdict = Result<Appended, Refusal>;

/// How many appends from the first on can go together; at least 1.
pub(super) fn run(batch: &[Append]) -> usize {
    let mut keys = HashSet::new();
    let together = batch.iter().take_while(|append| {
        let key = append.idempotency.as_ref();
        let new = key.is_none_or(|key| keys.insert((&append.record.tenant, &key.key)));
        new && append.summary.name.is_none()
    });
    together.count().max(1)
}

/// What each reminder comes to: when it is due, or that it is gone.
pub(super) fn last_changes(changes: &[ReminderChange]) -> BTreeMap<&str, Option<i64>> {
    let each = changes.iter().map(|change| match change {
        ReminderChange::Set { name, due } => (name.as_str(), Some(due.as_micros())),
        ReminderChange::Clear { name } => (name.as_str(), None),
    });
    each.collect()
}

/// A pattern for SQL's `LIKE`, escaped by a backslash, of any text that holds `text`.
pub(super) fn holding(text: &str) -> String {
    let literal = text
        .replace('\\', r"\\")
        .replace('%', r"\%")
        .replace('_', r"\_");
    format!("%{literal}%")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{append, keyed, named, task};

    #[test]
    fn a_run_ends_before_a_name_and_before_a_repeated_key() {
        let plain = append(task(1), 1);
        let cases = [
            (vec![plain.clone(), plain.clone(), plain.clone()], 3),
            (vec![plain, named(task(2), "bob"), append(task(3), 1)], 1),
            (vec![named(task(2), "bob"), append(task(3), 1)], 1),
            (
                vec![
                    keyed(task(1), "a"),
                    keyed(task(2), "b"),
                    keyed(task(3), "a"),
                ],
                2,
            ),
        ];
        for (batch, expected) in cases {
            assert_eq!(run(&batch), expected);
        }
    }
}
