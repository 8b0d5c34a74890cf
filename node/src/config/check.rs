//! What must hold within and between sections, whatever each value's type allows.

use std::{fmt, time::Duration};

use protocol::time::Span;
use runtime::{cluster::identity::is_name, store::Address};

use super::Config;

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which key, such as `allocator.weights`.
    pub key: &'static str,
    /// What is wrong and what helps.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl Config {
    /// Everything that does not hold; empty when all is well.
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut require = |holds: bool, key, message: &str| {
            if !holds {
                findings.push(Finding {
                    key,
                    message: message.to_owned(),
                });
            }
        };
        self.check_node(&mut require);
        self.check_cluster(&mut require);
        self.check_actors(&mut require);
        self.check_allocator(&mut require);
        findings
    }

    fn check_node(&self, require: &mut impl FnMut(bool, &'static str, &str)) {
        require(
            is_name(&self.node.name),
            "node.name",
            "must be 1 to 63 letters, digits, `.`, `_` or `-`, because certificates carry it",
        );
        require(
            !self.node.data_dir.as_os_str().is_empty(),
            "node.data_dir",
            "must name a directory",
        );
        require(
            self.node.grace.0 <= Duration::from_secs(35),
            "node.grace",
            "must not be longer than 35s, so that the process ends within a minute",
        );
        #[cfg(feature = "cli")]
        if let Err(reason) = crate::telemetry::check_level(&self.log.level) {
            require(false, "log.level", &reason);
        }
        if let Some(endpoint) = &self.telemetry.otlp_endpoint {
            require(
                super::telemetry::is_collector(endpoint),
                "telemetry.otlp_endpoint",
                "must have the form `http://HOST:PORT` or `https://HOST`",
            );
        }
        require(
            (0.0..=1.0).contains(&self.telemetry.trace_ratio),
            "telemetry.trace_ratio",
            "must lie between 0 and 1",
        );
        if let Some(url) = &self.store.url
            && let Err(error) = url.parse::<Address>()
        {
            require(false, "store.url", &error.to_string());
        }
        if let Some(url) = &self.store.replica_url {
            let fits = matches!(url.parse(), Ok(Address::Postgres(_)));
            let wrong = "must have the form `postgres://USER@HOST/DATABASE`";
            require(fits, "store.replica_url", wrong);
        }
    }

    fn check_cluster(&self, require: &mut impl FnMut(bool, &'static str, &str)) {
        let cluster = &self.cluster;
        require(
            !cluster.roles.is_empty(),
            "cluster.roles",
            "must name at least one of `control`, `worker` and `edge`",
        );
        require(cluster.shards > 0, "cluster.shards", "must be at least 1");
        match &cluster.advertise {
            Some(address) => require(
                is_address(address),
                "cluster.advertise",
                "must have the form `HOST:PORT`, such as `node-1.example:4697` or `[fd00::1]:4697`",
            ),
            None => require(
                !cluster.listen.ip().is_unspecified(),
                "cluster.advertise",
                &format!(
                    "is missing: `cluster.listen` is {}, which no other node can dial; say here as `HOST:PORT` where they reach this one",
                    cluster.listen
                ),
            ),
        }
        require(
            cluster.region.is_empty() || is_name(&cluster.region),
            "cluster.region",
            "must be up to 63 letters, digits, `.`, `_` or `-`, such as `eu-west`, or be left out",
        );
        require(
            (Duration::from_secs(2)..=Duration::from_secs(600)).contains(&cluster.lease.0),
            "cluster.lease",
            "must lie between 2s and 10m",
        );
        for wrong in cluster.timing().check() {
            require(false, "cluster.lease", &wrong);
        }
        require(
            cluster.certificate_life.0 >= Duration::from_secs(60),
            "cluster.certificate_life",
            "must be at least 1m",
        );
        require(
            cluster.retention.0 >= Duration::from_secs(24 * 60 * 60),
            "cluster.retention",
            "must be at least 1d",
        );
    }

    fn check_actors(&self, require: &mut impl FnMut(bool, &'static str, &str)) {
        for (key, span) in [
            ("tasks.step_timeout", self.tasks.step_timeout),
            ("tasks.max_backoff", self.tasks.max_backoff),
            ("health.interval", self.health.interval),
            ("health.timeout", self.health.timeout),
            ("breaker.pause", self.breaker.pause),
            ("allocator.ageing", self.allocator.ageing),
        ] {
            require(span > Span(Duration::ZERO), key, "must be longer than 0");
        }
        for (key, number) in [
            ("tasks.max_steps", u64::from(self.tasks.max_steps)),
            ("tasks.max_open", u64::from(self.tasks.max_open)),
            ("tasks.max_lost", u64::from(self.tasks.max_lost)),
            ("breaker.failures", u64::from(self.breaker.failures)),
            ("command.max_output", self.command.max_output),
            ("egress.max_response", self.egress.max_response),
        ] {
            require(number > 0, key, "must be at least 1");
        }
        require(
            self.health.timeout <= self.health.interval,
            "health.timeout",
            "must not be longer than health.interval, or checks would overtake each other",
        );
        let limits = self.supervision.limits.values();
        require(
            limits
                .chain([&self.supervision.limit])
                .all(|limit| limit.0 >= Duration::from_millis(100)),
            "supervision.limit",
            "must be at least 100ms, and so must each of supervision.limits",
        );
        let share = self.supervision.attempt_share;
        require(
            share > 0.0 && share <= 1.0,
            "supervision.attempt_share",
            "must be more than 0 and at most 1",
        );
        require(
            self.history.max_bytes >= 1 << 20,
            "history.max_bytes",
            "must be at least 1048576",
        );
        require(
            self.history.max_age.0 >= Duration::from_secs(60),
            "history.max_age",
            "must be at least 1m",
        );
        require(
            !self.egress.ports.contains(&0),
            "egress.ports",
            "0 is not a port",
        );
    }

    fn check_allocator(&self, require: &mut impl FnMut(bool, &'static str, &str)) {
        let weights = self.allocator.weights;
        let parts = [
            weights.fit,
            weights.availability,
            weights.balance,
            weights.affinity,
        ];
        require(
            parts.iter().all(|part| (0.0..=1.0).contains(part)),
            "allocator.weights",
            "each weight must lie between 0 and 1",
        );
        let sum: f64 = parts.iter().sum();
        require(
            (sum - 1.0).abs() < 1e-9,
            "allocator.weights",
            &format!("the four weights must add up to 1, not {sum}"),
        );
        for (key, limit) in [
            ("allocator.memory_limit", self.allocator.memory_limit),
            ("allocator.cpu_limit", self.allocator.cpu_limit),
            ("allocator.disk_limit", self.allocator.disk_limit),
        ] {
            require(
                limit > 0.0 && limit <= 1.0,
                key,
                "must be above 0 and at most 1",
            );
        }
    }
}

/// Whether other nodes can dial it.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = match literal {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            (1..=253).contains(&host.len())
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    };
    host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        config.check().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_defaults_hold() {
        assert_eq!(findings(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn an_advertised_address_is_one_that_can_be_dialled() {
        for good in [
            "node-1:4697",
            "10.0.0.7:1",
            "[fd00::1]:4697",
            "a.example:65535",
        ] {
            assert!(is_address(good), "{good}");
        }
        for wrong in [
            "",
            ":1",
            "a",
            "a:0",
            "a:x",
            "a:65536",
            "fd00::1:4697",
            "[a]:1",
            "http://a:1",
        ] {
            assert!(!is_address(wrong), "{wrong}");
        }
        let open = |c: &mut Config| {
            c.cluster.listen = "0.0.0.0:4697".parse().unwrap();
            c.cluster.advertise = Some("node-1:4697".to_owned());
        };
        assert_eq!(findings(open), Vec::<String>::new());
    }

    #[test]
    fn each_broken_rule_names_its_key() {
        type Change = fn(&mut Config);
        let table: [(Change, &str); 15] = [
            (
                |c| c.node.name = "n".repeat(64),
                "node.name: must be 1 to 63",
            ),
            (
                |c| c.cluster.advertise = Some("node-1".into()),
                "cluster.advertise: must have the form",
            ),
            (
                |c| c.cluster.listen = "0.0.0.0:4697".parse().unwrap(),
                "cluster.advertise: is missing",
            ),
            (|c| c.cluster.region = "eu west".into(), "cluster.region: "),
            (
                |c| c.allocator.weights.fit = 0.9,
                "allocator.weights: the four",
            ),
            (
                |c| c.allocator.weights.fit = f64::NAN,
                "allocator.weights: each",
            ),
            (|c| c.allocator.cpu_limit = 0.0, "allocator.cpu_limit: "),
            (
                |c| c.health.timeout = Span(Duration::from_secs(99)),
                "health.timeout: ",
            ),
            (
                |c| c.tasks.step_timeout = Span(Duration::ZERO),
                "tasks.step_timeout: ",
            ),
            (|c| c.tasks.max_steps = 0, "tasks.max_steps: "),
            (|c| c.node.name = "a b".into(), "node.name: "),
            (|c| c.egress.ports = vec![0], "egress.ports: "),
            (
                |c| c.telemetry.otlp_endpoint = Some("collector:4318".into()),
                "telemetry.otlp_endpoint: ",
            ),
            (|c| c.telemetry.trace_ratio = 1.5, "telemetry.trace_ratio: "),
            (
                |c| c.store.url = Some("mysql://db/x".into()),
                "store.url: must have the form",
            ),
        ];
        for (change, expected) in table {
            let found = findings(change);
            assert!(
                found.iter().any(|line| line.starts_with(expected)),
                "{expected} is not in {found:?}"
            );
        }
    }
}
