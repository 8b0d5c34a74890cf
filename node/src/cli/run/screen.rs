//! Shows steps as they run: live on a terminal, a line for each event elsewhere.

use std::{collections::BTreeMap, io::IsTerminal, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use protocol::{
    api::{EventView, TaskView},
    task::StepStatus,
};

use super::progress::{Progress, Step};
use crate::cli::output::{Output, visible};

/// How the task's steps are shown.
pub(super) struct Screen<'a> {
    output: &'a Output,
    progress: Progress,
    live: Option<Live>,
}

/// Bars beyond this many would scroll; steps that ended give theirs back then.
const MAX_BARS: usize = 25;

struct Live {
    bars: MultiProgress,
    total: ProgressBar,
    steps: BTreeMap<String, ProgressBar>,
}

impl<'a> Screen<'a> {
    pub(super) fn new(output: &'a Output, task: &TaskView) -> Self {
        let live =
            !output.is_quiet() && !output.is_for_programs() && std::io::stderr().is_terminal();
        Self {
            output,
            progress: Progress::default(),
            live: live.then(|| Live::new(task)),
        }
    }

    /// Takes an event in.
    pub(super) fn show(&mut self, event: &EventView) {
        let lines = self.progress.apply(event);
        match &mut self.live {
            Some(live) => live.draw(&self.progress),
            None => lines
                .iter()
                .for_each(|line| self.output.note(&visible(line))),
        }
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.total.finish();
            for bar in live.steps.values() {
                bar.abandon();
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Live {
    fn new(task: &TaskView) -> Self {
        let bars = MultiProgress::new();
        let total = bars.add(ProgressBar::new(0));
        total.set_style(style("{bar:30} {pos}/{len} steps  {elapsed}  {msg}"));
        total.set_message(visible(&task.id.to_string()));
        total.enable_steady_tick(TICK);
        Self {
            bars,
            total,
            steps: BTreeMap::new(),
        }
    }

    fn draw(&mut self, progress: &Progress) {
        let count = progress.steps().count();
        let settled = progress
            .steps()
            .filter(|(_, step)| step.status.is_settled());
        self.total.set_position(settled.count() as u64);
        self.total.set_length(count as u64);
        for (id, step) in progress.steps() {
            self.draw_step(id, step, count);
        }
    }

    fn draw_step(&mut self, id: &str, step: &Step, count: usize) {
        if step.status == StepStatus::Pending {
            return;
        }
        if !self.steps.contains_key(id) {
            let bar = self
                .bars
                .insert_before(&self.total, ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {prefix:<16} {msg}"));
            bar.set_prefix(visible(id));
            bar.enable_steady_tick(TICK);
            self.steps.insert(id.to_owned(), bar);
        }
        let Some(bar) = self.steps.get(id).filter(|bar| !bar.is_finished()) else {
            return;
        };
        let agent = step.agent.as_deref().unwrap_or("-");
        let mut message = format!("{:<10} {agent}", step.status.as_str());
        if let Some(took) = step.took {
            message.push_str(&format!("  {:.1} s", took.as_secs_f64()));
        }
        if let Some(error) = &step.error {
            message.push_str(&format!("  {error}"));
        }
        let message = visible(&message);
        if !step.status.is_settled() {
            bar.set_message(message);
        } else if count > MAX_BARS {
            bar.finish_and_clear();
        } else {
            bar.set_style(style(&format!(
                "{} {{prefix:<16}} {{msg}}",
                mark(step.status)
            )));
            bar.finish_with_message(message);
        }
    }
}

const TICK: Duration = Duration::from_millis(100);

const fn mark(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Completed => "✓",
        StepStatus::Failed | StepStatus::Unknown => "✗",
        StepStatus::Skipped | StepStatus::Cancelled => "–",
        StepStatus::Pending | StepStatus::Queued | StepStatus::Running => " ",
    }
}
