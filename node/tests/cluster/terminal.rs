//! An operator's terminal: `troupe` commands against one node of a cluster.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{machine::Machine, process::Process};

/// Whose token a command is given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Login {
    /// The node's own administrator.
    Admin,
    /// One who may look, and no more: see [`VIEWERS`].
    Viewer,
}

/// Settings with which a node knows the token `viewer`.
pub(crate) const VIEWERS: &str = "[[edge.tokens]]\nuser = \"viewer\"\nrole = \"viewer\"\n\
    sha256 = \"d35ca5051b82ffc326a3b0b6574a9a3161dee16b9478a199ee39cd803ce5b799\"\n";

/// Commands go to the node that this machine runs.
#[derive(Clone, Copy)]
pub(crate) struct Terminal<'a> {
    machine: &'a Machine,
    login: Login,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl<'a> Terminal<'a> {
    pub(crate) const fn at(machine: &'a Machine, login: Login) -> Self {
        Self { machine, login }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let place = &self.machine.place;
        let mut command = place.troupe(arguments);
        match self.login {
            Login::Admin => {}
            Login::Viewer => {
                let url = fs::read_to_string(place.data().join("edge.url")).unwrap();
                command.args(["--url", url.trim(), "--token", "viewer"]);
            }
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let ended = self.command(arguments).output().unwrap();
        Said {
            code: ended.status.code(),
            out: String::from_utf8(ended.stdout).unwrap(),
            err: String::from_utf8(ended.stderr).unwrap(),
        }
    }

    /// What a command prints that must go well.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        said.out
    }

    /// The same, read as JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let out = self.ok(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&out).unwrap()
    }

    /// The first line of a command that goes on for ever.
    pub(crate) fn first_line(&self, arguments: &[&str]) -> Value {
        let mut command = self.command(&[arguments, &["-o", "json"]].concat());
        let mut child = Process(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        let mut out = BufReader::new(child.0.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}
