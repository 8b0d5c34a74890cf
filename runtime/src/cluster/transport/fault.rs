//! Why a node cannot be reached: one line each, naming cause and remedy.

use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as Tls};

/// Why a dial came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Nobody took the connection.
    #[error(
        "{address} does not answer: {reason}; check that the node runs and that its mesh port is open"
    )]
    Unreachable {
        /// What was dialled.
        address: String,
        /// What the machine says.
        reason: String,
    },
    /// It took the connection and then was silent.
    #[error(
        "{address} took the connection but did not answer in time; it is overloaded, or no mesh port of a node"
    )]
    Silent {
        /// What was dialled.
        address: String,
    },
    /// It does not speak what nodes speak.
    #[error("{address} is no mesh port of a node ({reason}); check the address and the port")]
    Stranger {
        /// What was dialled.
        address: String,
        /// What was wrong.
        reason: String,
    },
    /// It has a certificate of another authority.
    #[error(
        "the node at {address} belongs to another cluster: this cluster's authority did not issue its certificate; check the address, or join with a token of that cluster"
    )]
    ForeignNode {
        /// What was dialled.
        address: String,
    },
    /// It does not accept our certificate's issuer.
    #[error(
        "the node at {address} belongs to another cluster: it does not accept this node's certificate; check the address, or join with a token of that cluster"
    )]
    ForeignSelf {
        /// What was dialled.
        address: String,
    },
    /// Its certificate has ended, or does not hold yet.
    #[error(
        "the certificate of the node at {address} has expired or does not hold yet; check the clocks of both machines, or let that node join again with a new token"
    )]
    ExpiredNode {
        /// What was dialled.
        address: String,
    },
    /// It says so of our certificate.
    #[error(
        "the node at {address} says that this node's certificate has expired or does not hold yet; check the clocks of both machines, or join again with a new token"
    )]
    ExpiredSelf {
        /// What was dialled.
        address: String,
    },
    /// One of the two refused, in words that name both.
    #[error("{address}: {reason}")]
    Refused {
        /// What was dialled.
        address: String,
        /// Why.
        reason: String,
    },
    /// It runs, and dials this node itself.
    #[error("{address}: {reason}")]
    Awaited {
        /// What was dialled.
        address: String,
        /// Which node that is.
        reason: String,
    },
    /// The connection ended half-way.
    #[error(
        "{address} closed the connection before the link was open: {reason}; see the log of that node"
    )]
    Broken {
        /// What was dialled.
        address: String,
        /// What the machine says.
        reason: String,
    },
}

impl DialError {
    /// Whether the node may be reached later though nobody changes anything here: it does not run, or
    /// the network is cut.
    #[must_use]
    pub const fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Awaited { .. }
            | Self::Broken { .. } => true,
            Self::Stranger { .. }
            | Self::ForeignNode { .. }
            | Self::ForeignSelf { .. }
            | Self::ExpiredNode { .. }
            | Self::ExpiredSelf { .. }
            | Self::Refused { .. } => false,
        }
    }
}

/// Reads why TLS, or what came after it, failed.
pub(in crate::cluster) fn diagnose(address: &str, error: &io::Error) -> DialError {
    let address = address.to_owned();
    let inner = error.get_ref();
    let reason = error.to_string();
    let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<Tls>()) else {
        if error.kind() == io::ErrorKind::InvalidData {
            return DialError::Stranger { address, reason };
        }
        return DialError::Broken { address, reason };
    };
    match tls {
        Tls::InvalidCertificate(error) => match error {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => DialError::ExpiredNode { address },
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                DialError::ForeignNode { address }
            }
            _ => DialError::Stranger { address, reason },
        },
        Tls::AlertReceived(alert) => match alert {
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError => DialError::ForeignSelf { address },
            AlertDescription::CertificateExpired => DialError::ExpiredSelf { address },
            _ => DialError::Stranger { address, reason },
        },
        _ => DialError::Stranger { address, reason },
    }
}
