//! Who could do what: the agents of a tenant as plans are checked against them.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use protocol::id::AgentId;

/// An agent as far as planning is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id, by which steps may name it.
    pub id: AgentId,
    /// Its name, by which steps may name it.
    pub name: String,
    /// What it can do.
    pub capabilities: Vec<String>,
}

/// All agents of a tenant, whatever their status: a step waits for one that is away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    members: BTreeMap<String, Member>,
    names: BTreeMap<AgentId, String>,
    /// Who can do what, by name.
    capabilities: BTreeMap<String, BTreeSet<String>>,
}

impl FromIterator<Member> for Roster {
    fn from_iter<I: IntoIterator<Item = Member>>(members: I) -> Self {
        let mut roster = Self::default();
        for member in members {
            roster.insert(member);
        }
        roster
    }
}

impl Roster {
    /// Adds an agent, in place of the one that has its id or its name.
    pub fn insert(&mut self, member: Member) {
        self.remove(member.id);
        let namesake = self.members.get(&member.name).map(|other| other.id);
        if let Some(namesake) = namesake {
            self.remove(namesake);
        }
        for capability in &member.capabilities {
            let able = self.capabilities.entry(capability.clone()).or_default();
            able.insert(member.name.clone());
        }
        self.names.insert(member.id, member.name.clone());
        self.members.insert(member.name.clone(), member);
    }

    /// Removes an agent, if it is there.
    pub fn remove(&mut self, id: AgentId) -> Option<Member> {
        let member = self.members.remove(&self.names.remove(&id)?)?;
        for capability in &member.capabilities {
            if let Entry::Occupied(mut able) = self.capabilities.entry(capability.clone()) {
                able.get_mut().remove(&member.name);
                if able.get().is_empty() {
                    able.remove();
                }
            }
        }
        Some(member)
    }

    /// The agent of this name or id.
    #[must_use]
    pub fn agent(&self, name_or_id: &str) -> Option<&Member> {
        self.members.get(name_or_id).or_else(|| {
            let id: AgentId = name_or_id.parse().ok()?;
            self.members.get(self.names.get(&id)?)
        })
    }

    /// Whether any agent can do this.
    #[must_use]
    pub fn offers(&self, capability: &str) -> bool {
        self.capabilities.contains_key(capability)
    }

    /// Agents that can do this, by name.
    pub fn able(&self, capability: &str) -> impl Iterator<Item = &Member> {
        let able = self.capabilities.get(capability).into_iter().flatten();
        able.filter_map(|name| self.members.get(name))
    }

    /// Every name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Everything that some agent can do, sorted.
    pub fn capabilities(&self) -> impl Iterator<Item = &str> {
        self.capabilities.keys().map(String::as_str)
    }

    /// What agents can do, in words: at most ten capabilities and how many there are besides.
    #[must_use]
    pub fn summary(&self) -> String {
        const SHOWN: usize = 10;
        if self.capabilities.is_empty() {
            return "no agent offers any capability; register one first".to_owned();
        }
        let shown: Vec<String> = self
            .capabilities()
            .take(SHOWN)
            .map(|capability| format!("`{capability}`"))
            .collect();
        let rest = self.capabilities.len().saturating_sub(SHOWN);
        let more = if rest > 0 {
            format!(" and {rest} more")
        } else {
            String::new()
        };
        format!("agents offer {}{more}", shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u128, name: &str, capabilities: &[&str]) -> Member {
        Member {
            id: AgentId::from_uuid(uuid::Uuid::from_u128(number)),
            name: name.to_owned(),
            capabilities: capabilities.iter().map(|c| (*c).to_owned()).collect(),
        }
    }

    #[test]
    fn an_agent_is_found_by_name_and_by_id() {
        let ada = member(1, "ada", &["research"]);
        let roster: Roster = [ada.clone(), member(2, "bob", &[])].into_iter().collect();
        assert_eq!(roster.agent("ada"), Some(&ada));
        assert_eq!(roster.agent(&ada.id.to_string()), Some(&ada));
        assert_eq!(roster.agent("eve"), None);
        assert_eq!(roster.able("research").collect::<Vec<_>>(), [&ada]);
        assert_eq!(roster.names().collect::<Vec<_>>(), ["ada", "bob"]);
    }

    #[test]
    fn a_roster_that_changed_equals_one_that_was_made_so() {
        let (ada, bob) = (member(1, "ada", &["a", "b"]), member(2, "bob", &["b"]));
        let mut roster: Roster = [ada.clone(), bob.clone()].into_iter().collect();
        roster.insert(member(2, "rob", &["c"]));
        roster.insert(member(3, "ada", &["d"]));
        let remade = [member(3, "ada", &["d"]), member(2, "rob", &["c"])];
        assert_eq!(roster, remade.into_iter().collect());
        assert!(!roster.offers("a") && !roster.offers("b") && roster.offers("c"));
        assert_eq!(roster.agent("bob"), None);
        assert_eq!(roster.remove(ada.id), None, "another has its name");
        roster.remove(bob.id).unwrap();
        roster.remove(member(3, "", &[]).id).unwrap();
        assert_eq!(roster, Roster::default());
    }

    #[test]
    fn a_summary_names_ten_capabilities_and_counts_the_rest() {
        let many: Vec<String> = (10..24).map(|number| format!("c{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let roster: Roster = [member(1, "ada", &many)].into_iter().collect();
        let summary = roster.summary();
        assert!(
            summary.starts_with("agents offer `c10`, `c11`"),
            "{summary}"
        );
        assert!(summary.ends_with("`c19` and 4 more"), "{summary}");
        assert!(Roster::default().summary().contains("register one"));
    }
}
