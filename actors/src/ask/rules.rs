//! Who may ask whom, and for how long a node is waited for: so every question comes to an end.

use std::time::Duration;

use crate::adapter::AskError;

/// Agents in a row of which each waits for the next one's answer, the first included.
pub(super) const DEEPEST: usize = 8;

/// How long the node that works on a question may be out of reach. Its lease may run much longer; but
/// a question is put once, whatever becomes of it, so nobody need know that it does not run any more.
const OUT_OF_REACH: Duration = Duration::from_secs(2);

/// Whether the answer of a node that has been out of reach for so long is waited for no longer.
pub(super) fn is_given_up(parted: Option<Duration>) -> bool {
    parted.is_some_and(|parted| parted >= OUT_OF_REACH)
}

/// Whether an agent may be asked by the last of `path`, each of which asked the next.
pub(super) fn admit(path: &[String], agent: &str) -> Result<(), AskError> {
    if path.iter().any(|name| name == agent) {
        return Err(AskError::Cycle {
            agent: agent.to_owned(),
            path: path.to_vec(),
        });
    }
    if path.len() >= DEEPEST {
        return Err(AskError::TooDeep { limit: DEEPEST });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_comes_back_soon_costs_no_question() {
        assert!(!is_given_up(None));
        assert!(!is_given_up(Some(OUT_OF_REACH / 2)));
        assert!(is_given_up(Some(OUT_OF_REACH)));
    }

    #[test]
    fn nobody_asks_one_that_waits_for_it_and_no_row_is_endless() {
        let path: Vec<String> = (0..DEEPEST).map(|n| format!("a{n}")).collect();
        assert_eq!(admit(&path[..2], "a7"), Ok(()));
        for waiting in ["a0", "a1"] {
            assert!(matches!(
                admit(&path[..2], waiting),
                Err(AskError::Cycle { .. })
            ));
        }
        assert_eq!(admit(&path, "b"), Err(AskError::TooDeep { limit: DEEPEST }));
    }
}
