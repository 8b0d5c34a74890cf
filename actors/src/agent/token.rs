//! What proves that a message speaks for an attempt.

use protocol::{record::ChainHash, task::TokenHash};
use sha2::{Digest, Sha256};

/// What is stored of an attempt's secret.
pub(crate) fn token_hash(token: &[u8; 16]) -> TokenHash {
    ChainHash(Sha256::digest(token).into()).to_string()
}
