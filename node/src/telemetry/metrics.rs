//! The metrics recorder, and gauges of the process and its machine.

use std::{fs, sync::OnceLock, time::Duration};

use actors::Orchestrator;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

/// The recorder is the process's, however many nodes it holds.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

const PERIOD: Duration = Duration::from_secs(5);

/// A look at every actor comes with each so many samples.
const MEASURED: u32 = 2;

/// Upper bounds of histogram buckets in seconds, from a store write to a request that waits for its
/// task; dense where the goals for both lie.
const SECONDS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0,
];

/// Upper bounds of histogram buckets for what is counted.
const ITEMS: [f64; 11] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

/// Installs the recorder, unless this process has one.
pub(crate) fn install_recorder() {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(&SECONDS).ok()?;
        let batch = Matcher::Full(runtime::metrics::APPEND_BATCH.to_owned());
        let builder = builder.set_buckets_for_metric(batch, &ITEMS).ok()?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // When the embedding program has its own recorder, metrics are shown there.
        metrics::set_global_recorder(recorder).ok()?;
        describe();
        Some(handle)
    });
}

/// All metrics in Prometheus' text format.
pub(crate) fn render() -> String {
    let handle = RECORDER.get().and_then(Option::as_ref);
    handle.map(PrometheusHandle::render).unwrap_or_default()
}

/// Keeps histograms small, samples process and machine, and tells the orchestrator, and who else
/// asks, how the machine stands; ends when it is dropped.
pub(crate) async fn sample_for_ever(
    orchestrator: Orchestrator,
    measured: watch::Sender<Option<Used>>,
) {
    let mut sampler = Sampler::new();
    let mut samples = 0_u32;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(handle) = RECORDER.get().and_then(Option::as_ref) {
            handle.run_upkeep();
        }
        if samples.is_multiple_of(MEASURED) {
            orchestrator.measure();
        }
        samples = samples.wrapping_add(1);
        if let Some(sampler) = &mut sampler {
            let used = sampler.sample();
            orchestrator.observe(used.cpu, used.memory);
            measured.send_replace(Some(used));
        }
    }
}

fn describe() {
    runtime::metrics::describe();
    actors::metrics::describe();
    #[cfg(feature = "otlp")]
    super::traces::describe();
    describe_gauge!(
        "troupe_process_cpu_ratio",
        "Processor time that this process uses; 1 is one core"
    );
    describe_gauge!(
        "troupe_process_resident_bytes",
        "Memory that this process holds"
    );
    describe_gauge!(
        "troupe_process_open_files",
        "File descriptors that this process has open"
    );
    describe_gauge!(
        "troupe_host_cpu_ratio",
        "Share of the machine's processors in use"
    );
    describe_gauge!(
        "troupe_host_memory_ratio",
        "Share of the machine's memory in use"
    );
}

/// Shares of the machine in use, from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) cpu: f64,
    pub(crate) memory: f64,
}

struct Sampler {
    system: System,
    pid: Pid,
}

impl Sampler {
    /// None on a machine that sysinfo does not know.
    fn new() -> Option<Self> {
        Some(Self {
            system: System::new().ok()?,
            pid: sysinfo::get_current_pid().ok()?,
        })
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are floats; sizes stay far below 2^52"
    )]
    fn sample(&mut self) -> Used {
        let system = &mut self.system;
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        system.refresh_cpu_usage();
        let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.pid]), true, kind);

        let used = Used {
            cpu: (f64::from(system.global_cpu_usage()) / 100.0).clamp(0.0, 1.0),
            // A machine that does not say how much it has counts as free.
            memory: match system.total_memory() {
                0 => 0.0,
                total => (system.used_memory() as f64 / total as f64).clamp(0.0, 1.0),
            },
        };
        gauge!("troupe_host_cpu_ratio").set(used.cpu);
        gauge!("troupe_host_memory_ratio").set(used.memory);
        if let Some(process) = system.process(self.pid) {
            gauge!("troupe_process_cpu_ratio").set(f64::from(process.cpu_usage()) / 100.0);
            gauge!("troupe_process_resident_bytes").set(process.memory() as f64);
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            gauge!("troupe_process_open_files").set(files.count() as f64);
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_install_keeps_the_first_recorder_and_samples_are_rendered() {
        install_recorder();
        let used = Sampler::new().unwrap().sample();
        assert!(used.memory > 0.0 && used.memory <= 1.0, "{used:?}");
        install_recorder();
        let text = render();
        assert!(text.contains("troupe_process_resident_bytes"), "{text}");
        assert!(text.contains("troupe_process_open_files"), "{text}");
    }

    #[test]
    fn histograms_have_buckets_of_their_own_kind_and_a_meaning() {
        install_recorder();
        metrics::histogram!(runtime::metrics::APPEND_SECONDS).record(0.003);
        metrics::histogram!(runtime::metrics::APPEND_BATCH).record(100.0);
        let text = render();
        for line in [
            "# HELP troupe_append_seconds ",
            "# TYPE troupe_append_seconds histogram",
            "troupe_append_seconds_bucket{le=\"0.0025\"} 0",
            "troupe_append_seconds_bucket{le=\"0.005\"} 1",
            "troupe_append_batch_bucket{le=\"64\"} 0",
            "troupe_append_batch_bucket{le=\"128\"} 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
