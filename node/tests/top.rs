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
    process::Command,
    thread,
    time::{Duration, Instant},
};

use program::Program;
use rustix::process::Signal;

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
    let _node = troupe.start();
    let agent = r#"{"name": "sleeper", "agent_type": "command", "capabilities": ["sleep"],
        "config": {"argv": ["sleep", "1000"]}}"#;
    std::fs::write(troupe.folder().join("agent.json"), agent).unwrap();
    troupe.ok(&["agent", "register", "agent.json"]);
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
    terminal.until("its details are there", |screen| {
        screen.contains("/agents/sleeper")
            && screen.contains("handled")
            && screen.contains("Esc back")
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
