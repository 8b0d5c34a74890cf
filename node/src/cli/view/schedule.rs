//! What tables show of schedules, triggers and what they started.

use protocol::{
    api::{FiringView, Page, ScheduleView, TriggerView},
    schedule::Target,
    trigger::Occasion,
};

use super::{Block, View, cut, moment, or_dash};
use crate::cli::{output::Detail, schedule::state};

/// Characters of a reason that a table shows.
const NARROW: usize = 60;

fn when(schedule: &ScheduleView) -> String {
    let spec = &schedule.spec;
    match (&spec.cron, spec.at, spec.every) {
        (Some(cron), _, _) => match &spec.tz {
            Some(zone) => format!("{cron} ({zone})"),
            None => cron.clone(),
        },
        (None, Some(at), _) => format!("at {}", moment(at)),
        (None, None, Some(every)) => format!("every {every}"),
        (None, None, None) => "-".to_owned(),
    }
}

fn target(target: &Target) -> String {
    match (&target.workflow, &target.task, &target.template) {
        (Some(workflow), _, _) => format!("workflow {workflow}"),
        (None, Some(task), _) => format!("task {}", cut(&task.description, NARROW)),
        (None, None, Some(template)) => format!("template {template}"),
        (None, None, None) => "-".to_owned(),
    }
}

impl View for ScheduleView {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        vec![Block::Fields(vec![
            ("id", self.id.to_string()),
            ("name", self.name.clone()),
            ("status", self.status.clone()),
            ("when", when(self)),
            ("starts", target(&self.spec.target)),
            ("next", or_dash(self.next_at.map(moment))),
            ("last", or_dash(self.last_at.map(moment))),
            ("fired", self.fired.to_string()),
            ("passed", self.passed.to_string()),
            ("failed", self.failed.to_string()),
            ("queued", self.queued.to_string()),
            ("paused", or_dash(self.paused.as_ref())),
            ("user", self.user_id.clone()),
            ("created", moment(self.created_at)),
        ])]
    }
}

impl View for Page<ScheduleView> {
    fn ids(&self) -> Vec<String> {
        self.items.iter().flat_map(View::ids).collect()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let header = vec!["ID", "NAME", "STATUS", "WHEN", "NEXT", "FIRED", "PASSED"];
        let row = |schedule: &ScheduleView| {
            vec![
                schedule.id.to_string(),
                schedule.name.clone(),
                schedule.status.clone(),
                when(schedule),
                or_dash(schedule.next_at.map(moment)),
                schedule.fired.to_string(),
                schedule.passed.to_string(),
            ]
        };
        let rows = self.items.iter().map(row).collect();
        vec![Block::Rows { header, rows }]
    }
}

fn waits(trigger: &TriggerView) -> String {
    match (&trigger.spec.on.event, &trigger.url) {
        (Some(event), _) => event.as_str().to_owned(),
        (None, Some(url)) => url.clone(),
        (None, None) => "-".to_owned(),
    }
}

impl View for TriggerView {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        vec![Block::Fields(vec![
            ("id", self.id.to_string()),
            ("name", self.name.clone()),
            ("status", self.status.clone()),
            ("on", waits(self)),
            ("starts", target(&self.spec.target)),
            ("last", or_dash(self.last_at.map(moment))),
            ("fired", self.fired.to_string()),
            ("failed", self.failed.to_string()),
            ("paused", or_dash(self.paused.as_ref())),
            ("user", self.user_id.clone()),
            ("created", moment(self.created_at)),
        ])]
    }
}

impl View for Page<TriggerView> {
    fn ids(&self) -> Vec<String> {
        self.items.iter().flat_map(View::ids).collect()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let header = vec!["ID", "NAME", "STATUS", "ON", "FIRED", "FAILED"];
        let row = |trigger: &TriggerView| {
            vec![
                trigger.id.to_string(),
                trigger.name.clone(),
                trigger.status.clone(),
                waits(trigger),
                trigger.fired.to_string(),
                trigger.failed.to_string(),
            ]
        };
        let rows = self.items.iter().map(row).collect();
        vec![Block::Rows { header, rows }]
    }
}

fn occasion(firing: &FiringView) -> String {
    match (&firing.slot, &firing.occasion) {
        (Some(slot), _) => moment(*slot),
        (None, Some(Occasion::Event { entity, seq })) => format!("{entity}:{seq}"),
        (None, Some(Occasion::Delivery(id))) => cut(id, NARROW),
        (None, None) => moment(firing.at),
    }
}

fn why(firing: &FiringView) -> String {
    match (&firing.error, firing.count) {
        (Some(error), _) => cut(&error.message, NARROW),
        (None, Some(count)) if count > 1 => format!("{count} slots"),
        (None, Some(_) | None) => "-".to_owned(),
    }
}

fn row(firing: &FiringView) -> Vec<String> {
    vec![
        occasion(firing),
        state(firing.state).to_owned(),
        or_dash(firing.run),
        or_dash(firing.outcome.map(|outcome| outcome.as_str())),
        why(firing),
    ]
}

const HEADER: [&str; 5] = ["FOR", "STATE", "RUN", "OUTCOME", "WHY"];

impl View for FiringView {
    fn ids(&self) -> Vec<String> {
        self.run.iter().map(ToString::to_string).collect()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let (header, rows) = (HEADER.to_vec(), vec![row(self)]);
        vec![Block::Rows { header, rows }]
    }
}

impl View for Page<FiringView> {
    fn ids(&self) -> Vec<String> {
        self.items.iter().flat_map(View::ids).collect()
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let (header, rows) = (HEADER.to_vec(), self.items.iter().map(row).collect());
        vec![Block::Rows { header, rows }]
    }
}
