//! The token that an operator copies from one machine to another.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::{
    clock::Dice,
    cluster::identity::{Fingerprint, hex, unhex},
};

const PREFIX: &str = "troupe_join_";

/// A one-time secret and the authority of the cluster that it is for:
/// `troupe_join_<64 hex digits>.<64 hex digits>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    secret: [u8; 32],
    authority: Fingerprint,
}

impl Token {
    /// Draws a token for the cluster with this authority.
    #[must_use]
    pub fn create(authority: Fingerprint, dice: &Dice) -> Self {
        let mut secret = [0; 32];
        for half in secret.chunks_exact_mut(16) {
            half.copy_from_slice(&dice.token());
        }
        Self { secret, authority }
    }

    /// What the machine sends, in hex digits. The store keeps only its [`digest`].
    #[must_use]
    pub fn secret(&self) -> String {
        hex(&self.secret)
    }

    /// Whose cluster it is for.
    #[must_use]
    pub const fn authority(&self) -> Fingerprint {
        self.authority
    }
}

/// What a store keeps of a token's secret.
#[must_use]
pub fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// The whole token, secret and all: for the operator's eyes.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}.{}", self.secret(), self.authority)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(for {})", self.authority)
    }
}

/// A text that is no token, or not a whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no join token; it begins with `troupe_join_` and has 141 characters, so copy the whole line that `troupe token create` printed"
)]
pub struct InvalidToken;

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let rest = text.trim().strip_prefix(PREFIX).ok_or(InvalidToken)?;
        let (secret, authority) = rest.split_once('.').ok_or(InvalidToken)?;
        Ok(Self {
            secret: unhex(secret).ok_or(InvalidToken)?,
            authority: authority.parse().map_err(|_| InvalidToken)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_whole_or_not_at_all() {
        let authority: Fingerprint = "ab".repeat(32).parse().unwrap();
        let token = Token::create(authority, &Dice::seeded(1));
        let text = token.to_string();
        assert_eq!(text.len(), 141);
        assert_eq!(format!(" {text}\n").parse(), Ok(token.clone()));
        for cut in [
            &text[..140],
            &text[1..],
            "",
            "troupe_join_.",
            "troupe_join_é",
        ] {
            assert_eq!(cut.parse::<Token>(), Err(InvalidToken), "{cut}");
        }
        assert!(!format!("{token:?}").contains(&token.secret()));
        assert_ne!(token, Token::create(authority, &Dice::seeded(2)));
    }
}
