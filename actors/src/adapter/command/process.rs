//! One attempt: starts the program, feeds and hears it, and sees to its end.

use std::{
    fs,
    future::pending,
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    pin::Pin,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWriteExt},
    process::{Child, ChildStdin, Command},
    task::{JoinError, JoinHandle, spawn_blocking},
    time::{Instant, timeout, timeout_at},
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
        let said = running.finish(&work).await;
        let status = match end {
            End::Stopped => Err(CallError::Cancelled),
            End::TimedOut => Err(CallError::lost("timeout", timed_out(limit))),
            End::Ended(status) => this.status(status, &work),
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
            status: work.status.clone(),
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
        let (mut command, first_words) = match &self.settings.runner {
            Some(runner) => {
                let words = job::write(job, input.as_deref());
                let words = words.map_err(|error| CallError::fatal("spawn", error.to_string()))?;
                let mut command = Command::new(runner);
                // Task and step are there for whoever looks at the machine's processes.
                command.arg0("troupe").arg("__run-tool").env_clear();
                command.arg(self.call.task.to_string()).arg(&self.call.step);
                // Not the directory alone: a node that starts anew finds its runners by this.
                command.env("TROUPE_DIR", &work.path);
                (command, Some(words))
            }
            None => (direct(job), input),
        };
        command
            .current_dir(self.config.workdir.as_ref().unwrap_or(&work.path))
            .process_group(0)
            // A runner ends with its lifeline; killed, it would leave what it has adopted behind.
            .kill_on_drop(self.settings.runner.is_none())
            .stdin(match first_words {
                Some(_) => Stdio::piped(),
                None => Stdio::null(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = job
            .check_time()
            .and_then(|()| command.spawn())
            .map_err(|error| output::not_started(&error.to_string(), job::passes(&error)))?;
        Ok(Running::new(child, first_words, &self.settings))
    }

    fn status(&self, status: io::Result<ExitStatus>, work: &WorkDir) -> Result<Status, CallError> {
        let status = status.map_err(|error| CallError::lost("runner", error.to_string()))?;
        if self.settings.runner.is_none() {
            return Ok(match status.code() {
                Some(code) => Status::Exited(code),
                None => Status::Signalled(status.signal().unwrap_or(0)),
            });
        }
        let left = fs::read(&work.status);
        left.and_then(|left| Ok(serde_json::from_slice(&left)?))
            .map_err(|_| {
                let message = format!("the runner ended ({status}) without a word on its program");
                CallError::lost("runner", message)
            })
    }
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

/// A child of this node, with what it is told and what it says.
struct Running {
    child: Child,
    /// Its process group, which has the number that it had.
    group: Option<Pid>,
    runner: Runner,
    lifeline: Option<AbortOnDropHandle<()>>,
    stdout: JoinHandle<Captured>,
    stderr: JoinHandle<Captured>,
    enough: CancellationToken,
}

impl Running {
    fn new(mut child: Child, first_words: Option<Vec<u8>>, settings: &Settings) -> Self {
        let runner = match settings.runner {
            Some(_) => Runner::Between,
            None => Runner::None,
        };
        let enough = CancellationToken::new();
        let hear = |source: Option<Source>| {
            let (limit, enough) = (settings.max_output, enough.clone());
            tokio::spawn(async move {
                match source {
                    Some(source) => capture(source, limit, enough).await,
                    None => Captured::default(),
                }
            })
        };
        let stdout = hear(child.stdout.take().map(|it| Box::pin(it) as Source));
        let stderr = hear(child.stderr.take().map(|it| Box::pin(it) as Source));
        let lifeline =
            child.stdin.take().zip(first_words).map(|(stdin, words)| {
                AbortOnDropHandle::new(tokio::spawn(feed(stdin, words, runner)))
            });
        Self {
            group: child.id().and_then(|id| Pid::from_raw(id.cast_signed())),
            child,
            runner,
            lifeline,
            stdout,
            stderr,
            enough,
        }
    }

    /// Sees to it that nothing of it runs any more; answers what it said.
    async fn finish(mut self, work: &WorkDir) -> Said {
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
        let said = async { tokio::join!(&mut self.stdout, &mut self.stderr) };
        let (stdout, stderr) = match timeout(GRACE, said).await {
            Ok(said) => said,
            Err(_) => {
                // Somebody got away and holds on to the pipe.
                self.enough.cancel();
                tokio::join!(self.stdout, self.stderr)
            }
        };
        Said {
            stdout: stdout.unwrap_or_default(),
            stderr: stderr.unwrap_or_default(),
        }
    }
}

/// Tells the child its first words; a runner's pipe then stays open as long as this task lives.
async fn feed(mut stdin: ChildStdin, words: Vec<u8>, runner: Runner) {
    // A program need not read its input, and a runner that is gone is noticed by its end.
    let _ = stdin.write_all(&words).await;
    match runner {
        Runner::Between => pending().await,
        Runner::None => drop(stdin),
    }
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
