//! What is held now, and what that keeps from starting.

use std::path::Path;

use protocol::{agent::AgentSpec, api::HoldView, hold::Target};

/// A hold that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whose tasks and agents it keeps.
    pub tenant: String,
    /// The hold.
    pub hold: HoldView,
}

impl Standing {
    /// Whether it is meant for a tenant: its own, unless what is held is everybody's.
    #[must_use]
    pub fn reaches(&self, tenant: &str) -> bool {
        self.tenant == tenant || self.hold.target.is_shared()
    }
}

/// All holds that stand, the first placed first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held(Vec<Standing>);

impl Held {
    /// Puts holds together.
    #[must_use]
    pub fn new(mut holds: Vec<Standing>) -> Self {
        holds.sort_by_key(|standing| (standing.hold.since, standing.hold.id));
        Self(holds)
    }

    /// Whether nothing is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are meant for a tenant.
    pub fn of<'a>(&'a self, tenant: &str) -> impl Iterator<Item = &'a HoldView> {
        let meant = self
            .0
            .iter()
            .filter(move |standing| standing.reaches(tenant));
        meant.map(|standing| &standing.hold)
    }

    /// What keeps a whole task: the scopes that it is in.
    pub fn on_task<'a>(
        &'a self,
        tenant: &str,
        user: &str,
        session: Option<&str>,
    ) -> impl Iterator<Item = &'a HoldView> {
        self.of(tenant).filter(move |hold| match &hold.target {
            Target::Cluster => true,
            Target::User(name) => name == user,
            Target::Session(id) => session == Some(id),
            Target::Node(_)
            | Target::Agent(_)
            | Target::AgentType(_)
            | Target::Tool(_)
            | Target::Provider(_) => false,
        })
    }

    /// What keeps an agent that `node` hosts.
    #[must_use]
    pub fn on_agent(
        &self,
        tenant: &str,
        agent: &AgentSpec,
        node: Option<&str>,
    ) -> Option<&HoldView> {
        self.of(tenant)
            .find(|hold| keeps(&hold.target, agent, node))
    }

    /// What keeps steps that require one of these tools.
    pub fn on_tools(&self, tenant: &str, tools: &[String]) -> Option<&HoldView> {
        self.of(tenant).find(|hold| match &hold.target {
            Target::Tool(tool) => tools.contains(tool),
            Target::Cluster
            | Target::Session(_)
            | Target::User(_)
            | Target::Node(_)
            | Target::Agent(_)
            | Target::AgentType(_)
            | Target::Provider(_) => false,
        })
    }
}

/// Whether an agent that `node` hosts is kept when this is held.
#[must_use]
pub fn keeps(target: &Target, agent: &AgentSpec, node: Option<&str>) -> bool {
    match target {
        Target::Agent(name) => *name == agent.name,
        Target::AgentType(kind) => *kind == agent.agent_type,
        Target::Node(name) => node == Some(name),
        Target::Tool(tool) => program(agent).is_some_and(|program| is(program, tool)),
        Target::Provider(host) => provider(agent).is_some_and(|(name, with_port)| {
            host.eq_ignore_ascii_case(&name) || host.eq_ignore_ascii_case(&with_port)
        }),
        Target::Cluster | Target::User(_) | Target::Session(_) => false,
    }
}

/// The program that an agent runs.
fn program(agent: &AgentSpec) -> Option<&str> {
    agent.config.get("argv")?.get(0)?.as_str()
}

/// Whether a program is meant, by its path or its name alone.
fn is(program: &str, tool: &str) -> bool {
    let name = Path::new(program).file_name();
    program == tool || name.is_some_and(|name| name == tool)
}

/// The host that an agent's endpoint is on, without and with its port.
fn provider(agent: &AgentSpec) -> Option<(String, String)> {
    let endpoint = url::Url::parse(agent.endpoint.as_deref()?).ok()?;
    let host = endpoint.host_str()?.to_owned();
    let port = endpoint.port_or_known_default()?;
    let with_port = format!("{host}:{port}");
    Some((host, with_port))
}

#[cfg(test)]
mod tests {
    use protocol::{id::HoldId, time::Timestamp};
    use serde_json::json;

    use super::*;

    fn held(target: &str) -> Held {
        let hold = HoldView {
            id: HoldId::from_uuid(uuid::Uuid::from_u128(1)),
            target: target.parse().unwrap(),
            reason: String::new(),
            by: "ops".to_owned(),
            since: Timestamp::default(),
        };
        Held::new(vec![Standing {
            tenant: "acme".to_owned(),
            hold,
        }])
    }

    #[test]
    fn a_dependency_keeps_just_the_agents_that_need_it() {
        let spec = |json| serde_json::from_value::<AgentSpec>(json).unwrap();
        let git = spec(json!({
            "name": "git", "agent_type": "command", "config": { "argv": ["/usr/bin/git", "log"] },
        }));
        let model = spec(json!({
            "name": "model", "agent_type": "http", "endpoint": "https://API.example.com/v1",
        }));
        for (target, keeps_git, keeps_model) in [
            ("tool:git", true, false),
            ("tool:/usr/bin/git", true, false),
            ("tool:log", false, false),
            ("provider:api.example.com", false, true),
            ("provider:api.example.com:443", false, true),
            ("provider:example.com", false, false),
            ("agent_type:http", false, true),
            ("agent:git", true, false),
            ("node:n1", true, true),
            ("node:n2", false, false),
            ("cluster", false, false),
        ] {
            let held = held(target);
            let keeps = |agent| held.on_agent("acme", agent, Some("n1")).is_some();
            assert_eq!(
                (keeps(&git), keeps(&model)),
                (keeps_git, keeps_model),
                "{target}"
            );
        }
        assert!(
            held("tool:git")
                .on_tools("acme", &["git".to_owned()])
                .is_some()
        );
        assert!(
            held("agent:git")
                .on_tools("acme", &["git".to_owned()])
                .is_none()
        );
    }

    #[test]
    fn a_hold_keeps_its_own_tenant_unless_what_is_held_is_everybodys() {
        let json = r#"{ "name": "git", "agent_type": "command", "config": { "argv": ["git"] } }"#;
        let git = serde_json::from_str::<AgentSpec>(json).unwrap();
        for (target, keeps_others) in [
            ("cluster", true),
            ("node:n1", true),
            ("user:ada", false),
            ("session:s1", false),
            ("agent:git", false),
            ("agent_type:command", false),
            ("tool:git", false),
        ] {
            let held = held(target);
            let keeps = |tenant: &str| {
                held.on_task(tenant, "ada", Some("s1")).next().is_some()
                    || held.on_agent(tenant, &git, Some("n1")).is_some()
                    || held.on_tools(tenant, &["git".to_owned()]).is_some()
            };
            assert!(keeps("acme"), "{target}");
            assert_eq!(keeps("default"), keeps_others, "{target}");
            assert_eq!(held.of("default").count(), usize::from(keeps_others));
        }
    }

    #[test]
    fn a_scope_keeps_the_tasks_that_are_in_it() {
        for (target, keeps) in [
            ("cluster", true),
            ("user:ada", true),
            ("user:bob", false),
            ("session:s1", true),
            ("session:s2", false),
            ("agent:ada", false),
        ] {
            let held = held(target);
            assert_eq!(
                held.on_task("acme", "ada", Some("s1")).count(),
                usize::from(keeps),
                "{target}"
            );
        }
    }
}
