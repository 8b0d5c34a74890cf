//! Secrets: read when they are needed, shown to the service, and to nobody else.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde_json::Value;

use super::config::Auth;
use crate::adapter::{CallError, Probe};

const HIDDEN: &str = "[redacted]";
/// Shorter secrets are found in texts by chance, and protect nothing.
const SHORTEST: usize = 4;

/// A value that a header cannot hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("fits no header")]
pub(super) struct Unfit;

/// The header that shows who the node is, and what must not be seen elsewhere.
#[derive(Default)]
pub(super) struct Secret {
    header: Option<(HeaderName, HeaderValue)>,
    texts: Vec<String>,
}

impl Secret {
    /// Makes the header out of the value, which is that of the variable or a token granted.
    pub(super) fn new(auth: &Auth, value: &str) -> Result<Self, Unfit> {
        let (name, text) = match auth {
            Auth::None => return Ok(Self::default()),
            Auth::BearerToken { .. } | Auth::Oauth2ClientCredentials(_) => {
                return Self::bearer(value);
            }
            Auth::ApiKeyHeader { header, .. } => {
                let name = HeaderName::from_bytes(header.as_bytes()).map_err(|_| Unfit)?;
                (name, value.to_owned())
            }
            Auth::Basic { .. } => (AUTHORIZATION, format!("Basic {}", base64(value.as_bytes()))),
        };
        Self::shown_as(name, &text, value)
    }

    pub(super) fn bearer(token: &str) -> Result<Self, Unfit> {
        Self::shown_as(AUTHORIZATION, &format!("Bearer {token}"), token)
    }

    /// Hides these too.
    pub(super) fn hiding(mut self, texts: impl IntoIterator<Item = String>) -> Self {
        self.texts.extend(texts);
        self.texts.retain(|text| text.len() >= SHORTEST);
        self
    }

    fn shown_as(name: HeaderName, text: &str, value: &str) -> Result<Self, Unfit> {
        let mut header = HeaderValue::from_str(text).map_err(|_| Unfit)?;
        header.set_sensitive(true);
        let shown = text.split_once(' ').map_or(text, |(_, shown)| shown);
        let password = value
            .split_once(':')
            .map_or(value, |(_, password)| password);
        let secret = Self {
            header: Some((name, header)),
            texts: Vec::new(),
        };
        Ok(secret.hiding([value, shown, password].map(str::to_owned)))
    }

    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        self.header.clone()
    }

    /// Takes the secret out of a reply before any of it is shown.
    pub(super) fn hide_in_body(&self, body: Vec<u8>) -> Vec<u8> {
        match String::from_utf8(body) {
            Ok(mut text) => {
                self.hide_in_text(&mut text);
                text.into_bytes()
            }
            Err(error) => error.into_bytes(),
        }
    }

    /// Takes it out of what was made of a reply, where it may have been written in another way.
    pub(super) fn hide_in(&self, answer: Result<Value, CallError>) -> Result<Value, CallError> {
        match answer {
            Ok(mut output) => {
                self.hide_in_value(&mut output);
                Ok(output)
            }
            Err(mut error) => {
                match &mut error {
                    CallError::Failed { failure, .. } | CallError::Lost { failure, .. } => {
                        self.hide_in_text(&mut failure.message);
                    }
                    CallError::Cancelled | CallError::Waits(_) => {}
                }
                Err(error)
            }
        }
    }

    pub(super) fn hide_in_probe(&self, mut probe: Probe) -> Probe {
        match &mut probe {
            Probe::Done(output) => self.hide_in_value(output),
            Probe::NotDone => {}
            Probe::Unknown(text) => self.hide_in_text(text),
        }
        probe
    }

    fn hide_in_text(&self, text: &mut String) {
        for secret in &self.texts {
            if text.contains(secret) {
                *text = text.replace(secret, HIDDEN);
            }
        }
    }

    fn hide_in_value(&self, value: &mut Value) {
        if self.texts.is_empty() {
            return;
        }
        match value {
            Value::String(text) => self.hide_in_text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide_in_value(item)),
            Value::Object(fields) => {
                let shows = |name: &String| self.texts.iter().any(|secret| name.contains(secret));
                if fields.keys().any(shows) {
                    let taken = std::mem::take(fields);
                    fields.extend(taken.into_iter().map(|(mut name, value)| {
                        self.hide_in_text(&mut name);
                        (name, value)
                    }));
                }
                fields.values_mut().for_each(|it| self.hide_in_value(it));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .chain([&0, &0])
            .take(3)
            .fold(0_usize, |group, byte| group << 8 | usize::from(*byte));
        for place in 0..4 {
            let letter = LETTERS[group >> (18 - 6 * place) & 0x3f];
            text.push(if place <= chunk.len() {
                letter.into()
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("Aladdin:open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("\u{ff}\u{3ff}~", "w7/Pv34="),
        ] {
            assert_eq!(base64(plain.as_bytes()), text, "{plain}");
        }
    }

    #[test]
    fn a_secret_that_comes_back_is_hidden_in_every_form() {
        let auth = Auth::Basic {
            env_var: "X".to_owned(),
        };
        let secret = Secret::new(&auth, "user:hunter22").unwrap();
        let echoed = json!({
            "headers": [{ "Authorization": "Basic dXNlcjpodW50ZXIyMg==" }],
            "it is hunter22!": 1, "clear": "user:hunter22", "other": "user",
        });
        let hidden = json!({
            "headers": [{ "Authorization": "Basic [redacted]" }],
            "it is [redacted]!": 1, "clear": "[redacted]", "other": "user",
        });
        assert_eq!(secret.hide_in(Ok(echoed)), Ok(hidden));
        let failed = CallError::fatal("x", "bad password hunter22");
        let hidden = CallError::fatal("x", "bad password [redacted]");
        assert_eq!(secret.hide_in(Err(failed)), Err(hidden));
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn a_value_that_would_split_a_header_is_refused_without_being_shown() {
        let auth = Auth::BearerToken {
            env_var: "TOKEN".to_owned(),
        };
        let error = Secret::new(&auth, "abcdef\r\nX: y").unwrap_err();
        assert_eq!(error, Unfit);
    }
}
