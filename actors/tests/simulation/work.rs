//! What an active task does: takes mail, decides by the task's rules, gives steps to hosts.

mod effects;
mod hosts;

use std::{rc::Rc, time::Duration};

use actors::task::rules::{Assignee, Moment, Received};
use protocol::{
    allocation::ScoreCard,
    entity::EntityId,
    id::{AgentId, CommandId},
    plan::Plan,
    plan::PlanSource,
    task::{Event, StepStatus, TaskSpec},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    bug::Bug,
    link::{End, Message, Order},
    owner::{Effect, Mail, Phase, node_lost, run_of},
    world::World,
};

const AGAIN: Duration = Duration::from_secs(1);

/// A task that only waits leaves memory when the wait is longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

impl World {
    pub(crate) fn message(&mut self, n: usize, from: End, message: Message) {
        match message {
            Message::Submit(order) => self.submitted(n, order),
            Message::Create(stream, command, order) => {
                self.create(n, stream, Mail::Submit(command, order));
            }
            Message::Confirm(stream, order) => {
                self.tell(n, stream, Mail::Confirm(order));
            }
            Message::Read {
                order,
                ask,
                client,
                stream,
            } => {
                let mail = Mail::Read { order, ask, client };
                if !self.tell(n, stream, mail) && matches!(from, End::Client(_)) {
                    let forward = Message::Read {
                        order,
                        ask,
                        client,
                        stream,
                    };
                    self.send_to_owner(n, stream, forward);
                }
            }
            Message::Cancel(stream) => {
                if !self.tell(n, stream, Mail::Cancel) && matches!(from, End::Client(_)) {
                    self.send_to_owner(n, stream, Message::Cancel(stream));
                }
            }
            Message::Dispatch(owner, run) => self.dispatched(n, owner, &run),
            Message::Query(owner, run) => self.queried(n, owner, &run),
            Message::Probe(owner, run) => self.probed(n, owner, &run),
            Message::Stop(owner, run) => self.stopped(n, owner, &run),
            Message::Recorded(token) => self.recorded(n, token),
            Message::Result(host, run, outcome) => {
                self.tell(n, run.stream, Mail::Result(host, run.clone(), outcome));
            }
            Message::Begun(stream, token) | Message::Known(stream, token) => {
                if let Some(entity) = self.nodes[n].entities.get_mut(&stream) {
                    entity.unsure.remove(&token);
                }
            }
            Message::Unknown(stream, token) => {
                if self.nodes[n].entities.contains_key(&stream) {
                    self.tell(n, stream, Mail::NotThere(token));
                }
            }
            Message::Found(stream, step, number, finding) => {
                if self.nodes[n].entities.contains_key(&stream) {
                    self.tell(n, stream, Mail::Found(step, number, finding));
                }
            }
            Message::Accepted(..) | Message::Status { .. } => unreachable!("clients are told"),
        }
    }

    /// Names the task to be and has its owner make it.
    fn submitted(&mut self, n: usize, order: Rc<Order>) {
        let stream = EntityId::new(protocol::entity::EntityKind::Task, self.chance.uuid());
        let command = CommandId::from_uuid(self.chance.uuid());
        if self.nodes[n].holdings.activates(stream).is_some() {
            self.create(n, stream, Mail::Submit(command, order));
        } else {
            self.send_to_owner(n, stream, Message::Create(stream, command, order));
        }
    }

    /// Handles what waits, all of it before the next commit.
    pub(crate) fn serve(&mut self, n: usize, stream: EntityId) {
        let mut any = false;
        loop {
            let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
                return;
            };
            if entity.phase != Phase::Resting {
                return;
            }
            let Some(mail) = entity.mailbox.pop_front() else {
                break;
            };
            any = true;
            self.mail(n, stream, mail);
        }
        if any {
            self.flush(n, stream);
        }
    }

    fn mail(&mut self, n: usize, stream: EntityId, mail: Mail) {
        let (chance, now) = (self.chance.unit(), self.nodes[n].wall());
        let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
            return;
        };
        let moment = Moment {
            now,
            chance,
            limits: &self.limits,
        };
        let fresh = entity.head == 0 && !entity.has_staged();
        match mail {
            Mail::Submit(command, order) if fresh => {
                for event in made_of(&order) {
                    entity.stage(event, now);
                }
                entity.effects.push(Effect::Accept(order.clone()));
                self.remember(n, stream, command, order);
            }
            Mail::Submit(_, order) | Mail::Confirm(order) => {
                entity.effects.push(Effect::Accept(order));
            }
            Mail::Read { order, ask, client } => {
                entity.effects.push(Effect::Status { order, ask, client });
            }
            Mail::Cancel => {
                let event = entity.task.cancel("u", "enough");
                entity.stage_all(event.into_iter().collect(), now);
            }
            Mail::Result(host, run, outcome) => {
                let task = &entity.task;
                let received = task.receive(&run.step, run.number, &run.token, &outcome, moment);
                if let Received::Counts(events) = received {
                    entity.stage_all(events, now);
                }
                entity.unsure.remove(&run.token);
                let told = Effect::Recorded(host, run.token.clone());
                entity.effects.push(told);
            }
            Mail::NotThere(token) => {
                let events = entity
                    .task
                    .lose(&node_lost(), moment, |attempt| attempt.token == token);
                entity.stage_all(events, now);
            }
            Mail::Found(step, number, finding) => {
                let finding = (*finding).clone();
                let events = entity.task.probed(&step, number, finding, moment);
                entity.stage_all(events, now);
            }
            Mail::HostsGone => self.lose_gone(n, stream),
            Mail::Reminder(name, due) => self.reminded(n, stream, name, due),
            Mail::Look => {}
        }
    }

    fn reminded(&mut self, n: usize, stream: EntityId, name: String, due: Timestamp) {
        let wall = self.nodes[n].wall();
        self.trace(format_args!("{stream} is reminded of {name} {due}"));
        self.oracle.reminded(stream, &name, due, wall, self.now);
        if self.bug != Some(Bug::ReminderForgottenFirst) {
            self.ask(n, crate::store::Ask::Delivered { stream, name, due });
        }
    }

    pub(crate) fn wake(&mut self, n: usize, stream: EntityId, name: &str, due: Timestamp) {
        self.tell(n, stream, Mail::Reminder(name.to_owned(), due));
    }

    /// Decides what follows, writes everything that is staged, then acts on it.
    pub(crate) fn flush(&mut self, n: usize, stream: EntityId) {
        let now = self.nodes[n].wall();
        if let Some(entity) = self.nodes[n].entities.get_mut(&stream) {
            entity.looked = now;
            let expired = entity.task.expire(now);
            entity.stage_all(expired, now);
        }
        self.allocate(n, stream, now);
        let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
            return;
        };
        loop {
            let events = entity.task.conclude();
            if events.is_empty() {
                break;
            }
            entity.stage_all(events, now);
        }
        let task = &entity.task;
        let waits = entity.has_staged()
            && task.running() == 0
            && task.ready(now).next().is_none()
            && task.to_probe().next().is_none();
        let due = task.wake_at(now).filter(|_| waits);
        let idle = due.filter(|due| *due > now.plus(PATIENCE));
        self.commit(n, stream, idle);
    }

    fn allocate(&mut self, n: usize, stream: EntityId, now: Timestamp) {
        let hosts: Vec<_> = {
            let living = self.nodes[n].roster.living();
            living.map(|row| row.member.node).collect()
        };
        let Some(entity) = self.nodes[n].entities.get_mut(&stream) else {
            return;
        };
        let mut ready: Vec<_> = entity.task.ready(now).map(|(at, _)| at).collect();
        if self.bug == Some(Bug::IgnoredDependency) {
            let steps = entity.task.steps.iter().enumerate();
            let pending = steps.filter(|(_, step)| step.status == StepStatus::Pending);
            ready.extend(pending.map(|(at, _)| at));
        }
        for at in ready {
            let Some(host) = self.chance.pick(&hosts) else {
                return;
            };
            let token = self.chance.uuid().simple().to_string();
            let to = Assignee {
                agent: AgentId::from_uuid(Uuid::from_u128(7)),
                agent_name: "one".to_owned(),
                node: *host,
                node_name: String::new(),
                card: ScoreCard::default(),
            };
            let event = match entity.task.intend(at, to.clone(), token.clone(), now) {
                Ok(event) => event,
                Err(_) if self.bug == Some(Bug::IgnoredDependency) => Event::AttemptStarted {
                    step: entity.task.steps[at].spec.id.clone(),
                    number: 1,
                    agent: to.agent,
                    agent_name: to.agent_name,
                    node: to.node,
                    node_name: to.node_name,
                    token: token.clone(),
                    card: Box::new(to.card),
                },
                Err(_) => continue,
            };
            entity.stage(event, now);
            let step = &entity.task.steps[at];
            if let Some(attempt) = step.running() {
                let run = run_of(stream, step, attempt);
                entity.unsure.insert(token, run.clone());
                entity.effects.push(Effect::Dispatch(run));
            }
        }
    }
}

fn made_of(order: &Order) -> [Event; 2] {
    let spec = TaskSpec {
        description: order.key.clone(),
        ..TaskSpec::default()
    };
    let plan = Plan {
        source: PlanSource::Explicit,
        steps: order.steps.clone(),
    };
    [
        Event::Submitted {
            spec: Box::new(spec),
            user: "u".to_owned(),
            trace: None,
        },
        Event::Planned { plan },
    ]
}
