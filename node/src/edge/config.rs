//! `[edge]` of `cluster.toml`: where the node listens, and who may call.

use std::{fmt, net::SocketAddr, path::PathBuf};

use protocol::{
    access::{Caller, DEFAULT_TENANT, Role},
    time::Span,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const fn seconds(number: u64) -> Span {
    Span(std::time::Duration::from_secs(number))
}

/// `[edge]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeConfig {
    /// Address and port to listen at; port 0 picks a free one. Anything but loopback needs `tls`.
    pub listen: SocketAddr,
    /// Certificate and key; plain HTTP without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// Serves no plain HTTP, not even on loopback: without `tls` the node does not start.
    pub require_tls: bool,
    /// Names, beside `localhost` and the address itself, under which clients reach this node.
    pub hosts: Vec<String>,
    /// Connections open at once.
    pub max_connections: usize,
    /// Connections open at once from one address; loopback is exempt.
    pub max_connections_per_ip: usize,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Span,
    /// How long a client may take to send a body, or to take the next piece of an answer.
    pub body_timeout: Span,
    /// How long a connection may lie idle.
    pub idle_timeout: Span,
    /// How long the node may take to answer, waiting that the client asked for aside.
    pub request_timeout: Span,
    /// Who may call, beside the node's own administrator.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenEntry>,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            tls: None,
            require_tls: false,
            hosts: Vec::new(),
            max_connections: 1024,
            max_connections_per_ip: 64,
            header_timeout: seconds(10),
            body_timeout: seconds(30),
            idle_timeout: seconds(60),
            request_timeout: seconds(30),
            tokens: Vec::new(),
        }
    }
}

/// `[edge.tls]`: PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate, then those that vouch for it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// `[[edge.tokens]]`: one who may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// Who it is, as records name it.
    pub user: String,
    /// What it may do.
    pub role: Role,
    /// Whose data it sees.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// SHA-256 of the token, so that the file holds no secret.
    pub sha256: TokenHash,
}

fn default_tenant() -> String {
    DEFAULT_TENANT.to_owned()
}

impl TokenEntry {
    /// The caller that its token stands for.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller {
            tenant: self.tenant.clone(),
            user: self.user.clone(),
            role: self.role,
        }
    }
}

/// SHA-256 of a token, written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

impl std::str::FromStr for TokenHash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str =
            "not a SHA-256 in 64 hex digits, as `printf %s TOKEN | sha256sum` prints it";
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(WRONG);
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| WRONG)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| WRONG)?;
        }
        Ok(Self(hash))
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_hash_is_64_hex_digits() {
        let digits = "ab".repeat(32);
        let hash: TokenHash = digits.parse().unwrap();
        assert_eq!(hash.to_string(), digits);
        for wrong in [
            "",
            "ab",
            &"zz".repeat(32),
            &"ä".repeat(32),
            &"+a".repeat(32)[..63],
        ] {
            assert!(wrong.parse::<TokenHash>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let wrong = serde_json::from_str::<EdgeConfig>(r#"{"listn": "127.0.0.1:1"}"#);
        assert!(wrong.unwrap_err().to_string().contains("listn"));
    }
}
