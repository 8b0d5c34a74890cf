//! `troupe top` in a real terminal, as an operator sits before it: tmux draws the screen and types.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "it looks at a terminal, which runs by the clock"
)]
#![allow(dead_code, reason = "the program is shared with other tests")]

mod program;

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use program::Program;
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal of its own, with a shell in it.
struct Terminal<'a> {
    program: &'a Program,
}

impl<'a> Terminal<'a> {
    fn open(program: &'a Program) -> Self {
        let terminal = Self { program };
        let shell = ["new-session", "-d", "-x", "80", "-y", "24", "sh"];
        terminal.tmux(&[&["-f", "/dev/null"], &shell[..]].concat());
        terminal
    }

    /// Lets tmux do something, and answers what it says.
    fn tmux(&self, arguments: &[&str]) -> String {
        let done = Command::new("tmux")
            .arg("-S")
            .arg(self.program.folder().join("tmux"))
            .args(arguments)
            .env_remove("TMUX")
            .env("LC_ALL", "C.UTF-8")
            .env("PS1", "$ ")
            .output()
            .unwrap();
        assert!(done.status.success(), "tmux {arguments:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types a line and ends it.
    fn type_line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.press(&["Enter"]);
    }

    /// Starts `troupe top`; the shell then says how it left.
    fn top(&self) {
        let troupe = env!("CARGO_BIN_EXE_troupe");
        let data = self.program.data();
        self.type_line(&format!(
            "clear; {troupe} top --data-dir {}; echo left with $?",
            data.display()
        ));
        self.until("the screen is live", |screen| {
            screen.contains("troupe top  live")
        });
    }

    /// Looks until the screen is as it should be.
    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "not so: {what}\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether the shell has its screen, a cursor, and what is typed is seen.
    #[track_caller]
    fn is_as_before(&self) {
        let state = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(state.trim(), "0 1");
        self.type_line("echo $((40 + 2)) seen");
        let screen = self.until("the shell answers", |screen| screen.contains("42 seen"));
        assert!(screen.contains("echo $((40 + 2)) seen"), "{screen}");
        assert!(!screen.contains("troupe top  live"), "{screen}");
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        // The terminal, and what runs in it, end with the test.
        let _ = Command::new("tmux")
            .arg("-S")
            .arg(self.program.folder().join("tmux"))
            .arg("kill-server")
            .status();
    }
}

#[test]
fn the_cluster_is_watched_searched_and_left_in_a_real_terminal() {
    let troupe = Program::new();
    let node = troupe.start();
    let sleeper = ["sleeper", "--type", "command", "--", "sleep", "1000"];
    troupe.ok(&[&["agent", "register"], &sleeper[..]].concat());
    troupe.ok(&["task", "create", "sleep", "--agent", "sleeper"]);

    let terminal = Terminal::open(&troupe);
    terminal.top();
    let screen = terminal.until("the parts of the node are there", |screen| {
        screen.contains("▸ agents (") && screen.contains("▸ tasks (")
    });
    assert!(
        screen.contains("q quit") && screen.contains("up"),
        "{screen}"
    );

    // An agent's program is found by typing, and gone from the screen when it is killed.
    terminal.press(&["/"]);
    terminal.press(&["-l", "sleeper"]);
    terminal.until("the agent is found", |screen| {
        screen.contains("filter: sleeper_") && screen.contains("sleeper")
    });
    terminal.press(&["Enter", "End", "Enter"]);
    terminal.until("the details of its program are there", |screen| {
        screen.contains("/agents/sleeper/task_") && screen.contains("kind         tool")
    });
    // Between the node and the program stands the program's runner.
    let node = i32::try_from(node.child.id()).unwrap();
    let runners = children(node).into_iter();
    let programs: Vec<_> = runners
        .flat_map(|runner| children(runner.as_raw_nonzero().get()))
        .collect();
    assert_eq!(programs.len(), 1);
    for program in programs {
        kill_process(program, Signal::KILL).unwrap();
    }
    terminal.until("the program's end is seen", |screen| {
        screen.contains(":1 was not found")
    });
    terminal.press(&["Escape"]);
    terminal.until("the tree is there", |screen| {
        screen.contains("actors with \"sleeper\"")
    });

    terminal.tmux(&["resize-window", "-x", "150", "-y", "40"]);
    terminal.until("the lists stand beside the tree", |screen| {
        let mut lines = screen.lines();
        lines.any(|line| line.contains("┌ actors") && line.contains("┌ nodes"))
    });
    terminal.press(&["q"]);
    terminal.until("it left", |screen| screen.contains("left with 0"));
    terminal.is_as_before();
}

#[test]
fn a_signal_and_control_c_leave_the_terminal_as_it_was() {
    let troupe = Program::new();
    let _node = troupe.start();
    let terminal = Terminal::open(&troupe);
    terminal.top();
    let shell = terminal.tmux(&["display-message", "-p", "#{pane_pid}"]);
    let shell = shell.trim().parse().unwrap();
    for program in children(shell) {
        kill_process(program, Signal::TERM).unwrap();
    }
    terminal.until("it left", |screen| screen.contains("left with 130"));
    terminal.is_as_before();

    terminal.top();
    terminal.press(&["C-c"]);
    terminal.until("it left", |screen| screen.contains("left with 0"));
    terminal.is_as_before();
}

#[test]
fn without_a_terminal_or_a_node_it_says_what_helps() {
    let troupe = Program::new();
    troupe
        .run(&["top"])
        .fails(4, &["error: no node runs in", "help: "]);
    let _node = troupe.start();
    troupe
        .run(&["top"])
        .fails(2, &["needs a terminal", "help: ", "troupe tree --watch"]);
}

/// The processes that a process started, whichever of its threads did.
fn children(parent: i32) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let lists = threads.flatten().map(|thread| {
        // A thread may have ended since.
        fs::read_to_string(thread.path().join("children")).unwrap_or_default()
    });
    let pids = lists.flat_map(|list| {
        let pids = list.split_whitespace().map(|pid| pid.parse().unwrap());
        pids.collect::<Vec<i32>>()
    });
    pids.filter_map(Pid::from_raw).collect()
}
