//! Paths and queries, percent-encoded.

use std::fmt::{Display, Write};

/// A path below the interface's root, with its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route(String);

impl Route {
    /// `/api/v1` and the parts behind it.
    pub(super) fn to<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut text = "/api/v1".to_owned();
        for part in parts {
            text.push('/');
            encode(&mut text, part);
        }
        Self(text)
    }

    /// A path that is taken as it is.
    pub(super) fn plain(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// The same path, spelt so that its last part is none of these words to the node.
    #[must_use]
    pub(super) fn escaped(mut self, words: &[&str]) -> Self {
        let last = self.0.rfind('/').map_or(0, |slash| slash + 1);
        if let Some(first) = words
            .contains(&&self.0[last..])
            .then(|| self.0.as_bytes()[last])
        {
            self.0.replace_range(last..=last, &format!("%{first:02X}"));
        }
        self
    }

    /// Adds a parameter, if it has a value.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: Option<impl Display>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.contains('?') { '&' } else { '?' });
            encode(&mut self.0, name);
            self.0.push('=');
            encode(&mut self.0, &value.to_string());
        }
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn encode(text: &mut String, part: &str) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_a_word_of_the_interface_is_spelt_otherwise() {
        let route = |name| Route::to(["actors", name]).escaped(&["state"]);
        assert_eq!(route("state").as_str(), "/api/v1/actors/%73tate");
        assert_eq!(route("states").as_str(), "/api/v1/actors/states");
    }

    #[test]
    fn whatever_a_name_holds_it_stays_one_part() {
        let route = Route::to(["agents", "a/b?c=ä d"])
            .with("q", Some("x&y"))
            .with("none", None::<u32>)
            .with("limit", Some(5));
        assert_eq!(
            route.as_str(),
            "/api/v1/agents/a%2Fb%3Fc%3D%C3%A4%20d?q=x%26y&limit=5"
        );
    }
}
