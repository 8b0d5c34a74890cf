//! Who may ask whom, so that agents that ask each other come to an end.

use crate::adapter::AskError;

/// Agents in a row of which each waits for the next one's answer, the first included.
pub(super) const DEEPEST: usize = 8;

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
