//! Machines that are smaller than this one: what the processes in a group may take of a processor.

use std::{fs, io, path::PathBuf};

/// Short, so that a process is held up often and not for long.
const PERIOD: u32 = 10_000;

/// A control group of Linux, which goes with this value.
#[derive(Debug)]
pub(super) struct Quota(PathBuf);

impl Quota {
    /// A group whose processes get so much of one processor together.
    pub(super) fn new(name: &str, share: f64) -> io::Result<Self> {
        let quota = (f64::from(PERIOD) * share).round();
        let name = format!("troupe-bench-{}-{name}", std::process::id());
        let first = PathBuf::from("/sys/fs/cgroup/cpu");
        if first.is_dir() {
            let group = Self::made(first.join(name))?;
            fs::write(group.0.join("cpu.cfs_period_us"), PERIOD.to_string())?;
            fs::write(group.0.join("cpu.cfs_quota_us"), quota.to_string())?;
            return Ok(group);
        }
        let group = Self::made(PathBuf::from("/sys/fs/cgroup").join(name))?;
        fs::write(group.0.join("cpu.max"), format!("{quota} {PERIOD}"))?;
        Ok(group)
    }

    fn made(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    /// Puts a process into it.
    pub(super) fn hold(&self, process: u32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), process.to_string())
    }

    /// Lets a process go: it may take what it can get again.
    pub(super) fn free(self, process: u32) -> io::Result<()> {
        let above = self.0.with_file_name("cgroup.procs");
        fs::write(above, process.to_string())
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // One that still holds a process stays behind empty: it costs nothing.
        let _ = fs::remove_dir(&self.0);
    }
}
