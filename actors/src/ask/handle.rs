//! Brings questions to the owner of their task, and from there to the agents that are asked.

mod asks;
mod callers;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use protocol::{
    agent::Mode,
    id::{NodeId, TaskId},
    plan::Effect,
    task::{Failure, Outcome},
    time::Timestamp,
    wire::{Service, Trace},
};
use runtime::{
    cluster::Fault,
    trace::{self, Kind, Origin, Span},
};
use serde_json::{Map, Value, json};
use tokio::{sync::oneshot, time::Instant};

pub use self::callers::among;
pub(crate) use self::{
    asks::{Asked, Asks, Pending},
    callers::Callers,
};
use super::{
    message::{Put, Reply},
    rules,
};
use crate::{
    adapter::{AskError, Asker, Call, Question, Replies, Spent},
    agent::token_hash,
    allocator::Circuit,
    cluster::Owner,
    host::{Report, Run, read, write},
    registry::{Agent, Slot},
    services::Services,
    task::actor as task,
};

/// How long a question waits for a slot, however long its answer may take: those that wait for each
/// other's slots find an end.
const SLOT_WITHIN: Duration = Duration::from_secs(10);

/// How long a task may take to say who works for it.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);

/// How often it is looked whether the node that is to answer can be reached.
const LOOK: Duration = Duration::from_millis(250);

/// How much later than asked for a host's answer may come; it counts the time itself.
const GRACE: Duration = Duration::from_secs(1);

/// Answers questions about tasks that this node owns, from now on.
pub(crate) fn serve(services: &Services, callers: &Callers) {
    callers.provide(services);
    let own = services.clone();
    services.hosts.around.net.serve(
        Service::ASK,
        Arc::new(move |incoming| {
            let services = own.clone();
            Box::pin(async move {
                let put: Put =
                    read(&incoming.payload).map_err(|error| Fault::Refused(error.to_string()))?;
                let from = incoming.from.node;
                let question = Question {
                    of: put.of,
                    agent: put.agent,
                    input: put.input,
                    within: Duration::from_millis(put.within),
                };
                Ok(write(&services.asked(from, question).await))
            })
        }),
    );
}

/// In whose name a question is asked.
#[derive(Debug, Clone)]
struct Standing {
    tenant: Arc<str>,
    /// Who asked whom, the one that asks now at the end.
    path: Vec<String>,
    /// By when the one that asks must have its own answer.
    until: Option<Instant>,
}

impl Services {
    /// Puts a question that the agents of node `from` ask to whom it is for.
    async fn asked(&self, from: NodeId, question: Question) -> Reply {
        if self.hosts.owner(question.of.task) != Owner::Here {
            return Reply::Elsewhere;
        }
        match self.put(from, question).await {
            Ok(answer) => Reply::Answered(answer),
            Err(error) => Reply::Failed(error),
        }
    }

    async fn put(&self, from: NodeId, question: Question) -> Result<Value, AskError> {
        let standing = self.standing(from, &question.of, &question.agent).await?;
        let mut until = Instant::now() + question.within;
        if let Some(limit) = standing.until {
            until = until.min(limit);
        }
        let tenant = self.registry.tenant(&standing.tenant);
        let Some(agent) = tenant.agent(&question.agent).cloned() else {
            let agent = question.agent;
            return Err(AskError::NotFound { agent });
        };
        rules::admit(&standing.path, &agent.name)?;
        let token = self.dice.token();
        let key = u128::from_le_bytes(token);
        let slot = self.slot(&agent, question.of.task, key, until).await?;
        let (answer, answered) = oneshot::channel();
        let node = match slot.booking() {
            Some(booking) => booking.node,
            None => self.hosts.me(),
        };
        let mut path = standing.path;
        path.push(agent.name.clone());
        // Whoever asks on does so in the name of this question; its name is guessed by nobody.
        let step = format!("ask-{}", uuid::Uuid::new_v4().simple());
        let pending = Pending {
            task: question.of.task,
            by: (question.of.step.clone(), question.of.number),
            agent: agent.id,
            token,
            node,
            tenant: standing.tenant,
            path: path.clone(),
            until,
            answer,
            stopped: AtomicBool::new(false),
        };
        let _waiting = self.asks.wait(self, &agent, &step, pending);
        let asked = trace::current_trace().map(|asked| (asked, trace::below(asked)));
        let started = self.clock.now();
        let run = Run {
            call: Call {
                trace: asked.map(|(_, at)| at),
                ..call(&question, &step, &path, until)
            },
            // It is told apart whether the agent can have taken effect.
            effect: Effect::Irreversible,
            slot,
            report: Report::new(self.hosts.clone(), question.of.task, &step, 1, token),
        };
        self.hosts.dispatch(&agent, Box::new(run));
        let answer = self.answer(node, &agent, answered, until).await;
        if let Some((asked, at)) = asked.filter(|(asked, _)| trace::records(*asked)) {
            let times = (started, self.clock.now());
            let code = answer.as_ref().err().map(AskError::code);
            trace::record(self.span((asked, at), times, (&agent, question.of.task), code));
        }
        answer
    }

    /// A question as a part of the trace of the one that asks.
    fn span(
        &self,
        (asked, at): (Trace, Trace),
        (started, ended): (Timestamp, Timestamp),
        (agent, task): (&Agent, TaskId),
        error: Option<&'static str>,
    ) -> Span {
        let mut attributes = vec![
            ("gen_ai.operation.name", "invoke_agent".into()),
            ("gen_ai.provider.name", "troupe".into()),
            ("gen_ai.agent.id", agent.id.to_string().into()),
            ("gen_ai.agent.name", agent.name.clone().into()),
            ("troupe.task.id", task.to_string().into()),
            ("troupe.node.id", self.hosts.me().to_string().into()),
        ];
        attributes.extend(error.map(|code| ("error.type", code.into())));
        Span {
            node: self.hosts.me(),
            at,
            parent: Some(asked.span),
            origin: Origin::Elsewhere,
            name: format!("invoke_agent {}", agent.name).into(),
            kind: Kind::Client,
            started,
            ended,
            attributes,
            notes: Vec::new(),
            links: Vec::new(),
            error: error.map(str::to_owned),
        }
    }

    /// Who asks, as its task knows.
    async fn standing(&self, from: NodeId, of: &Asker, asked: &str) -> Result<Standing, AskError> {
        if let Some(standing) = self.asks.standing(from, of) {
            return Ok(standing);
        }
        let (reply, read) = oneshot::channel();
        let asker = of.clone();
        let message = task::Message::Read(Box::new(move |task, _| {
            let step = task.position(&asker.step).map(|index| &task.steps[index]);
            let attempt = step.and_then(|step| step.running());
            let by = attempt
                .filter(|_| !task.cancelling)
                .filter(|attempt| attempt.number == asker.number && attempt.node == from)
                .map(|attempt| attempt.agent);
            // Whoever asked may be gone.
            let _ = reply.send(by);
        }));
        let read = async {
            self.tasks.tell(of.task.into(), message).await.ok()?;
            self.registry.get(read.await.ok().flatten()?)
        };
        let Ok(Some(by)) = tokio::time::timeout(KNOWN_WITHIN, read).await else {
            let message = "the attempt that asks is not one that runs for its task".to_owned();
            return Err(AskError::Unavailable {
                agent: asked.to_owned(),
                message,
            });
        };
        Ok(Standing {
            tenant: by.tenant.as_str().into(),
            path: vec![by.name.clone()],
            until: None,
        })
    }

    /// A slot of the agent, waited for a while.
    async fn slot(
        &self,
        agent: &Arc<Agent>,
        task: TaskId,
        key: u128,
        until: Instant,
    ) -> Result<Slot, AskError> {
        let until = until.min(Instant::now() + SLOT_WITHIN);
        let mut pause = Duration::from_millis(5);
        loop {
            let facts = agent.facts();
            if facts.mode != Mode::Started {
                return Err(unavailable(agent, "it is not started"));
            }
            let node = facts.host.as_ref().map(|(_, name)| &**name);
            let held = self.holds.get();
            let hold = held
                .as_ref()
                .and_then(|held| held.on_agent(&agent.tenant, &facts.spec, node));
            if let Some(hold) = hold {
                return Err(unavailable(agent, &crate::task::why::held(hold)));
            }
            if facts.admits == Circuit::Open {
                return Err(unavailable(agent, "its circuit is open"));
            }
            let slot = match agent.hosted.gate.take() {
                None if facts.host.is_some() && !agent.is_here(&facts) => {
                    agent.lent();
                    self.hosts.reserve(agent, task, place(key)).await
                }
                here => here,
            };
            if let Some(slot) = slot {
                return Ok(slot);
            }
            if Instant::now() + pause >= until {
                return Err(match facts.host {
                    Some(_) => AskError::Busy {
                        agent: agent.name.clone(),
                    },
                    None => unavailable(agent, "no node hosts it"),
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    /// Waits for the answer, for the end or the absence of the node that is to give it, or for the end
    /// of patience.
    async fn answer(
        &self,
        node: NodeId,
        agent: &Agent,
        mut answered: oneshot::Receiver<Outcome>,
        until: Instant,
    ) -> Result<Value, AskError> {
        let cluster = self.hosts.around.cluster.clone();
        let mut changes = cluster.changes();
        let end = tokio::time::sleep_until(until + GRACE);
        tokio::pin!(end);
        loop {
            if node != self.hosts.me() && cluster.gone(node) {
                let message = format!("the node that ran agent {} is gone", agent.name);
                return Err(AskError::Lost { message });
            }
            if rules::is_given_up(cluster.parted(node)) {
                let message = format!("the node that ran agent {} cannot be reached", agent.name);
                return Err(AskError::Lost { message });
            }
            tokio::select! {
                biased;
                outcome = &mut answered => return match outcome {
                    Ok(outcome) => told(agent, outcome),
                    Err(_) => Err(AskError::Lost { message: "the question was forgotten".to_owned() }),
                },
                () = &mut end => return Err(AskError::Deadline),
                () = next(&mut changes) => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// The next change; none comes when nobody tells of nodes any more.
async fn next(changes: &mut tokio::sync::watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Under which number a host keeps the slot.
fn place(key: u128) -> usize {
    let folded = (key ^ (key >> 64)) & u128::from(u32::MAX);
    usize::try_from(folded).unwrap_or(usize::MAX)
}

fn call(question: &Question, step: &str, path: &[String], until: Instant) -> Call {
    let by = path.iter().rev().nth(1).map_or("", String::as_str);
    let task = question.of.task;
    Call {
        task,
        step: step.to_owned(),
        attempt: 1,
        idempotency_key: format!("{task}/{step}"),
        description: format!("a question of agent {by}").into(),
        task_input: json!({ "asked_by": path[..path.len() - 1] }).into(),
        input: question.input.clone(),
        needs: Map::new(),
        replies: Replies::new(),
        timeout: until.saturating_duration_since(Instant::now()),
        trace: None,
        spent: Spent::default(),
    }
}

fn unavailable(agent: &Agent, message: &str) -> AskError {
    AskError::Unavailable {
        agent: agent.name.clone(),
        message: message.to_owned(),
    }
}

/// What its outcome is to the one that asked.
fn told(agent: &Agent, outcome: Outcome) -> Result<Value, AskError> {
    let name = &agent.name;
    match outcome {
        Outcome::Succeeded { output } => Ok(output),
        Outcome::Failed { error, .. } if error.code == "not_started" => {
            Err(unavailable(agent, &error.message))
        }
        Outcome::Failed { error, .. } if error.code == "too_large" => Err(AskError::TooLarge {
            message: error.message,
        }),
        Outcome::Failed { error, .. } | Outcome::Lost { error } if error.code == "timeout" => {
            Err(AskError::Deadline)
        }
        Outcome::Failed { error, retryable } => Err(AskError::Failed {
            failure: error,
            retryable,
        }),
        Outcome::Lost { error } => Err(AskError::Lost {
            message: format!("agent {name}: {}", error.message),
        }),
        Outcome::Waits { .. } => Err(AskError::Failed {
            failure: Failure::new(
                "asks_people",
                format!("agent {name} asks people, for whom only a step can wait"),
            ),
            retryable: false,
        }),
        Outcome::Cancelled => Err(AskError::Lost {
            message: format!("agent {name} was stopped while it worked"),
        }),
    }
}
