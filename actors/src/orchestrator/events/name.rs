//! Which events are wanted, by their names.

use crate::Rejection;

/// The first word of each name.
const GROUPS: [&str; 4] = ["task", "workflow", "agent", "worker"];

/// Names that a list has at most.
const LONGEST: usize = 50;

/// Patterns of names: `task.settled`, `task.*`, `workflow.node.*`, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTypes(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    All,
    Group(String),
    One(String),
}

impl Pattern {
    fn read(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        let (path, all) = match text.strip_suffix(".*") {
            Some(path) => (path, true),
            None => (text, false),
        };
        let is_word = |word: &str| {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            !word.is_empty() && word.bytes().all(fits)
        };
        let (group, rest) = path.split_once('.').unwrap_or((path, ""));
        let is_known = GROUPS.contains(&group) && path.split('.').all(is_word);
        match (is_known, all) {
            (true, true) => Some(Self::Group(path.to_owned())),
            (true, false) if !rest.is_empty() => Some(Self::One(path.to_owned())),
            (true | false, _) => None,
        }
    }

    fn group(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Group(name) | Self::One(name) => name.split('.').next(),
        }
    }
}

impl EventTypes {
    /// Reads a list with commas; all when there is none.
    ///
    /// # Errors
    ///
    /// `Invalid` names what is no name of an event.
    pub fn read(list: Option<&str>) -> Result<Self, Rejection> {
        let Some(list) = list else {
            return Ok(Self(vec![Pattern::All]));
        };
        let wrong = |text: &str| {
            let shown: String = text.chars().take(80).collect();
            Rejection::field(
                "types",
                format!(
                    "`{shown}` is no name of an event; names are such as `task.settled`, `task.*`, `workflow.node.*`, `agent.*`, `worker.status`, or `*`"
                ),
            )
        };
        let names: Vec<&str> = list.split(',').map(str::trim).collect();
        if names.len() > LONGEST {
            return Err(Rejection::field(
                "types",
                format!("has more than {LONGEST} names"),
            ));
        }
        let read = |text: &&str| Pattern::read(text).ok_or_else(|| wrong(text));
        Ok(Self(names.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// Whether events of this name are wanted.
    #[must_use]
    pub fn admit(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::All => true,
            Pattern::Group(group) => {
                let rest = name.strip_prefix(group.as_str());
                rest.is_some_and(|rest| rest.starts_with('.'))
            }
            Pattern::One(one) => one == name,
        })
    }

    /// Whether any event of a group can be wanted.
    #[must_use]
    pub fn want(&self, group: &str) -> bool {
        let mut groups = self.0.iter().map(Pattern::group);
        groups.any(|wanted| wanted.is_none_or(|wanted| wanted == group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_says_what_is_wanted() {
        let types = EventTypes::read(Some("task.*, agent.mode_set,worker.status")).unwrap();
        for wanted in ["task.submitted", "agent.mode_set", "worker.status"] {
            assert!(types.admit(wanted), "{wanted}");
        }
        for other in ["task", "tasks.x", "agent.started", "worker.load"] {
            assert!(!types.admit(other), "{other}");
        }
        assert!(types.want("worker") && types.want("agent"));
        let tasks = EventTypes::read(Some("task.settled")).unwrap();
        assert!(tasks.want("task") && !tasks.want("agent") && !tasks.want("worker"));
    }

    #[test]
    fn a_name_may_be_that_of_a_group_within_a_group() {
        let types = EventTypes::read(Some("workflow.node.*,workflow.completed")).unwrap();
        for wanted in ["workflow.node.started", "workflow.completed"] {
            assert!(types.admit(wanted), "{wanted}");
        }
        for other in ["workflow.started", "workflow.node", "workflow.nodes.x"] {
            assert!(!types.admit(other), "{other}");
        }
        assert!(types.want("workflow") && !types.want("task"));
    }

    #[test]
    fn nothing_asked_for_is_everything() {
        for all in [None, Some("*")] {
            let all = EventTypes::read(all).unwrap();
            assert!(all.admit("task.submitted") && all.want("worker"));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = vec!["task.*"; LONGEST + 1].join(",");
        for wrong in [
            "",
            "task",
            "task.",
            "robot.*",
            "task.a b",
            "*.x",
            "task.*,",
            "task..*",
            "task.a..b",
            ".*",
            &long,
        ] {
            assert!(EventTypes::read(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
