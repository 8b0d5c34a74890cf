//! Under which names a node answers, so that a web page cannot reach it under one of its own. Pure.

use std::net::IpAddr;

/// The names that requests may carry in `Host`.
#[derive(Debug)]
pub(crate) struct Hosts {
    names: Vec<String>,
    literals: Literals,
}

/// Which bare addresses count as names of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Literals {
    /// Only those of the loopback.
    Loopback,
    /// All: nobody can rebind a number, and a node behind a router does not know its own.
    Any,
}

impl Hosts {
    /// For a node that listens at `bound` and is also known as `names`.
    pub(crate) fn new(bound: IpAddr, names: &[String]) -> Self {
        let literals = if bound.is_loopback() {
            Literals::Loopback
        } else {
            Literals::Any
        };
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { names, literals }
    }

    /// Whether the node answers under `authority`, which may carry a port.
    pub(crate) fn answers(&self, authority: &str) -> bool {
        let Some(name) = without_port(authority) else {
            return false;
        };
        let literal = name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        match (literal, self.literals) {
            (Ok(address), Literals::Loopback) if address.is_loopback() => true,
            (Ok(_), Literals::Any) => true,
            (Ok(_) | Err(_), _) => {
                name.eq_ignore_ascii_case("localhost")
                    || self
                        .names
                        .iter()
                        .any(|known| known.eq_ignore_ascii_case(name))
            }
        }
    }
}

fn without_port(authority: &str) -> Option<&str> {
    let end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (name, port) = authority.split_at(end);
    let digits = port.strip_prefix(':').unwrap_or(port);
    (!name.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(bound: &str, authority: &str) -> bool {
        Hosts::new(bound.parse().unwrap(), &["Troupe.example".to_owned()]).answers(authority)
    }

    #[test]
    fn a_loopback_node_answers_under_its_own_names_only() {
        for good in [
            "localhost",
            "LOCALHOST:8000",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8000",
            "troupe.example:443",
        ] {
            assert!(answers("127.0.0.1", good), "{good}");
        }
        for evil in [
            "",
            "evil.test",
            "evil.test:8000",
            "localhost.evil.test",
            "10.0.0.1",
            "127.0.0.1.evil.test",
            "[::1].evil.test",
            "localhost:80x",
            "[::1",
            "localhost@evil.test",
        ] {
            assert!(!answers("127.0.0.1", evil), "{evil}");
        }
    }

    #[test]
    fn another_node_also_answers_under_bare_addresses() {
        assert!(answers("0.0.0.0", "10.0.0.1:8000"));
        assert!(!answers("0.0.0.0", "evil.test"));
    }
}
