//! Who is calling: the bearer token of a request against the tokens that the node knows.

use std::{sync::Arc, time::Duration};

use actors::Orchestrator;
use http::{HeaderMap, header::AUTHORIZATION};
use protocol::{access::Caller, id::NodeId, record::ChainHash};
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::config::TokenEntry;

/// The known tokens, as hashes.
#[derive(Debug)]
pub(crate) struct Tokens {
    known: Vec<([u8; 32], Arc<Caller>)>,
}

/// A caller, and by what it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) caller: Arc<Caller>,
    pub(crate) credential: Credential,
}

/// By what a caller is known, for whoever has to see later whether that still counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A token of this node, which counts for as long as its process runs.
    Own,
    /// The administrator's token of another node, by SHA-256 in hex.
    Admin(String),
    /// A token of that node alone, which it stood in for by a ticket.
    Of(NodeId),
}

impl Credential {
    /// How often it is looked at while somebody reads on.
    const LOOK: Duration = Duration::from_secs(2);

    fn counts(&self, orchestrator: &Orchestrator) -> bool {
        match self {
            Self::Own => true,
            Self::Admin(sha256) => orchestrator.is_admin(sha256),
            Self::Of(node) => orchestrator.is_newest(*node),
        }
    }

    /// Comes to its end when the credential counts no more.
    pub(crate) async fn withdrawn(self, orchestrator: Orchestrator) {
        match self {
            Self::Own => std::future::pending().await,
            Self::Admin(_) | Self::Of(_) => {
                while self.counts(&orchestrator) {
                    sleep(Self::LOOK).await;
                }
            }
        }
    }
}

impl Tokens {
    /// The administrator's token and those of the configuration.
    pub(crate) fn new(admin: [u8; 32], entries: &[TokenEntry]) -> Self {
        let mut known = vec![(admin, Caller::admin().into())];
        known.extend(
            entries
                .iter()
                .map(|entry| (entry.sha256.0, entry.caller().into())),
        );
        Self { known }
    }

    /// The caller that a request's token stands for. `is_admin` knows the administrators' tokens of the
    /// other nodes, by SHA-256 in hex.
    pub(crate) fn caller(
        &self,
        headers: &HeaderMap,
        is_admin: impl Fn(&str) -> bool,
    ) -> Option<Known> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        // Two answers to "who are you" are none.
        let (Some(header), None) = (given.next(), given.next()) else {
            return None;
        };
        let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return None;
        }
        let hash: [u8; 32] = Sha256::digest(token.trim().as_bytes()).into();
        // All are compared, and each in full, so that time tells nothing.
        let known = self.known.iter().fold(None, |found, (known, caller)| {
            if same(known, &hash) {
                Some(Known {
                    caller: caller.clone(),
                    credential: Credential::Own,
                })
            } else {
                found
            }
        });
        known.or_else(|| {
            let sha256 = ChainHash(hash).to_string();
            is_admin(&sha256).then(|| Known {
                caller: Caller::admin().into(),
                credential: Credential::Admin(sha256),
            })
        })
    }
}

fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use protocol::access::Role;

    use super::{super::config::TokenHash, *};

    fn hash(token: &str) -> [u8; 32] {
        Sha256::digest(token.as_bytes()).into()
    }

    fn tokens() -> Tokens {
        let ann = TokenEntry {
            user: "ann".to_owned(),
            role: Role::Viewer,
            tenant: "acme".to_owned(),
            sha256: TokenHash(hash("anns")),
        };
        Tokens::new(hash("root"), &[ann])
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (AUTHORIZATION, value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_known_token_names_its_caller() {
        let ann = tokens()
            .caller(&headers(&["Bearer anns"]), |_| false)
            .unwrap();
        assert_eq!(ann.credential, Credential::Own);
        let ann = ann.caller;
        assert_eq!(
            (ann.user.as_str(), ann.tenant.as_str(), ann.role),
            ("ann", "acme", Role::Viewer)
        );
        let root = tokens()
            .caller(&headers(&["bearer root"]), |_| false)
            .unwrap();
        assert_eq!(*root.caller, Caller::admin());
    }

    #[test]
    fn the_administrator_of_another_node_is_one_here() {
        let theirs = ChainHash(hash("theirs")).to_string();
        let given = headers(&["Bearer theirs"]);
        let known = tokens().caller(&given, |hash| hash == theirs).unwrap();
        assert_eq!(*known.caller, Caller::admin());
        assert_eq!(known.credential, Credential::Admin(theirs));
    }

    #[test]
    fn anything_else_names_nobody() {
        for wrong in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["Bearer roo"],
            &["Bearer rootroot"],
            &["Basic root"],
            &["root"],
            &["Bearer root", "Bearer anns"],
            &["Bearer root", "Bearer root"],
        ] {
            let other = ChainHash(hash("another")).to_string();
            let caller = tokens().caller(&headers(wrong), |hash| hash == other);
            assert!(caller.is_none(), "{wrong:?}");
        }
    }
}
