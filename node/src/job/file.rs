//! A job file as it is written, with the place of each name.

use std::{collections::BTreeMap, path::Path};

use protocol::{
    agent::{AgentSpec, AgentType, Placement, Resources},
    plan::{Effect, RetryPolicy, StepSpec},
    task::Budget,
    time::Span,
    words,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use super::{Fault, Input, Job};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    inputs: BTreeMap<String, Input>,
    pub(super) agents: Vec<Agent>,
    pub(super) steps: Spanned<Vec<Step>>,
    #[serde(default)]
    budget: Budget,
    pub(super) report: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    description: String,
    #[serde(alias = "type")]
    agent_type: AgentType,
    endpoint: Option<String>,
    #[serde(default)]
    pub(super) capabilities: Vec<String>,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default = "default_max_tasks")]
    max_tasks: u32,
    #[serde(default)]
    resources: Resources,
    #[serde(default)]
    placement: Placement,
}

const fn default_max_tasks() -> u32 {
    protocol::agent::DEFAULT_MAX_TASKS
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) id: Spanned<String>,
    pub(super) agent: Option<Spanned<String>>,
    pub(super) capability: Option<Spanned<String>>,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    pub(super) needs: Vec<Spanned<String>>,
    #[serde(default)]
    effect: Effect,
    retry: Option<RetryPolicy>,
    timeout: Option<Span>,
}

pub(super) fn parse(text: &str) -> Result<File, Fault> {
    // Snippets are drawn by us, so that faults of all kinds look alike.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let location = error.location();
        let message = error.without_snippet().to_string();
        Fault {
            line: location.map_or(0, |l| l.line()),
            column: location.map_or(0, |l| l.column()),
            message: words::plain(without_place(&message)),
        }
    })
}

/// The place stands in front already.
fn without_place(message: &str) -> &str {
    let message = message.lines().next().unwrap_or(message);
    match message.rfind(" at line ") {
        Some(index) => &message[..index],
        None => message,
    }
}

impl File {
    pub(super) fn into_job(self, folder: &Path) -> Job {
        let description = match self.description.trim() {
            "" => self.name.clone(),
            text => text.to_owned(),
        };
        Job {
            name: self.name,
            description,
            inputs: self.inputs,
            agents: self
                .agents
                .into_iter()
                .map(|agent| agent.into_spec(folder))
                .collect(),
            steps: self.steps.value.into_iter().map(Step::into_spec).collect(),
            budget: self.budget,
            report: self.report.map(|report| report.value),
        }
    }
}

impl Agent {
    fn into_spec(mut self, folder: &Path) -> AgentSpec {
        let program = self
            .config
            .get_mut("argv")
            .and_then(Value::as_array_mut)
            .and_then(|argv| argv.first_mut());
        if let Some(Value::String(program)) = program
            && program.contains('/')
        {
            // An absolute path replaces the folder.
            *program = folder
                .join(program.trim_start_matches("./"))
                .display()
                .to_string();
        }
        AgentSpec {
            name: self.name.value,
            description: self.description,
            agent_type: self.agent_type,
            endpoint: self.endpoint,
            capabilities: self.capabilities,
            config: self.config,
            metadata: self.metadata,
            max_tasks: self.max_tasks,
            resources: self.resources,
            placement: self.placement,
            verify: false,
        }
    }
}

impl Step {
    fn into_spec(self) -> StepSpec {
        StepSpec {
            id: self.id.value,
            agent: self.agent.map(|agent| agent.value),
            capability: self.capability.map(|capability| capability.value),
            description: None,
            input: self.input,
            needs: self.needs.into_iter().map(|need| need.value).collect(),
            effect: self.effect,
            retry: self.retry,
            timeout: self.timeout,
        }
    }
}
