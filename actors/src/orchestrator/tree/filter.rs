//! Which turns of actors' lives are wanted.

use protocol::{
    api::{Life, LifeEvent},
    entity::{EntityKind, Sight},
};
use runtime::chronicle::{Sieve, is_below};
use serde::de::{
    Deserialize, IntoDeserializer,
    value::{Error, StrDeserializer},
};

use crate::{Rejection, config::ATTEMPT, planner::nearest};

/// Characters that a pattern or a list may have.
const LONGEST: usize = 1_000;

/// What actors are that are no entities; a word that is none of these would find nothing, ever.
const KINDS: [&str; 9] = [
    "agent-proxy",
    "chronicle",
    "mesh_gateway",
    "mesh_sessions",
    "node",
    "projector",
    "supervisor",
    "system",
    ATTEMPT,
];

/// What becomes of actors, as lists of words name it.
const TURNS: [&str; 8] = [
    "started",
    "stopped",
    "failed",
    "restarted",
    "parked",
    "moved",
    "stuck",
    "node_lost",
];

/// A pattern of paths, and kinds of actors and of turns.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct LifeFilter {
    glob: Option<Vec<Part>>,
    turns: Vec<Life>,
    kinds: Vec<String>,
    /// Who looks; the default tenant's callers see all.
    tenant: Option<String>,
}

/// A piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Char(char),
    /// Any characters of one name.
    Name,
    /// Any characters.
    Any,
}

impl LifeFilter {
    /// From a pattern with `*` and `**`, and a list of words such as `failed,task`: what became of an
    /// actor, or what it is.
    pub(in super::super) fn new(path: Option<&str>, kind: Option<&str>) -> Result<Self, Rejection> {
        let mut filter = Self::default();
        if let Some(path) = path {
            if path.len() > LONGEST || !(path.starts_with('/') || path.starts_with('*')) {
                return Err(Rejection::field(
                    "path",
                    "must be a pattern like `/tasks/*` or `/agents/**`, of 1,000 characters at most",
                ));
            }
            filter.glob = Some(parts(path));
        }
        for word in kind.unwrap_or_default().split(',') {
            let word = word.trim();
            let is_word = word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
            if !is_word || word.len() > LONGEST {
                return Err(Rejection::field(
                    "kind",
                    "must be a list of words like `failed,restarted` or `task,agent`",
                ));
            }
            match turn(word) {
                Some(turn) => filter.turns.push(turn),
                None if word.is_empty() => {}
                None if kinds().any(|known| known == word) => filter.kinds.push(word.to_owned()),
                None => return Err(Rejection::field("kind", unknown(word))),
            }
        }
        if kind.is_some() && filter.turns.is_empty() && filter.kinds.is_empty() {
            let message = format!("has no word in it; leave it out for all; {}", known());
            return Err(Rejection::field("kind", message));
        }
        Ok(filter)
    }

    /// Only what callers of this tenant may know.
    #[must_use]
    pub(in super::super) fn seen_by(self, tenant: &str) -> Self {
        Self {
            tenant: Some(tenant.to_owned()),
            ..self
        }
    }

    /// Whether a turn is wanted.
    pub(in super::super) fn admits(&self, event: &LifeEvent) -> bool {
        self.admits_turn(&event.kind, event.what) && self.admits_path(&event.path)
    }
}

impl Sieve for LifeFilter {
    fn admits_row(&self, _: &str) -> bool {
        false
    }

    fn admits_path(&self, path: &str) -> bool {
        let tenant = self.tenant.as_deref();
        tenant.is_none_or(|tenant| Sight::of(tenant).sees(path))
            && self.glob.as_ref().is_none_or(|glob| matches(glob, path))
    }

    fn admits_turn(&self, kind: &str, what: Life) -> bool {
        (self.turns.is_empty() || self.turns.contains(&what))
            && (self.kinds.is_empty() || self.kinds.iter().any(|it| it == kind))
    }
}

/// All that stands or stood at a path and below it, as far as callers of a tenant may know.
#[derive(Debug)]
pub(in super::super) struct Standing {
    pub(in super::super) path: String,
    pub(in super::super) tenant: String,
}

impl Sieve for Standing {
    fn admits_row(&self, path: &str) -> bool {
        self.admits_path(path)
    }

    fn admits_path(&self, path: &str) -> bool {
        is_below(path, &self.path) && Sight::of(&self.tenant).sees(path)
    }

    fn admits_turn(&self, _: &str, _: Life) -> bool {
        true
    }
}

fn kinds() -> impl Iterator<Item = &'static str> + Clone {
    EntityKind::ALL
        .map(EntityKind::as_str)
        .into_iter()
        .chain(KINDS)
}

fn known() -> String {
    let kinds: Vec<_> = kinds().collect();
    let (turns, kinds) = (TURNS.join(", "), kinds.join(", "));
    format!("what becomes of actors is {turns}; what they are is {kinds}")
}

fn unknown(word: &str) -> String {
    let words = TURNS.into_iter().chain(kinds());
    let hint = nearest(word, words).map_or_else(known, |near| format!("did you mean `{near}`?"));
    format!("there is no kind `{word}`; {hint}")
}

fn turn(word: &str) -> Option<Life> {
    let word: StrDeserializer<'_, Error> = word.into_deserializer();
    Life::deserialize(word).ok()
}

fn parts(glob: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for c in glob.chars() {
        match (c, parts.last()) {
            ('*', Some(Part::Name)) => {
                parts.pop();
                parts.push(Part::Any);
            }
            ('*', Some(Part::Any)) => {}
            ('*', Some(Part::Char(_)) | None) => parts.push(Part::Name),
            (c, _) => parts.push(Part::Char(c)),
        }
    }
    parts
}

/// Follows all ways through the pattern at once, so that no pattern takes long.
fn matches(glob: &[Part], path: &str) -> bool {
    // `/a/**` means `/a` as well.
    if let [own @ .., Part::Char('/'), Part::Any] = glob
        && !own.is_empty()
        && matches(own, path)
    {
        return true;
    }
    let mut at = vec![false; glob.len() + 1];
    at[0] = true;
    skip(glob, &mut at);
    let mut then = vec![false; glob.len() + 1];
    for c in path.chars() {
        then.fill(false);
        for (place, part) in glob.iter().enumerate().filter(|(place, _)| at[*place]) {
            match part {
                Part::Char(known) if *known == c => then[place + 1] = true,
                Part::Name if c != '/' => then[place] = true,
                Part::Any => then[place] = true,
                Part::Char(_) | Part::Name => {}
            }
        }
        skip(glob, &mut then);
        std::mem::swap(&mut at, &mut then);
        if !at.contains(&true) {
            return false;
        }
    }
    at[glob.len()]
}

/// Stars may stand for nothing.
fn skip(glob: &[Part], at: &mut [bool]) {
    for (place, part) in glob.iter().enumerate() {
        match part {
            Part::Name | Part::Any => at[place + 1] |= at[place],
            Part::Char(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::time::Timestamp;

    use super::*;

    fn event(path: &str, kind: &str, what: Life) -> LifeEvent {
        LifeEvent {
            at: Timestamp::default(),
            node: "n".to_owned(),
            path: path.to_owned(),
            kind: kind.to_owned(),
            what,
            reason: None,
            restored_from: None,
        }
    }

    #[test]
    fn one_star_stays_in_a_name_and_two_do_not() {
        for (glob, path, expected) in [
            ("/tasks/1", "/tasks/1", true),
            ("/tasks", "/tasks/1", false),
            ("/tasks/*", "/tasks/1", true),
            ("/tasks/*", "/tasks/1/tool", false),
            ("/tasks/**", "/tasks/1/tool", true),
            ("/tasks/**", "/tasks", true),
            ("/tasks/**", "/tasksy", false),
            ("/a*/*/tool", "/agents/x/tool", true),
            ("**/proxy", "/agents/x/proxy", true),
            ("/**", "/", true),
            ("*", "/", false),
            ("**", "/x/y", true),
        ] {
            let filter = LifeFilter::new(Some(glob), None).unwrap();
            let event = event(path, "task", Life::Failed);
            assert_eq!(filter.admits(&event), expected, "{glob} {path}");
        }
    }

    #[test]
    fn words_are_turns_or_kinds() {
        let filter = LifeFilter::new(None, Some("failed, node_lost,task")).unwrap();
        for (kind, what, expected) in [
            ("task", Life::Failed, true),
            ("task", Life::NodeLost, true),
            ("task", Life::Started, false),
            ("agent", Life::Failed, false),
        ] {
            assert_eq!(filter.admits(&event("/x", kind, what)), expected, "{kind}");
        }
        let all = LifeFilter::new(None, None).unwrap();
        assert!(all.admits(&event("/x", "task", Life::Started)));
    }

    #[test]
    fn what_is_no_pattern_and_no_word_is_refused_by_name() {
        let refused = |path, kind| LifeFilter::new(path, kind).unwrap_err().to_string();
        assert!(refused(Some("tasks"), None).starts_with("path: "));
        assert!(refused(None, Some("a b")).starts_with("kind: "));
        assert_eq!(
            refused(None, Some("failed,agnt")),
            "kind: there is no kind `agnt`; did you mean `agent`?"
        );
        for nothing in ["nonsense", "", ","] {
            let told = refused(None, Some(nothing));
            assert!(
                told.contains("started, stopped, ") && told.contains("agent, task, "),
                "{told}"
            );
        }
    }

    #[test]
    fn every_turn_has_its_word() {
        for word in TURNS {
            assert!(turn(word).is_some(), "{word}");
        }
    }
}
