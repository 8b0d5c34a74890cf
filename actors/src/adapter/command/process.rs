//! One attempt: starts the program, feeds and hears it, and sees to its end.

use std::{
    future::pending,
    io,
    os::{
        fd::OwnedFd,
        unix::{net, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    pin::{Pin, pin},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use runtime::membership::Fence;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
    process::{Child, Command},
    task::{JoinError, JoinHandle, spawn_blocking},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Settings,
    capture::{Captured, capture},
    config::{Config, Stdin},
    environment::environment,
    family,
    job::{self, Job, Status},
    output::{self, Said},
    workdir::WorkDir,
};
use crate::adapter::{Call, CallError, builtin::timed_out};

/// How long a runner may take to end what it runs.
const GRACE: Duration = Duration::from_secs(1);
/// What a runner says of its program is shorter.
const MAX_WORD: u64 = 64 * 1024;

/// One attempt at a step, by a program.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) program: PathBuf,
    pub(super) config: Arc<Config>,
    pub(super) settings: Arc<Settings>,
    pub(super) call: Call,
    pub(super) stop: CancellationToken,
}

/// How the wait for a program came to an end.
enum End {
    Ended(io::Result<ExitStatus>),
    Stopped,
    TimedOut,
}

impl Attempt {
    /// Runs it to its end; afterwards nothing of it is left but its artifacts.
    pub(super) async fn run(self) -> Result<Value, CallError> {
        let own_limit = self.config.timeout.map_or(Duration::MAX, |span| span.0);
        let limit = self.call.timeout.min(own_limit);
        let deadline = Instant::now() + limit.min(Duration::from_secs(u32::MAX.into()));
        let this = Arc::new(self);

        let attempt = Arc::clone(&this);
        let prepared = spawn_blocking(move || attempt.prepare()).await;
        let (mut work, job) = prepared.map_err(|error| broken(&error))??;
        let mut running = this.start(&work, &job)?;
        let end = tokio::select! {
            biased;
            () = this.stop.cancelled() => End::Stopped,
            end = timeout_at(deadline, running.child.wait()) => {
                end.map_or(End::TimedOut, End::Ended)
            }
        };
        let (said, word) = running.finish(&work).await;
        let status = match end {
            End::Stopped => Err(CallError::Cancelled),
            End::TimedOut => Err(CallError::lost("timeout", timed_out(limit))),
            End::Ended(status) => this.status(status, &word),
        };
        // Removing a directory may take a while, and is done in any case.
        let answer = move || {
            if let Some(usage) = output::usage(&said, &this.config) {
                this.call.spent.add(usage);
            }
            let code = output::judge(status?, &said.stderr)?;
            output::answer(code, &said, this.config.output, &mut work)
        };
        spawn_blocking(answer)
            .await
            .map_err(|error| broken(&error))?
    }

    fn prepare(&self) -> Result<(WorkDir, Job), CallError> {
        let work = WorkDir::prepare(&self.settings.data_dir, &self.call).map_err(|error| {
            let message = format!("no working directory could be made: {error}");
            CallError::retryable("not_started", message)
        })?;
        let inherited = self.settings.inherited.iter().cloned();
        let env =
            environment(inherited, &self.config.env, &self.call, &work.path).map_err(|name| {
                CallError::fatal("input", format!("input `{name}` contains a NUL character"))
            })?;
        if let Some(directory) = self.config.workdir.as_ref().filter(|path| !path.is_dir()) {
            let message = format!("there is no directory {}", directory.display());
            return Err(CallError::fatal("spawn", message));
        }
        let job = Job {
            program: self.program.clone(),
            argv: self.config.argv.clone(),
            env,
            limits: self.settings.limits,
            until: self.settings.fence.until(),
        };
        Ok((work, job))
    }

    fn start(&self, work: &WorkDir, job: &Job) -> Result<Running, CallError> {
        let input = match self.config.stdin {
            Stdin::Input => Some(self.call.document().to_string().into_bytes()),
            Stdin::None => None,
        };
        let failed =
            |error: io::Error| output::not_started(&error.to_string(), job::passes(&error));
        let (mut command, first_words, lifeline) = match &self.settings.runner {
            Some(runner) => {
                let words = job::write(job, input.as_deref());
                let words = words.map_err(|error| CallError::fatal("spawn", error.to_string()))?;
                let mut command = Command::new(runner);
                // Task and step are there for whoever looks at the machine's processes.
                command.arg0("troupe").arg("__run-tool").env_clear();
                command.arg(self.call.task.to_string()).arg(&self.call.step);
                // Not the directory alone: a node that starts anew finds its runners by this.
                command.env("TROUPE_DIR", &work.path);
                // Until the command is dropped we hold the runner's end as well.
                let (ours, runners) = lifeline().map_err(failed)?;
                command.stdin(OwnedFd::from(runners));
                (command, Some(words), Some(ours))
            }
            None => {
                let mut command = direct(job);
                command.stdin(match input {
                    Some(_) => Stdio::piped(),
                    None => Stdio::null(),
                });
                (command, input, None)
            }
        };
        command
            .current_dir(self.config.workdir.as_ref().unwrap_or(&work.path))
            .process_group(0)
            // A runner ends with its lifeline; killed, it would leave what it has adopted behind.
            .kill_on_drop(self.settings.runner.is_none())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = job
            .check_time()
            .and_then(|()| command.spawn())
            .map_err(failed)?;
        Ok(Running::new(child, lifeline, first_words, &self.settings))
    }

    fn status(&self, status: io::Result<ExitStatus>, word: &[u8]) -> Result<Status, CallError> {
        let status = status.map_err(|error| CallError::lost("runner", error.to_string()))?;
        if self.settings.runner.is_none() {
            return Ok(match status.code() {
                Some(code) => Status::Exited(code),
                None => Status::Signalled(status.signal().unwrap_or(0)),
            });
        }
        serde_json::from_slice(word).map_err(|_| {
            let message = format!("the runner ended ({status}) without a word on its program");
            CallError::lost("runner", message)
        })
    }
}

/// Both ends of what ties a runner to this node: ours, and the runner's.
fn lifeline() -> io::Result<(UnixStream, net::UnixStream)> {
    let (ours, runners) = net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, runners))
}

/// Without a runner between.
fn direct(job: &Job) -> Command {
    let mut command = Command::new(&job.program);
    if let Some((name, arguments)) = job.argv.split_first() {
        command.arg0(name).args(arguments);
    }
    command.env_clear().envs(&job.env);
    command
}

fn broken(error: &JoinError) -> CallError {
    CallError::lost("runner", error.to_string())
}

/// What the child of this node is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runner {
    /// A runner, and the program is its child.
    Between,
    /// The program itself.
    None,
}

type Source = Pin<Box<dyn AsyncRead + Send>>;
type Sink = Pin<Box<dyn AsyncWrite + Send>>;

/// A child of this node, with what it is told and what it says.
struct Running {
    child: Child,
    /// Its process group, which has the number that it had.
    group: Option<Pid>,
    runner: Runner,
    lifeline: Option<AbortOnDropHandle<()>>,
    /// What a runner tells of its program.
    word: JoinHandle<Captured>,
    stdout: JoinHandle<Captured>,
    stderr: JoinHandle<Captured>,
    enough: CancellationToken,
}

impl Running {
    fn new(
        mut child: Child,
        lifeline: Option<UnixStream>,
        first_words: Option<Vec<u8>>,
        settings: &Settings,
    ) -> Self {
        let runner = match settings.runner {
            Some(_) => Runner::Between,
            None => Runner::None,
        };
        let enough = CancellationToken::new();
        let hear = |source: Option<Source>, limit| {
            let enough = enough.clone();
            tokio::spawn(async move {
                match source {
                    Some(source) => capture(source, limit, enough).await,
                    None => Captured::default(),
                }
            })
        };
        let most = settings.max_output;
        let stdout = hear(child.stdout.take().map(|it| Box::pin(it) as Source), most);
        let stderr = hear(child.stderr.take().map(|it| Box::pin(it) as Source), most);
        let (word, lifeline) = lifeline.map(UnixStream::into_split).unzip();
        let word = hear(word.map(|it| Box::pin(it) as Source), MAX_WORD);
        let stdin = child.stdin.take().map(|it| Box::pin(it) as Sink);
        let lifeline = lifeline
            .map(|it| Box::pin(it) as Sink)
            .or(stdin)
            .zip(first_words)
            .map(|(sink, words)| {
                let fence = settings.fence.clone();
                AbortOnDropHandle::new(tokio::spawn(feed(sink, words, runner, fence)))
            });
        Self {
            group: child.id().and_then(|id| Pid::from_raw(id.cast_signed())),
            child,
            runner,
            lifeline,
            word,
            stdout,
            stderr,
            enough,
        }
    }

    /// Sees to it that nothing of it runs any more; answers what it said, and the runner of it.
    async fn finish(mut self, work: &WorkDir) -> (Said, Vec<u8>) {
        // At this a runner ends what it runs, and then itself without a fault.
        drop(self.lifeline.take());
        let is_tidy = match self.runner {
            Runner::Between => timeout(GRACE, self.child.wait())
                .await
                .is_ok_and(|ended| ended.is_ok_and(|status| status.success())),
            Runner::None => false,
        };
        if !is_tidy {
            let (group, directory) = (self.group, work.path.clone());
            // A number whose process was waited for may belong to another by now.
            let root = self.child.id().and(group);
            // What it adopts stays in sight as long as a runner is there, even if it stands still.
            let spared = match self.runner {
                Runner::Between => root,
                Runner::None => None,
            };
            let force = move || end_by_force(group, root, spared, &directory);
            // Neither can fail: the task is not aborted, and a child of ours can be waited for.
            let _ = spawn_blocking(force).await;
            let _ = timeout(GRACE, self.child.wait()).await;
        }
        let mut said = pin!(async { tokio::join!(self.word, self.stdout, self.stderr) });
        let (word, stdout, stderr) = match timeout(GRACE, &mut said).await {
            Ok(said) => said,
            Err(_) => {
                // Somebody got away and holds on to the pipe.
                self.enough.cancel();
                said.await
            }
        };
        let said = Said {
            stdout: stdout.unwrap_or_default(),
            stderr: stderr.unwrap_or_default(),
        };
        (said, word.unwrap_or_default().head)
    }
}

/// Tells the child its first words; a runner's lifeline then stays open as long as this task lives.
async fn feed(mut stdin: Sink, words: Vec<u8>, runner: Runner, fence: Fence) {
    // A program need not read its input, and a runner that is gone is noticed by its end.
    let _ = stdin.write_all(&words).await;
    match runner {
        Runner::Between => tell_renewals(stdin, &fence).await,
        Runner::None => drop(stdin),
    }
}

/// Tells a runner until when its program may run, again and again.
async fn tell_renewals(mut lifeline: Sink, fence: &Fence) {
    /// Of a lease: renewals reach a runner long before what it knows is over.
    const SHARE: u32 = 4;
    /// Between two looks at a fence that is down.
    const LOOK: Duration = Duration::from_millis(50);
    let mut told = Duration::ZERO;
    while let Some((until, left)) = fence.until().zip(fence.left()) {
        if until > told {
            told = until;
            let _ = lifeline.write_all(&job::renewal(until)).await;
        }
        sleep((left / SHARE).max(LOOK)).await;
    }
    pending::<()>().await;
}

/// Without a runner, or after one that was killed or stopped, or has too much to do.
fn end_by_force(group: Option<Pid>, root: Option<Pid>, spared: Option<Pid>, directory: &Path) {
    const LOOKS: usize = 100;
    // A process that is just being born or changing its program may be missed by one look.
    const QUIET_LOOKS: usize = 3;
    let number = |pid: Option<Pid>| pid.map(|pid| pid.as_raw_nonzero().get());
    let mut quiet = 0;
    for _ in 0..LOOKS {
        match family::kill_strays(directory, number(root), number(spared)) {
            0 => quiet += 1,
            _ => quiet = 0,
        }
        if quiet == QUIET_LOOKS {
            break;
        }
    }
    if let Some(group) = group {
        // An empty group is no fault.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    // What that has made orphans of.
    family::kill_strays(directory, None, None);
}
