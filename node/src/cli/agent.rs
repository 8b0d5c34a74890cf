//! `troupe agent`: register, change, start, stop.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::{
    agent::{AgentSpec, AgentStatus, AgentType, DEFAULT_MAX_TASKS, Placement, Resources, StopMode},
    api::{AgentQuery, AgentUpdate, AgentView, Consistency},
};
use serde_json::{Map, Value, json};

use super::{
    exit::{Exit, Failure, Outcome},
    hold::confirmed,
    output::Output,
    read_text,
    task::{each, json, word},
};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(super) enum Agent {
    /// Register an agent
    Register(Box<Register>),
    /// List agents by name
    List(List),
    /// Show an agent
    Get {
        /// Its name or id
        agent: String,
    },
    /// Change an agent; what is not given stays
    Update {
        /// Its name or id
        agent: String,
        #[command(flatten)]
        change: Change,
    },
    /// Change single values, such as `max_tasks=3 config.timeout=30s metadata.team=a`
    Set {
        /// Its name or id
        agent: String,
        /// KEY=VALUE; the value is read as JSON where it is JSON
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = pair)]
        values: Vec<(String, String)>,
    },
    /// Remove agents; their queued steps go elsewhere
    Delete(Names),
    /// Let agents take steps
    Start(Names),
    /// Let agents take nothing; running steps end first
    Stop {
        #[command(flatten)]
        names: Names,
        /// End running steps at once, to be tried elsewhere
        #[arg(long)]
        now: bool,
    },
    /// Let agents keep what runs and take nothing new
    Pause(Names),
    /// Let paused agents go on
    Resume(Names),
    /// Check an agent's health now
    Health {
        /// Its name or id
        agent: String,
    },
    /// Show totals over all agents
    Stats,
    /// Show what happened to an agent
    Events {
        /// Its name or id
        agent: String,
        /// Only events after this position
        #[arg(long, default_value_t = 0, value_name = "SEQ")]
        after: u64,
    },
}

#[derive(Debug, Args)]
pub(super) struct Names {
    /// Names or ids
    #[arg(required = true, value_name = "AGENT")]
    agents: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Register {
    /// Its unique name
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// What stands behind it; `command` when a program is given
    #[arg(long = "type", value_name = "TYPE", value_parser = word::<AgentType>)]
    agent_type: Option<AgentType>,
    #[command(flatten)]
    change: Change,
    /// Check the endpoint and call it before anything is stored
    #[arg(long)]
    verify: bool,
    /// The whole description as a YAML or JSON file; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "agent_type", "program"])]
    file: Option<PathBuf>,
    /// The program and its arguments, after `--`, for agents of the type `command`
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Change {
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Where it is reached
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// What it can do; may be given several times
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<String>,
    /// How it is called, as JSON
    #[arg(long, value_name = "JSON", value_parser = json::<Map<String, Value>>)]
    settings: Option<Map<String, Value>>,
    /// Free JSON
    #[arg(long, value_name = "JSON", value_parser = json::<Map<String, Value>>)]
    metadata: Option<Map<String, Value>>,
    /// How many steps it runs at once
    #[arg(long, value_name = "N")]
    max_tasks: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only this status
    #[arg(long, value_parser = word::<AgentStatus>)]
    status: Option<AgentStatus>,
    /// Only active, healthy agents with this capability
    #[arg(long)]
    capability: Option<String>,
    /// Only this type
    #[arg(long = "type", value_name = "TYPE", value_parser = word::<AgentType>)]
    agent_type: Option<AgentType>,
    /// Only agents whose metadata has this value; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
    /// With all that the cluster had committed when it is asked, or not at all
    #[arg(long, value_name = "eventual|strong", value_parser = word::<Consistency>)]
    consistency: Option<Consistency>,
    /// How many, at most 200
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

impl Agent {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Outcome {
        match self {
            Self::Register(register) => {
                output.show(&client.register_agent(&register.spec()?).await?)
            }
            Self::List(list) => output.show(&client.agents(&list.query()).await?),
            Self::Get { agent } => output.show(&client.agent(&agent).await?),
            Self::Update { agent, change } => {
                output.show(&client.update_agent(&agent, &change.update()).await?)
            }
            Self::Set { agent, values } => {
                let update = set(&client.agent(&agent).await?, &values)?;
                output.show(&client.update_agent(&agent, &update).await?)
            }
            Self::Delete(names) => {
                each(names.agents, output, async |agent| {
                    client.delete_agent(&agent).await?;
                    Ok(Exit::Ok)
                })
                .await
            }
            Self::Start(names) => {
                each(names.agents, output, async |agent| {
                    output.show(&client.start_agent(&agent).await?)
                })
                .await
            }
            Self::Stop { names, now } => {
                let mode = if now {
                    StopMode::Now
                } else {
                    StopMode::Graceful
                };
                each(names.agents, output, async |agent| {
                    let view = client.stop_agent(&agent, mode).await?;
                    output.show(&view)?;
                    confirmed(&view.reach)
                })
                .await
            }
            Self::Pause(names) => {
                each(names.agents, output, async |agent| {
                    output.show(&client.pause_agent(&agent).await?)
                })
                .await
            }
            Self::Resume(names) => {
                each(names.agents, output, async |agent| {
                    output.show(&client.resume_agent(&agent).await?)
                })
                .await
            }
            Self::Health { agent } => output.show(&client.check_agent(&agent).await?),
            Self::Stats => output.show(&client.agent_stats().await?),
            Self::Events { agent, after } => {
                output.show(&client.agent_events(&agent, after).await?)
            }
        }
    }
}

impl Register {
    fn spec(self) -> Result<AgentSpec, Failure> {
        if let Some(file) = self.file {
            let text = read_text(&file)?;
            let spec: AgentSpec = serde_saphyr::from_str(&text).map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    format!("{} describes no agent", file.display()),
                )
                .because(error.render())
            })?;
            return Ok(AgentSpec {
                verify: spec.verify || self.verify,
                ..spec
            });
        }
        let mut config = self.change.settings.unwrap_or_default();
        if !self.program.is_empty() {
            config.insert("argv".to_owned(), json!(self.program));
        }
        let agent_type = match (self.agent_type, config.contains_key("argv")) {
            (Some(agent_type), _) => agent_type,
            (None, true) => AgentType::Command,
            (None, false) => {
                return Err(
                    Failure::new(Exit::Usage, "what stands behind the agent is not said")
                        .help("give --type, or a program after `--`"),
                );
            }
        };
        Ok(AgentSpec {
            name: self.name.unwrap_or_default(),
            description: self.change.description.unwrap_or_default(),
            agent_type,
            endpoint: self.change.endpoint,
            capabilities: self.change.capabilities,
            config,
            metadata: self.change.metadata.unwrap_or_default(),
            max_tasks: self.change.max_tasks.unwrap_or(DEFAULT_MAX_TASKS),
            resources: Resources::default(),
            placement: Placement::default(),
            verify: self.verify,
        })
    }
}

impl Change {
    fn update(self) -> AgentUpdate {
        AgentUpdate {
            description: self.description,
            endpoint: self.endpoint,
            capabilities: (!self.capabilities.is_empty()).then_some(self.capabilities),
            config: self.settings,
            metadata: self.metadata,
            max_tasks: self.max_tasks,
            resources: None,
            placement: None,
        }
    }
}

impl List {
    fn query(self) -> AgentQuery {
        AgentQuery {
            status: self.status,
            capability: self.capability,
            agent_type: self.agent_type,
            meta: self.meta,
            limit: self.limit,
            cursor: self.cursor,
            consistency: self.consistency.unwrap_or_default(),
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must have the form KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The change that sets single values of an agent.
fn set(agent: &AgentView, values: &[(String, String)]) -> Result<AgentUpdate, Failure> {
    let mut update = AgentUpdate::default();
    for (key, text) in values {
        let value: Value =
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
        let refused = |expected: &str| {
            Failure::new(
                Exit::Usage,
                format!("`{key}` takes {expected}, not `{text}`"),
            )
        };
        match key.split_once('.') {
            Some(("config", name)) => {
                let config = update.config.get_or_insert_with(|| agent.config.clone());
                config.insert(name.to_owned(), value);
            }
            Some(("metadata", name)) => {
                let metadata = update
                    .metadata
                    .get_or_insert_with(|| agent.metadata.clone());
                metadata.insert(name.to_owned(), value);
            }
            Some(_) => return Err(unknown(key)),
            None => match key.as_str() {
                "description" => update.description = Some(text.clone()),
                "endpoint" => update.endpoint = Some(text.clone()),
                "capabilities" => {
                    let parts = text.split(',').map(str::trim);
                    let names = parts.filter(|name| !name.is_empty()).map(str::to_owned);
                    update.capabilities = Some(names.collect());
                }
                "max_tasks" => {
                    let number = text.parse().map_err(|_| refused("a number"))?;
                    update.max_tasks = Some(number);
                }
                "config" => {
                    update.config = Some(value.as_object().ok_or_else(|| refused("JSON"))?.clone());
                }
                "metadata" => {
                    update.metadata =
                        Some(value.as_object().ok_or_else(|| refused("JSON"))?.clone());
                }
                _ => return Err(unknown(key)),
            },
        }
    }
    Ok(update)
}

fn unknown(key: &str) -> Failure {
    Failure::new(Exit::Usage, format!("an agent has no value `{key}`")).help(
        "known: description, endpoint, capabilities, max_tasks, config, config.NAME, metadata, metadata.NAME",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> AgentView {
        serde_json::from_value(json!({
            "id": "agent_01980000000070008000000000000001", "name": "a", "description": "",
            "agent_type": "echo", "endpoint": null, "capabilities": [], "status": "active",
            "config": {"timeout": "5s", "x": 1}, "metadata": {}, "max_tasks": 5,
            "resources": {"cpu": 0.0, "memory": 0},
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "node": "n", "actor_path": "/agents/a", "running_tasks": 0, "capacity": 5,
            "health": null, "circuit": "closed",
        }))
        .unwrap()
    }

    #[test]
    fn single_values_are_put_over_what_there_is() {
        let values = [
            "max_tasks=3",
            "config.timeout=30s",
            "metadata.team=[1]",
            "capabilities=a, b",
        ]
        .map(|text| pair(text).unwrap());
        let update = set(&agent(), &values).unwrap();
        assert_eq!(update.max_tasks, Some(3));
        assert_eq!(
            Value::Object(update.config.unwrap()),
            json!({"timeout": "30s", "x": 1})
        );
        assert_eq!(update.metadata.unwrap()["team"], json!([1]));
        assert_eq!(update.capabilities.unwrap(), ["a", "b"]);
        assert_eq!(update.description, None);
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_refused() {
        for text in ["nothing=1", "name=b", "max_tasks=many", "config=1", "x.y=1"] {
            let failure = set(&agent(), &[pair(text).unwrap()]).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{text}");
        }
    }
}
