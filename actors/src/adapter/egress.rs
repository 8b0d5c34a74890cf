//! Where a node may be made to call: public addresses, and what the operator excepts.
//!
//! An agent's endpoint comes from outside, so it could name the machine itself, its neighbours or
//! the cloud's metadata service. Names are looked up once for each connection, every address is
//! checked, and the connection goes to one of those checked.

mod address;
mod resolver;

use std::{fmt, net::IpAddr, ops::RangeInclusive};

use protocol::api::FieldError;
use url::{Host, Url};

pub use address::refusal as address_refusal;
pub(super) use resolver::{LookupError, Resolver, addresses};

/// Why an endpoint is not called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another scheme.
    #[error("`{0}:` is not called; only `http:` and `https:` are")]
    Scheme(String),
    /// A name or a password in the URL.
    #[error("the URL carries a user or a password; name a variable in `auth_config` instead")]
    Userinfo,
    /// No host.
    #[error("the URL names no host")]
    Host,
    /// Not one of the ports that are called.
    #[error("port {port} is not called; the operator can add `{host}:{port}` to `[egress] allow`")]
    Port {
        /// As the URL has it.
        host: String,
        /// Of the URL, or of its scheme.
        port: u16,
    },
    /// Not a public address.
    #[error("{address} is {kind}; the operator can add `{host}:{port}` to `[egress] allow`")]
    Address {
        /// As the URL has it.
        host: String,
        /// Of the URL, or of its scheme.
        port: u16,
        /// What the host stands for.
        address: IpAddr,
        /// What is wrong with it.
        kind: &'static str,
    },
}

/// What may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    exceptions: Vec<Exception>,
    ports: Vec<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    host: Host,
    ports: RangeInclusive<u16>,
}

impl Rules {
    /// Reads the operator's settings.
    ///
    /// # Errors
    ///
    /// Which exceptions are not of the form `host:port` or `host:from-to`.
    pub fn parse(settings: &crate::config::Egress) -> Result<Self, Vec<FieldError>> {
        let (mut exceptions, mut faults) = (Vec::new(), Vec::new());
        for (index, text) in settings.allow.iter().enumerate() {
            match Exception::parse(text) {
                Some(exception) => exceptions.push(exception),
                None => faults.push(FieldError::new(
                    format!("egress.allow[{index}]"),
                    format!("`{text}` is not of the form `host:port` or `host:from-to`"),
                )),
            }
        }
        if faults.is_empty() {
            let ports = settings.ports.clone();
            Ok(Self { exceptions, ports })
        } else {
            Err(faults)
        }
    }

    /// Checks all of `url` that can be checked without looking its host up.
    ///
    /// # Errors
    ///
    /// Why it is not called.
    pub fn target(&self, url: &Url) -> Result<Target, Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Userinfo);
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Refusal::Host);
        };
        let host = host.to_owned();
        let fits = |it: &Exception| it.host == host && it.ports.contains(&port);
        let scope = if self.exceptions.iter().any(fits) {
            Scope::Any
        } else {
            Scope::Public
        };
        let target = Target { host, port, scope };
        if target.scope == Scope::Public && !self.ports.contains(&port) {
            let host = target.host.to_string();
            return Err(Refusal::Port { host, port });
        }
        match target.host {
            Host::Ipv4(address) => target.permit(address.into())?,
            Host::Ipv6(address) => target.permit(address.into())?,
            Host::Domain(_) => {}
        }
        Ok(target)
    }
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        let (host, ports) = text.rsplit_once(':')?;
        let ports = match ports.split_once('-') {
            Some((from, to)) => from.parse().ok()?..=to.parse().ok()?,
            None => {
                let port = ports.parse().ok()?;
                port..=port
            }
        };
        let host = Host::parse(host).ok()?;
        (!ports.is_empty()).then_some(Self { host, ports })
    }
}

/// Which addresses a host may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scope {
    Public,
    Any,
}

/// A host and a port that may be called, if the host's addresses may.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    host: Host,
    port: u16,
    scope: Scope,
}

impl Target {
    /// Checks an address of the host.
    ///
    /// # Errors
    ///
    /// Why it is not called.
    pub fn permit(&self, address: IpAddr) -> Result<(), Refusal> {
        match (self.scope, address_refusal(address)) {
            (Scope::Any, _) | (Scope::Public, None) => Ok(()),
            (Scope::Public, Some(kind)) => Err(Refusal::Address {
                host: self.host.to_string(),
                port: self.port,
                address,
                kind,
            }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str]) -> Rules {
        Rules::parse(&crate::config::Egress {
            allow: allow.iter().map(|&text| text.to_owned()).collect(),
            ..crate::config::Egress::default()
        })
        .unwrap()
    }

    fn target(rules: &Rules, url: &str) -> Result<Target, Refusal> {
        rules.target(&Url::parse(url).unwrap())
    }

    #[test]
    fn every_way_to_write_an_inner_address_is_refused() {
        for url in [
            "http://127.0.0.1/",
            "http://0/",
            "http://0.0.0.0/",
            "http://127.1/",
            "http://2130706433/",
            "http://0177.1/",
            "http://0x7f.1/",
            "http://0x7f000001/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://169.254.169.254/latest/meta-data",
            "http://[fd00:ec2::254]/",
            "http://①②⑦.⓪.⓪.①/",
            "http://127。0。0。1/",
            "http:\\\\127.0.0.1\\",
        ] {
            let refused = target(&rules(&[]), url);
            assert!(
                matches!(refused, Err(Refusal::Address { .. })),
                "{url}: {refused:?}"
            );
        }
    }

    #[test]
    fn other_schemes_ports_and_credentials_are_refused() {
        let rules = rules(&[]);
        for (url, refusal) in [
            ("ftp://a.test/", Refusal::Scheme("ftp".into())),
            ("file:///etc/passwd", Refusal::Scheme("file".into())),
            ("http://u@a.test/", Refusal::Userinfo),
            ("https://u:p@a.test/", Refusal::Userinfo),
            (
                "http://a.test:22/",
                Refusal::Port {
                    host: "a.test".into(),
                    port: 22,
                },
            ),
        ] {
            assert_eq!(target(&rules, url), Err(refusal), "{url}");
        }
        assert!(target(&rules, "https://a.test/x").is_ok());
        assert!(target(&rules, "http://8.8.8.8/x").is_ok());
    }

    #[test]
    fn an_exception_holds_for_its_host_and_ports_only() {
        let rules = rules(&["127.0.0.1:8002", "inner.test:8000-8010", "[::1]:9"]);
        for url in [
            "http://127.0.0.1:8002/",
            "http://2130706433:8002/",
            "http://INNER.test:8010/",
            "http://[0:0::1]:9/",
        ] {
            assert!(target(&rules, url).is_ok(), "{url}");
        }
        for url in [
            "http://127.0.0.1:8003/",
            "http://127.0.0.2:8002/",
            "http://inner.test:8011/",
            "http://x.inner.test:8000/",
        ] {
            assert!(target(&rules, url).is_err(), "{url}");
        }
        let inner = target(&rules, "http://inner.test:8000/").unwrap();
        assert_eq!(inner.permit([10, 0, 0, 1].into()), Ok(()));
        let other = target(&rules, "http://inner.test/").unwrap();
        assert!(other.permit([10, 0, 0, 1].into()).is_err());
    }

    #[test]
    fn a_malformed_exception_is_named() {
        let allow = [
            "a.test:80",
            "a.test",
            "a.test:9-1",
            "a.test:x",
            ":1",
            "[::1:9",
        ];
        let settings = crate::config::Egress {
            allow: allow.map(str::to_owned).to_vec(),
            ..crate::config::Egress::default()
        };
        let faults = Rules::parse(&settings).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        let expected = [1, 2, 3, 4, 5].map(|index| format!("egress.allow[{index}]"));
        assert_eq!(fields, expected);
    }
}
