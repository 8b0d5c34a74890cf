//! The last step from a runner to its program: a process that ties itself to the runner, and then
//! becomes the program.
//!
//! A runner that is killed ends nothing any more. So the kernel ends the program: who asks it for that
//! must be the process itself, between its beginning and the program's, and safe code has no hand there.
//! The runner's own file is therefore started a second time, and asks. Only the program is tied, not what
//! it starts: what asks is not inherited.

use std::{
    env,
    ffi::{CString, OsString},
    fs::OpenOptions,
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::{
        fd::AsRawFd,
        unix::{
            ffi::{OsStrExt, OsStringExt},
            process::CommandExt,
        },
    },
    process::Command,
    sync::{Arc, atomic::AtomicBool},
};

use rustix::{
    io::Errno,
    process::{Pid, Resource, Signal},
};
use signal_hook::consts::SIGPIPE;

use super::{job::Job, runner};

/// Where a runner has the task whose program it runs.
const WORD: &str = "exec";
/// Also when there is another file in its place by now.
const OWN_FILE: &str = "/proc/self/exe";
/// Before each name of the program's environment, so that none means anything on the way: loaders
/// heed some. Arguments would be no place for it, which everyone can read.
const VEIL: &[u8] = b"_";

/// Hears why a program could not begin.
pub(super) struct Report {
    reader: PipeReader,
    /// Opened by its number in this process: a program must not inherit it.
    writer: PipeWriter,
}

impl Report {
    /// Why what has ended never became its program, unless it did. Nothing of it may be left, as it
    /// could hold the other end.
    pub(super) fn read(self) -> Option<io::Error> {
        drop(self.writer);
        let mut code = String::new();
        self.reader.take(16).read_to_string(&mut code).ok()?;
        code.parse().ok().map(io::Error::from_raw_os_error)
    }
}

/// What becomes the program of `job`. To be spawned by a thread that lives as long as the runner: the
/// end of that thread ends the program.
pub(super) fn command(job: &Job) -> io::Result<(Command, Report)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(OWN_FILE);
    command
        .arg0("troupe")
        .args(["__run-tool", WORD])
        .arg(std::process::id().to_string())
        .arg(writer.as_raw_fd().to_string())
        .arg(
            job.limits
                .memory
                .map_or_else(String::new, |bytes| bytes.to_string()),
        )
        .arg(&job.program)
        .args(&job.argv)
        .env_clear()
        .envs(job.env.iter().map(|(name, value)| (veiled(name), value)));
    Ok((command, Report { reader, writer }))
}

/// Becomes the program, if that is what this process was started for; answers when it could not.
pub(super) fn become_program() -> Option<io::Result<()>> {
    let mut words = env::args_os().skip(2);
    (words.next()? == WORD).then(|| become_as_told(words))
}

fn become_as_told(mut words: impl Iterator<Item = OsString>) -> io::Result<()> {
    let mut word = || words.next().ok_or(io::ErrorKind::InvalidInput);
    let (runner, report, memory) = (number(&word()?)?, number::<u32>(&word()?)?, word()?);
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // One that ended before has no death any more.
    if rustix::process::getppid() != Pid::from_raw(runner) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    // Rust ignores it, and a program would inherit that; handlers are not inherited.
    signal_hook::flag::register(SIGPIPE, Arc::new(AtomicBool::new(false)))?;
    let file = c_string(word()?)?;
    let arguments = words.map(c_string).collect::<io::Result<Vec<_>>>()?;
    let environment = environment().collect::<io::Result<Vec<_>>>()?;
    // The node may have been started with files open that are nobody's here.
    close_fds::set_fds_cloexec(3, &[]);
    // The last of all limits: it may leave no room for this process itself.
    let limited = if memory.is_empty() {
        Ok(())
    } else {
        runner::limit(Resource::As, Some(number(&memory)?))
    };
    // Unlike the standard library's, it never hands a file without an interpreter to a shell.
    let Err(error) =
        limited.and_then(|()| Ok(nix::unistd::execve(&file, &arguments, &environment)?));
    let code = error.raw_os_error();
    let code = code.unwrap_or(Errno::INVAL.raw_os_error());
    let mut report = OpenOptions::new()
        .write(true)
        .open(format!("/proc/{runner}/fd/{report}"))?;
    write!(report, "{code}")
}

/// That of the program, as it was before it was veiled.
fn environment() -> impl Iterator<Item = io::Result<CString>> {
    env::vars_os().filter_map(|(name, value)| {
        let name = name.as_bytes().strip_prefix(VEIL)?;
        let entry = [name, b"=", value.as_bytes()].concat();
        Some(c_string(OsString::from_vec(entry)))
    })
}

fn c_string(text: OsString) -> io::Result<CString> {
    Ok(CString::new(text.into_vec())?)
}

fn veiled(name: &str) -> OsString {
    OsString::from_vec([VEIL, name.as_bytes()].concat())
}

fn number<T: std::str::FromStr>(word: &OsString) -> io::Result<T> {
    let number = word.to_str().and_then(|word| word.parse().ok());
    number.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
