//! Who descends from whom among the machine's processes, and how a whole family is ended.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process as `/proc/PID/stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's number.
    pub parent: i32,
    /// The terminal it belongs to; 0 is none.
    pub terminal: i32,
    /// Ended, but its parent has not noticed.
    pub zombie: bool,
    /// When it started, in ticks since the machine did: tells it from a later one of that number.
    pub started: u64,
}

impl Process {
    /// Reads a line of `/proc/PID/stat`.
    #[must_use]
    pub fn parse(stat: &str) -> Option<Self> {
        // The name stands in parentheses and may itself contain any character.
        let (pid, rest) = stat.split_once(" (")?;
        let (_, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        Some(Self {
            pid: pid.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            terminal: fields.get(4)?.parse().ok()?,
            zombie: *fields.first()? == "Z",
            started: fields.get(19)?.parse().ok()?,
        })
    }

    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(&String::from_utf8_lossy(&stat))
    }

    /// Signals it, unless its number has passed to another process by now.
    fn signal(self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return;
        };
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            return;
        };
        if Self::read(self.pid).is_some_and(|now| now.started == self.started) {
            // It may have ended just now, which is as well.
            let _ = pidfd_send_signal(&handle, signal);
        }
    }
}

/// All of `processes` that descend from `ancestor`.
#[must_use]
pub fn descendants(processes: &[Process], ancestor: i32) -> Vec<Process> {
    let mut family = HashSet::from([ancestor]);
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for process in processes {
            if family.contains(&process.parent) && family.insert(process.pid) {
                found.push(*process);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// All processes of the machine.
pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Process::read)
        .collect()
}

/// Ends all that now descend from `ancestor`; tells how many there were.
pub(super) fn kill_descendants(ancestor: i32) -> usize {
    kill_found(|all| descendants(all, ancestor))
}

/// Ends the processes that belong to a directory of attempts, and all that descend from them or
/// from `root`; tells how many there were. To a directory belong those that were started with a
/// `TROUPE_DIR` in it, and those without a terminal that stand in it: a person's shell stays.
/// `spared` stays as well.
pub(super) fn kill_strays(directory: &Path, root: Option<i32>, spared: Option<i32>) -> usize {
    let belongs = |process: &&Process| {
        started_for(process.pid, directory)
            || process.terminal == 0 && stands_in(process.pid, directory)
    };
    kill_found(|all| {
        let mut strays: Vec<Process> = all.iter().filter(belongs).copied().collect();
        for ancestor in strays.clone().iter().map(|stray| stray.pid).chain(root) {
            strays.extend(descendants(all, ancestor));
        }
        strays.retain(|process| Some(process.pid) != spared);
        strays
    })
}

/// Stops what `find` finds until it finds no more, and then ends it. Whoever ended while its child
/// is being born would make it nobody's, and whoever forks faster than we look is slowed down.
fn kill_found(find: impl Fn(&[Process]) -> Vec<Process>) -> usize {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut doomed: HashMap<i32, Process> = HashMap::new();
    loop {
        let mut fresh = find(&all());
        fresh.retain(|it| it.pid != own && !it.zombie && !doomed.contains_key(&it.pid));
        if fresh.is_empty() {
            break;
        }
        fresh.iter().for_each(|it| it.signal(Signal::STOP));
        doomed.extend(fresh.into_iter().map(|it| (it.pid, it)));
    }
    doomed.values().map(|it| it.signal(Signal::KILL)).count()
}

fn started_for(pid: i32, directory: &Path) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    environment
        .split(|byte| *byte == 0)
        .filter_map(|variable| variable.strip_prefix(b"TROUPE_DIR="))
        .any(|value| Path::new(std::ffi::OsStr::from_bytes(value)).starts_with(directory))
}

fn stands_in(pid: i32, directory: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) R 1 (b) S 7 42 42 34816 0 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 9 9";
        let process = Process::parse(stat).unwrap();
        let expected = Process {
            pid: 42,
            parent: 7,
            terminal: 34816,
            zombie: false,
            started: 12345,
        };
        assert_eq!(process, expected);
        assert_eq!(Process::parse("42 (x"), None);
    }

    #[test]
    fn this_process_is_among_all() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(all().iter().any(|process| process.pid == own));
    }

    #[test]
    fn a_family_is_found_in_any_order_and_holds_no_stranger() {
        let process = |pid, parent| Process {
            pid,
            parent,
            terminal: 0,
            zombie: false,
            started: 0,
        };
        let machine = [
            process(9, 8),
            process(8, 5),
            process(5, 1),
            process(6, 5),
            process(7, 1),
        ];
        let mut family: Vec<i32> = descendants(&machine, 5).iter().map(|p| p.pid).collect();
        family.sort_unstable();
        assert_eq!(family, [6, 8, 9]);
    }
}
