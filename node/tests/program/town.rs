//! A cluster of one node, and how others join it.

use crate::program::{Program, Running};

/// A first node, and how to join it.
pub(crate) struct Town {
    pub(crate) program: Program,
    pub(crate) _node: Running,
    pub(crate) mesh: String,
    pub(crate) token: String,
}

impl Town {
    pub(crate) fn found(name: &str) -> Self {
        Self::found_in(Program::new(), name)
    }

    pub(crate) fn found_in(program: Program, name: &str) -> Self {
        let mut node = program.spawn(&[
            "start",
            "--log",
            "warn",
            "--name",
            name,
            "--mesh",
            "127.0.0.1:0",
        ]);
        let line = node.wait_for("join ");
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |flag: &str| {
            let at = words.iter().position(|word| *word == flag).unwrap();
            words[at + 1].to_owned()
        };
        Self {
            mesh: after("--join"),
            token: after("--token"),
            program,
            _node: node,
        }
    }

    /// What a machine says that wants to join this cluster.
    pub(crate) fn join<'a>(&'a self, token: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec!["start", "--log", "warn", "--mesh", "127.0.0.1:0"];
        words.extend(["--join", &self.mesh, "--token", token]);
        words.extend(more);
        words
    }

    pub(crate) fn new_token(&self, more: &[&str]) -> String {
        let made = self
            .program
            .ok(&[&["token", "create", "-q"], more].concat());
        made.trim().to_owned()
    }

    pub(crate) fn node(&self, name: &str) -> serde_json::Value {
        let nodes = self.program.json(&["nodes"]);
        let items = nodes["items"].as_array().unwrap().iter();
        let mut named = items.filter(|node| node["name"] == name);
        named
            .next()
            .unwrap_or_else(|| panic!("no {name} in {nodes}"))
            .clone()
    }
}
