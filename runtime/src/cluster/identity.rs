//! Who a node is: certificates of the cluster's own authority, and TLS that asks for them.
//!
//! The [`Authority`] issues; an [`Identity`] is what a node holds; a [`Subject`] is what its
//! certificate says. Both ends of a link show theirs, in TLS 1.3 and nothing older.

mod authority;
mod credential;
mod pinned;
mod subject;
#[cfg(test)]
mod tests;
mod tls;

pub use authority::Authority;
pub(super) use authority::request as certificate_request;
pub(super) use credential::named;
pub use credential::{Identity, Request};
pub use pinned::Fingerprint;
pub(super) use pinned::{hex, pinned_client, unhex};
pub use subject::{Subject, is_name};
pub(super) use tls::{JOIN, MESH, SERVER_NAME};

/// Why a certificate cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A certificate or a request could not be made or signed.
    #[error("a certificate could not be made")]
    Issue(#[from] rcgen::Error),
    /// The request was not signed with the key that it is for, or is none.
    #[error("the certificate request is not signed by its own key, or is none")]
    BadRequest,
    /// A name that certificates do not carry.
    #[error("`{0}` cannot be a node's name; use up to 63 of a-z, A-Z, 0-9, `-`, `_` and `.`")]
    BadName(String),
    /// Something that should be PEM is not.
    #[error("{what} cannot be read: {reason}")]
    Unreadable {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate without the cluster's words.
    #[error("the certificate names no node of a cluster: {0}")]
    NoSubject(String),
    /// Key, certificate and authority do not belong together.
    #[error("the certificate of this node cannot be used: {0}")]
    Unusable(String),
    /// A file could not be read or written.
    #[error("{path} cannot be used: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}
