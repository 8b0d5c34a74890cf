//! Whether a delivery comes from whom it says: HMAC-SHA256 over what was sent.

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    hmac::{HMAC_SHA256, Key, sign},
};
use protocol::{time::Timestamp, trigger::Scheme};
use serde::{Deserialize, Serialize};

/// How far a sender's clock may be off, so that nothing old can be sent again.
const TOLERANCE_SECONDS: i64 = 300;

/// Characters that the id of a delivery may have.
const LONGEST_ID: usize = 256;

/// What came to a webhook.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delivery {
    /// Its headers, by names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, as it was sent.
    pub body: String,
}

impl Delivery {
    /// A header that is given once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut given = self.headers.iter().filter(|(other, _)| other == name);
        match (given.next(), given.next()) {
            (Some((_, value)), None) => Some(value),
            (None | Some(_), _) => None,
        }
    }
}

/// Why a delivery is not believed. Its sender is not told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// A header is missing, or given twice.
    #[error("`{0}` is missing or given twice")]
    Header(&'static str),
    /// It was signed too long ago, or is yet to be.
    #[error("its timestamp is more than five minutes off")]
    Stale,
    /// Nobody who has the secret signed this.
    #[error("its signature is not right")]
    Wrong,
    /// The secret is of no use.
    #[error("the secret is empty, or begins with `whsec_` and is not base64")]
    Secret,
}

/// The id of a delivery that is signed as it should be.
///
/// # Errors
///
/// Why it is not.
pub fn verified(
    scheme: Scheme,
    secret: &str,
    delivery: &Delivery,
    now: Timestamp,
) -> Result<String, Unsigned> {
    let header = |name: &'static str| {
        let value = delivery.header(name);
        value
            .filter(|value| !value.is_empty())
            .ok_or(Unsigned::Header(name))
    };
    match scheme {
        Scheme::Standard => {
            let (id, stamp) = (header("webhook-id")?, header("webhook-timestamp")?);
            let signatures = header("webhook-signature")?;
            let seconds: i64 = stamp
                .parse()
                .map_err(|_| Unsigned::Header("webhook-timestamp"))?;
            let text = format!("{id}.{stamp}.{}", delivery.body);
            let expected = signature_of(secret, &text)?;
            if !signatures.split(' ').any(|given| same(given, &expected)) {
                return Err(Unsigned::Wrong);
            }
            let off = (now.as_micros() / 1_000_000).abs_diff(seconds);
            if off > TOLERANCE_SECONDS.unsigned_abs() {
                return Err(Unsigned::Stale);
            }
            sound(id, "webhook-id")
        }
        Scheme::Github => {
            let id = header("x-github-delivery")?;
            let given = header("x-hub-signature-256")?;
            let given = given.strip_prefix("sha256=").ok_or(Unsigned::Wrong)?;
            let expected = hex(sign(&key(secret)?, delivery.body.as_bytes()).as_ref());
            if !same(&given.to_ascii_lowercase(), &expected) {
                return Err(Unsigned::Wrong);
            }
            sound(id, "x-github-delivery")
        }
    }
}

/// What Standard Webhooks send as `webhook-signature` of `ID.TIMESTAMP.BODY`.
///
/// # Errors
///
/// When the secret is of no use.
pub fn signature_of(secret: &str, text: &str) -> Result<String, Unsigned> {
    let signed = sign(&key(secret)?, text.as_bytes());
    Ok(format!("v1,{}", base64(signed.as_ref())))
}

fn sound(id: &str, header: &'static str) -> Result<String, Unsigned> {
    let fits = id.len() <= LONGEST_ID && id.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| id.to_owned()).ok_or(Unsigned::Header(header))
}

fn same(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// `whsec_` and base64, as Standard Webhooks hands secrets out, or any other text as it is.
fn key(secret: &str) -> Result<Key, Unsigned> {
    let bytes = match secret.strip_prefix("whsec_") {
        Some(encoded) => from_base64(encoded).ok_or(Unsigned::Secret)?,
        None => secret.as_bytes().to_vec(),
    };
    if bytes.is_empty() {
        return Err(Unsigned::Secret);
    }
    Ok(Key::new(HMAC_SHA256, &bytes))
}

const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for piece in bytes.chunks(3) {
        let mut whole = [0; 3];
        whole[..piece.len()].copy_from_slice(piece);
        let [a, b, c] = whole.map(usize::from);
        let signs = [
            a >> 2,
            (a & 3) << 4 | b >> 4,
            (b & 15) << 2 | c >> 6,
            c & 63,
        ];
        for (index, sign) in signs.into_iter().enumerate() {
            let shown = if index <= piece.len() {
                SIGNS[sign]
            } else {
                b'='
            };
            text.push(char::from(shown));
        }
    }
    text
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut count) = (0_u32, 0);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for sign in text.trim_end_matches('=').bytes() {
        let value = SIGNS.iter().position(|known| *known == sign)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(headers: &[(&str, &str)], body: &str) -> Delivery {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Delivery {
            headers: headers.iter().map(header).collect(),
            body: body.to_owned(),
        }
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    /// The example of the specification's own libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const STAMP: &str = "1614265330";
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn standard(signature: &str, body: &str) -> Delivery {
        let headers = [
            ("webhook-id", ID),
            ("webhook-timestamp", STAMP),
            ("webhook-signature", signature),
        ];
        delivery(&headers, body)
    }

    #[test]
    fn what_standard_webhooks_sign_is_believed_for_five_minutes() {
        let at = |now: i64, signature: &str, body: &str| {
            verified(
                Scheme::Standard,
                SECRET,
                &standard(signature, body),
                second(now),
            )
        };
        assert_eq!(at(1_614_265_330, SIGNATURE, BODY), Ok(ID.to_owned()));
        assert_eq!(at(1_614_265_630, SIGNATURE, BODY), Ok(ID.to_owned()));
        let rotated = format!("v1,bm90aGluZw== v2,x {SIGNATURE}");
        assert_eq!(at(1_614_265_330, &rotated, BODY), Ok(ID.to_owned()));
        assert_eq!(at(1_614_265_631, SIGNATURE, BODY), Err(Unsigned::Stale));
        assert_eq!(at(1_614_265_029, SIGNATURE, BODY), Err(Unsigned::Stale));
        assert_eq!(at(1_614_265_330, SIGNATURE, "{}"), Err(Unsigned::Wrong));
        assert_eq!(at(1_614_265_330, "v1,", BODY), Err(Unsigned::Wrong));
        assert_eq!(
            at(1_614_265_330, "", BODY),
            Err(Unsigned::Header("webhook-signature"))
        );
    }

    #[test]
    fn what_github_signs_is_believed() {
        // The example of its documentation.
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = |signature| {
            [
                ("x-github-delivery", "d-1"),
                ("x-hub-signature-256", signature),
            ]
        };
        let secret = "It's a Secret to Everybody";
        let given = |signature, body: &str, secret: &str| {
            verified(
                Scheme::Github,
                secret,
                &delivery(&headers(signature), body),
                second(0),
            )
        };
        assert_eq!(
            given(signature, "Hello, World!", secret),
            Ok("d-1".to_owned())
        );
        assert_eq!(
            given(signature, "Hello, World?", secret),
            Err(Unsigned::Wrong)
        );
        assert_eq!(
            given(signature, "Hello, World!", "guess"),
            Err(Unsigned::Wrong)
        );
        assert_eq!(
            given("sha256=", "Hello, World!", secret),
            Err(Unsigned::Wrong)
        );
        assert_eq!(
            given("sha1=7571", "Hello, World!", secret),
            Err(Unsigned::Wrong)
        );
        assert_eq!(given(signature, "Hello, World!", ""), Err(Unsigned::Secret));
    }

    #[test]
    fn a_header_that_is_given_twice_is_none() {
        let headers = [("a", "1"), ("a", "2"), ("b", "3")];
        let delivery = delivery(&headers, "");
        assert_eq!(
            (delivery.header("a"), delivery.header("b")),
            (None, Some("3"))
        );
    }

    #[test]
    fn base64_reads_back() {
        for bytes in [&b""[..], b"f", b"fo", b"foo", b"foob", &[0xff, 0, 0x80, 7]] {
            assert_eq!(from_base64(&base64(bytes)).unwrap(), bytes);
        }
        assert_eq!(base64(b"foob"), "Zm9vYg==");
        assert_eq!(from_base64("a b"), None);
    }
}
