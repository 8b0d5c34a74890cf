//! What the benches share: figures beside their goals, percentiles, and what the machine says.

pub mod calls;
pub mod http;
pub mod node;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// How a bench ends.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What a figure is measured against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// The more the better.
    AtLeast(f64),
    /// The less the better.
    Under(f64),
    /// No goal; the figure is stated.
    None,
}

/// Prints one figure of a report: what was measured, what came of it, the goal, and whether it is
/// reached.
pub fn figure(name: &str, value: f64, unit: &str, goal: Goal) {
    let (goal, verdict) = match goal {
        Goal::AtLeast(bound) => (format!("goal >= {}", round(bound)), verdict(value >= bound)),
        Goal::Under(bound) => (format!("goal <  {}", round(bound)), verdict(value < bound)),
        Goal::None => (String::new(), ""),
    };
    let value = round(value);
    let line = format!("{name:<58} {value:>10} {unit:<8} {goal:<16} {verdict}");
    say(line.trim_end());
}

const fn verdict(reached: bool) -> &'static str {
    if reached { "met" } else { "MISSED" }
}

/// Three digits that count, and no decimals from 100 up.
fn round(value: f64) -> String {
    let decimals = match value.abs() {
        large if large >= 100.0 => 0,
        medium if medium >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// Prints a line of the report.
#[expect(
    clippy::print_stdout,
    reason = "a bench is a program that prints its report"
)]
pub fn say(line: &str) {
    println!("{line}");
}

/// Starts measuring; `elapsed` of what it gives is the time since.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench measures how long things really take"
)]
#[must_use]
pub fn stopwatch() -> std::time::Instant {
    std::time::Instant::now()
}

/// How long each of many calls took.
#[derive(Debug, Clone, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one call.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// The time, in milliseconds, that a `share` of the calls did not exceed, by nearest rank.
    #[must_use]
    pub fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted
            .get(rank.clamp(1, sorted.len().max(1)) - 1)
            .map_or(f64::NAN, |took| took.as_secs_f64() * 1000.0)
    }
}

/// Calls a second.
#[must_use]
pub fn rate(calls: usize, took: Duration) -> f64 {
    calls as f64 / took.as_secs_f64()
}

/// Makes `calls` calls, as many at a time as there are clients; each client makes its share one after
/// another.
///
/// # Errors
///
/// That of the first call that fails.
pub async fn load<C, Call>(
    clients: Vec<C>,
    calls: usize,
    call: impl Fn(C) -> Call + Clone + Send + 'static,
) -> Result<Latencies>
where
    C: Send + 'static,
    Call: Future<Output = Result<C>> + Send,
{
    let count = clients.len();
    let mut generators = tokio::task::JoinSet::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        let share = calls / count + usize::from(number < calls % count);
        let call = call.clone();
        generators.spawn(async move {
            let mut calls = Latencies::default();
            for _ in 0..share {
                let watch = stopwatch();
                client = call(client).await?;
                calls.add(watch.elapsed());
            }
            Result::Ok(calls)
        });
    }
    let mut all = Latencies::default();
    while let Some(calls) = generators.join_next().await {
        all.0.extend(calls??.0);
    }
    Ok(all)
}

/// Where this workspace is built, on a real disk: in memory, a commit costs nothing.
#[must_use]
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    )
}

/// A fresh folder on the disk that holds the build; it goes with its last use.
///
/// # Errors
///
/// When it cannot be made.
pub fn scratch() -> io::Result<tempfile::TempDir> {
    let parent = target_dir().join("bench-data");
    fs::create_dir_all(&parent)?;
    tempfile::tempdir_in(parent)
}

/// Bytes of all files below a folder.
#[must_use]
pub fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Memory that a process has in use, in mebibytes.
///
/// # Errors
///
/// When the process is gone.
pub fn resident_mib(process: u32) -> io::Result<f64> {
    mebibytes(&format!("/proc/{process}/status"), "VmRSS:")
}

/// The same without pages of files: what the kernel maps of a program depends on what of it was read before.
///
/// # Errors
///
/// When the process is gone.
pub fn anonymous_mib(process: u32) -> io::Result<f64> {
    mebibytes(&format!("/proc/{process}/status"), "RssAnon:")
}

/// The same, pages that several processes share counted in parts: such sums are true.
///
/// # Errors
///
/// When the process is gone, or is another user's.
pub fn proportional_mib(process: u32) -> io::Result<f64> {
    mebibytes(&format!("/proc/{process}/smaps_rollup"), "Pss:")
}

fn mebibytes(file: &str, field: &str) -> io::Result<f64> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|rest| {
        let number = rest.trim().trim_end_matches("kB").trim();
        number.parse::<f64>().ok()
    });
    kib.map(|kib| kib / 1024.0)
        .ok_or_else(|| io::Error::other(format!("{file} tells no {field}")))
}

/// Processor time that a process has used, in seconds.
///
/// # Errors
///
/// When it is gone.
pub fn processor_seconds(process: u32) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold blanks; utime and stime are the 14th and 15th field.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|text| text.parse::<f64>().ok()).sum();
    // Linux counts them in hundredths of a second, whatever the kernel's own clock.
    Ok(ticks / 100.0)
}

/// What several rounds of one measurement came to.
#[derive(Debug, Clone, Default)]
pub struct Rounds(Vec<f64>);

impl Rounds {
    /// Adds one round.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The least of them.
    #[must_use]
    pub fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    /// The most of them.
    #[must_use]
    pub fn most(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }

    /// Prints the best of them beside the goal, and the median, which says how much others on this
    /// machine took of it.
    pub fn report(&self, name: &str, unit: &str, goal: Goal) {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let best = match goal {
            Goal::Under(_) => sorted.first(),
            Goal::AtLeast(_) | Goal::None => sorted.last(),
        };
        let name = format!("{name}, best of {}", sorted.len());
        figure(&name, best.copied().unwrap_or(f64::NAN), unit, goal);
        let median = sorted.get(sorted.len() / 2).copied();
        figure("  median", median.unwrap_or(f64::NAN), unit, Goal::None);
    }
}

/// Prints how busy this machine is with other things, which no figure shows by itself.
pub fn say_load() {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let last = load
        .split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ");
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    say(&format!(
        "  (processors {processors}, load over 1, 5, 15 minutes {last})"
    ));
}
