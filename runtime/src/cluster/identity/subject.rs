//! What a node's certificate says of it.

use protocol::member::{NodeRole, Roles};
use uuid::Uuid;

use super::IdentityError;

const SCHEME: &str = "troupe://";
const LONGEST_NAME: usize = 63;

/// A node as its certificate names it: `troupe://CLUSTER/IDENTITY/NAME?roles=control,worker`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Which cluster it belongs to.
    pub cluster: Uuid,
    /// The node, whatever it is called; removing a node revokes this.
    pub identity: Uuid,
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub roles: Roles,
}

impl Subject {
    /// As the certificate writes it.
    #[must_use]
    pub fn uri(&self) -> String {
        let Self {
            cluster,
            identity,
            name,
            roles,
        } = self;
        format!("{SCHEME}{cluster}/{identity}/{name}?roles={roles}")
    }

    /// Reads what [`Subject::uri`] wrote.
    ///
    /// # Errors
    ///
    /// When it is anything else.
    pub fn parse(uri: &str) -> Result<Self, IdentityError> {
        read(uri).ok_or_else(|| IdentityError::NoSubject(uri.chars().take(200).collect()))
    }
}

/// Whether certificates can carry `name` as a node's name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(plain)
}

fn read(uri: &str) -> Option<Subject> {
    let (path, roles) = uri.strip_prefix(SCHEME)?.split_once("?roles=")?;
    let mut parts = path.split('/');
    let (cluster, identity, name) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !is_name(name) {
        return None;
    }
    Some(Subject {
        cluster: Uuid::try_parse(cluster).ok()?,
        identity: Uuid::try_parse(identity).ok()?,
        name: name.to_owned(),
        roles: roles.split(',').map(role).collect::<Option<_>>()?,
    })
}

fn role(word: &str) -> Option<NodeRole> {
    NodeRole::ALL.into_iter().find(|role| role.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_read_back_from_its_uri() {
        let subject = Subject {
            cluster: Uuid::from_u128(7),
            identity: Uuid::from_u128(8),
            name: "rack-1.c_2".to_owned(),
            roles: [NodeRole::Worker, NodeRole::Control].into_iter().collect(),
        };
        assert_eq!(Subject::parse(&subject.uri()).unwrap(), subject);
    }

    #[test]
    fn a_uri_that_says_anything_else_names_nobody() {
        let id = Uuid::from_u128(7);
        for uri in [
            String::new(),
            format!("spiffe://{id}/{id}/n?roles=worker"),
            format!("troupe://{id}/{id}/n"),
            format!("troupe://{id}/{id}/n?roles="),
            format!("troupe://{id}/{id}/n?roles=king"),
            format!("troupe://{id}/{id}/?roles=worker"),
            format!("troupe://{id}/{id}/a/b?roles=worker"),
            format!("troupe://{id}/{id}/a b?roles=worker"),
            format!("troupe://{id}/x/n?roles=worker"),
        ] {
            assert!(Subject::parse(&uri).is_err(), "{uri}");
        }
        assert!(!is_name(&"n".repeat(64)) && is_name(&"n".repeat(63)));
    }
}
