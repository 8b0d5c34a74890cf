//! Stands between a node and a program: when either ends, or the node's lease does, all that the
//! program started ends too.
//!
//! Programs may leave daemons behind that left their process group and session, and a node may be
//! killed without a chance to clean up. The runner is a process of its own. It adopts every orphan
//! among its descendants, so none gets out of sight, and it holds one end of a socket, the lifeline,
//! whose other end only the node has: the socket ends with the node, however that ends. A node among
//! others tells through it until when it may act, and a runner that hears of no renewal does not wait
//! any longer: its node stands still, and others count it as dead. How the program ended is told
//! through it as well, and so needs no room on a disk.

use std::{
    io::{self, BufReader, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    process::{ChildStdin, ExitCode, Stdio},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool, mpsc},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::{
    family,
    job::{self, Cut, Job, Limits, Status},
    launch::{self, Report},
};

/// Looks after which the whole group is ended, runner included: some seconds.
const HUNT: u32 = 2000;
/// Between two looks at what is left.
const PAUSE: Duration = Duration::from_millis(1);
/// What a runner says that was not started by a node.
const NO_JOB: u8 = 125;

/// Runs the one program that is described on standard input, until it ends or standard input does.
///
/// The `troupe` program calls this when its first argument is `__run-tool`. A program that embeds a
/// node may do the same at the start of its `main` and name itself in `[command] runner`. Not in another
/// thread: the kernel ends the program with the thread that started it.
#[must_use]
pub fn run_tool() -> ExitCode {
    match launch::become_program().unwrap_or_else(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(NO_JOB),
    }
}

fn run() -> io::Result<()> {
    outlast_requests_to_end()?;
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own))?;
    // A program that became another user could not be ended by us.
    rustix::thread::set_no_new_privs(true)?;
    let node = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Nothing is begun whose end could not be told: a pipe has no address.
    node.local_addr()?;
    let mut lifeline = BufReader::new(node.try_clone()?);
    let (job, input) = job::read(&mut lifeline)?;

    // Held while something is under way that the end of the lifeline must not interrupt.
    let steady = Arc::new(Mutex::new(()));
    let starting = steady.lock().unwrap_or_else(PoisonError::into_inner);
    let (watched, until) = (Arc::clone(&steady), job.until);
    let listener = node.try_clone()?;
    thread::Builder::new().spawn(move || {
        let cut = job::hear(&mut lifeline, until);
        // A program that is just being started would get away. Never let go again.
        let _steady = watched.lock().unwrap_or_else(PoisonError::into_inner);
        end_all(own);
        if cut == Cut::LeaseOver {
            // Of a node that stands still now, and may go on.
            let _ = tell(&Status::LeaseOver, listener);
        }
        std::process::exit(0);
    })?;
    let status = match start(&job, input) {
        Ok((tool, report)) => {
            drop(starting);
            let status = wait_for(tool)?;
            end_all(own);
            match report.read() {
                Some(error) => Status::not_started(&error),
                None => status,
            }
        }
        Err(error) => {
            drop(starting);
            end_all(own);
            Status::not_started(&error)
        }
    };
    // The node has all of it before it sees us end.
    let _telling = steady.lock().unwrap_or_else(PoisonError::into_inner);
    tell(&status, node)
}

/// Only the node's end, or the program's, ends a runner: it would leave behind what it has adopted.
/// The kernel sends a SIGHUP to a whole process group when its last tie to its session, the node,
/// ends while a process of it is stopped, and ending a family begins with stopping it. Handlers,
/// unlike ignored signals, are not inherited by programs.
fn outlast_requests_to_end() -> io::Result<()> {
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}

fn start(job: &Job, input: Option<Vec<u8>>) -> io::Result<(Pid, Report)> {
    let (hand_over, stdin) = mpsc::channel::<ChildStdin>();
    let stdio = if input.is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    };
    // Made before the limits hold, which may forbid another thread.
    thread::Builder::new().spawn(move || {
        let (Ok(mut stdin), Some(input)) = (stdin.recv(), input) else {
            return;
        };
        // A program need not read its input.
        let _ = stdin.write_all(&input);
    })?;
    limit(Resource::Core, Some(0))?;
    let Limits {
        processes,
        file,
        // Holds for the program alone: our own file, from which it begins, may need more.
        memory: _,
    } = job.limits;
    limit(Resource::Nproc, processes)?;
    limit(Resource::Fsize, file)?;
    let (mut command, report) = launch::command(job)?;
    // The node may have slept since it gave the word.
    job.check_time()?;
    // By the main thread, which lives as long as this process.
    let mut tool = command.stdin(stdio).spawn()?;
    if let Some(stdin) = tool.stdin.take() {
        // The thread waits for nothing else.
        let _ = hand_over.send(stdin);
    }
    let pid = i32::try_from(tool.id()).ok().and_then(Pid::from_raw);
    Ok((pid.ok_or(io::ErrorKind::InvalidData)?, report))
}

pub(super) fn limit(resource: Resource, most: Option<u64>) -> io::Result<()> {
    if most.is_some() {
        let limit = Rlimit {
            current: most,
            maximum: most,
        };
        rustix::process::setrlimit(resource, limit)?;
    }
    Ok(())
}

/// Waits until the program ends; orphans that end before are buried as well.
fn wait_for(tool: Pid) -> io::Result<Status> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == tool => return Ok(status_of(status)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn status_of(status: WaitStatus) -> Status {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Status::Exited(code),
        (None, signal) => Status::Signalled(signal.unwrap_or(0)),
    }
}

/// Ends every descendant. None is left when there is no child: orphans become children.
fn end_all(own: Pid) {
    let mut looks = 0;
    while has_children() {
        looks += 1;
        if looks > HUNT {
            // They multiply faster than they can be looked up, or cannot be ended; this is atomic.
            let _ = rustix::process::kill_process_group(own, Signal::KILL);
        }
        family::kill_descendants(own.as_raw_nonzero().get());
        thread::park_timeout(PAUSE);
    }
}

/// Buries children that ended; tells whether others are left.
fn has_children() -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Tells how the program ended. It is short, so this does not wait for the node to listen.
fn tell(status: &Status, mut node: impl Write) -> io::Result<()> {
    node.write_all(&serde_json::to_vec(status)?)
}
