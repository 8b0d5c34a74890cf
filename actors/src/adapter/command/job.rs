//! What a node tells its runner, and what the runner answers.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use runtime::clock::Clock;
use serde::{Deserialize, Serialize};

/// Longest job that is read.
const MAX_JOB: u64 = 16 * 1024 * 1024;

/// One program to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    /// The file.
    pub(super) program: PathBuf,
    /// What the program sees as its name, and its arguments.
    pub(super) argv: Vec<String>,
    /// All that it sees of the environment.
    pub(super) env: BTreeMap<String, String>,
    /// What it may take.
    pub(super) limits: Limits,
    /// The moment of [`Clock::boot`] from which on it may neither begin nor run, unless a renewal
    /// follows: others count the node as dead.
    #[serde(default)]
    pub(super) until: Option<Duration>,
}

impl Job {
    /// Says why it is too late to begin.
    pub(super) fn check_time(&self) -> io::Result<()> {
        let now = Clock::system().boot();
        if self.until.is_some_and(|until| now >= until) {
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "the node's lease was over before the program could begin",
            ));
        }
        Ok(())
    }
}

/// What a program may take of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Limits {
    /// Processes of the node's user.
    pub(super) processes: Option<u64>,
    /// Bytes of a file that it writes.
    pub(super) file: Option<u64>,
    /// Bytes of memory of each process.
    pub(super) memory: Option<u64>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// By itself.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// With the lease of its node, which was not renewed.
    LeaseOver,
    /// It never started.
    NotStarted {
        /// Why.
        reason: String,
        /// Whether it may start another time.
        retryable: bool,
    },
}

impl Status {
    /// Of a program that could not be started.
    pub(super) fn not_started(error: &io::Error) -> Self {
        Self::NotStarted {
            reason: error.to_string(),
            retryable: passes(error),
        }
    }
}

/// Lack of processes or memory passes, and so does a program file that is being written.
pub(super) fn passes(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::ExecutableFileBusy
            | io::ErrorKind::Interrupted
    )
}

/// The first bytes on a lifeline: the lengths of job and input on a line, the job, the input.
pub(super) fn write(job: &Job, input: Option<&[u8]>) -> io::Result<Vec<u8>> {
    let job = serde_json::to_vec(job)?;
    let input_length = input.map_or_else(|| "none".to_owned(), |input| input.len().to_string());
    let mut bytes = format!("{} {input_length}\n", job.len()).into_bytes();
    bytes.extend(job);
    bytes.extend_from_slice(input.unwrap_or_default());
    Ok(bytes)
}

/// Reads what [`write`] made; what follows stays unread.
pub(super) fn read(lifeline: &mut impl BufRead) -> io::Result<(Job, Option<Vec<u8>>)> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut line = String::new();
    lifeline.by_ref().take(64).read_line(&mut line)?;
    let (job, input) = line.trim_end().split_once(' ').ok_or_else(invalid)?;
    let job: u64 = job.parse().map_err(|_| invalid())?;
    if job > MAX_JOB {
        return Err(invalid());
    }
    let job = serde_json::from_slice(&exactly(lifeline, job)?)?;
    let input = match input {
        "none" => None,
        length => Some(exactly(lifeline, length.parse().map_err(|_| invalid())?)?),
    };
    Ok((job, input))
}

/// What follows a job: until when it may run from now on, in microseconds of [`Clock::boot`].
pub(super) fn renewal(until: Duration) -> [u8; RENEWAL] {
    let micros = until.as_micros().try_into().unwrap_or(u64::MAX);
    micros.to_le_bytes()
}

/// Bytes of a renewal.
const RENEWAL: usize = size_of::<u64>();

/// How a lifeline came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nobody holds its other end any more.
    Ended,
    /// What was last told is over.
    LeaseOver,
}

/// Hears renewals until the lifeline ends, or the time that they give.
pub(super) fn hear(lifeline: &mut BufReader<UnixStream>, until: Option<Duration>) -> Cut {
    /// A machine that sleeps stops the clock that measures this, and not the one of leases.
    const LOOK: Duration = Duration::from_secs(1);
    let clock = Clock::system();
    let (mut until, mut renewal, mut length) = (until, [0; RENEWAL], 0);
    loop {
        let left = until.map(|until| until.saturating_sub(clock.boot()));
        if left.is_some_and(|left| left.is_zero()) {
            return Cut::LeaseOver;
        }
        let heard = lifeline
            .get_ref()
            .set_read_timeout(left.map(|left| left.min(LOOK)))
            .and_then(|()| lifeline.read(&mut renewal[length..]));
        match heard {
            Ok(0) => return Cut::Ended,
            Ok(read) => length += read,
            Err(error) if is_passing(&error) => {}
            Err(_) => return Cut::Ended,
        }
        if length == RENEWAL {
            let renewed = Duration::from_micros(u64::from_le_bytes(renewal));
            until = until.map(|until| until.max(renewed));
            length = 0;
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

fn exactly(lifeline: &mut impl BufRead, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = lifeline.by_ref().take(length).read_to_end(&mut bytes)?;
    if u64::try_from(read).is_ok_and(|read| read == length) {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, thread};

    use super::*;

    fn job() -> Job {
        Job {
            program: "/bin/sh".into(),
            argv: vec!["sh".into(), "a\nb 3".into()],
            env: [("A".to_owned(), "\"\n".to_owned())].into(),
            limits: Limits::default(),
            until: None,
        }
    }

    #[test]
    fn a_job_and_its_input_are_read_as_they_were_written() {
        for input in [None, Some(&b""[..]), Some(b"x\ny\0")] {
            let mut bytes = write(&job(), input).unwrap();
            bytes.extend(b"rest");
            let mut lifeline = &bytes[..];
            let (read_job, read_input) = read(&mut lifeline).unwrap();
            assert_eq!((read_job, read_input.as_deref()), (job(), input));
            assert_eq!(lifeline, b"rest");
        }
    }

    #[test]
    fn a_job_that_comes_after_the_end_of_its_lease_does_not_begin() {
        let now = Clock::system().boot();
        for (until, begins) in [
            (None, true),
            (Some(now + Duration::from_secs(3600)), true),
            (Some(now), false),
        ] {
            let job = Job { until, ..job() };
            let job = read(&mut &write(&job, None).unwrap()[..]).unwrap().0;
            assert_eq!(job.check_time().is_ok(), begins, "{until:?}");
        }
    }

    #[test]
    fn a_renewal_in_pieces_is_heard_and_a_lifeline_ends_with_its_time_or_its_other_end() {
        let (mut node, runner) = UnixStream::pair().unwrap();
        let mut runner = BufReader::new(runner);
        let now = Clock::system().boot();
        let renewal = renewal(now + Duration::from_secs(3600));
        let ending = thread::spawn(move || {
            let cut = hear(&mut runner, Some(now + Duration::from_secs(2)));
            (cut, hear(&mut runner, Some(Duration::ZERO)))
        });
        node.write_all(&renewal[..3]).unwrap();
        node.write_all(&renewal[3..]).unwrap();
        drop(node);
        assert_eq!(ending.join().unwrap(), (Cut::Ended, Cut::LeaseOver));
    }

    #[test]
    fn a_lifeline_that_ends_within_a_job_gives_no_job() {
        let bytes = write(&job(), Some(b"input")).unwrap();
        for length in 0..bytes.len() {
            assert!(read(&mut &bytes[..length]).is_err(), "{length}");
        }
    }
}
