//! Signatures of Standard Webhooks, version 1: HMAC-SHA-256 over id, time and body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What the specification asks of a secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The secrets of an endpoint: the one that holds and, while it is being changed, the one before.
#[derive(Clone)]
pub struct Secrets(Vec<Vec<u8>>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("has no secret: write whsec_ and 24 to 64 random bytes in Base64 on its first line")]
    None,
    #[error("line {0} is no secret: write whsec_ and 24 to 64 random bytes in Base64")]
    NoSecret(usize),
    #[error("has more than two secrets: leave the one that holds, and the one before it")]
    TooMany,
}

/// The secrets stay out of logs.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Reads a secret a line, the one that holds first.
    ///
    /// # Errors
    /// Says which line is none.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let secrets: Vec<_> = lines
            .map(|(at, line)| secret(line.trim()).ok_or(SecretError::NoSecret(at + 1)))
            .collect::<Result<_, _>>()?;
        match secrets.len() {
            0 => Err(SecretError::None),
            1 | 2 => Ok(Self(secrets)),
            _ => Err(SecretError::TooMany),
        }
    }

    /// The value of `webhook-signature`: one for each secret, so that the receiver can change over
    /// at any time.
    pub(super) fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let signatures = self.0.iter().filter_map(|secret| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
            mac.update(format!("{id}.{timestamp_s}.").as_bytes());
            mac.update(body);
            Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn secret(line: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(line.strip_prefix("whsec_")?).ok()?;
    SECRET_BYTES.contains(&bytes.len()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{SecretError, Secrets};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The example of the specification's own libraries.
    #[test]
    fn a_signature_is_what_others_libraries_make_it() {
        let secrets = Secrets::parse(SECRET).unwrap();
        let signature =
            secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn while_a_secret_changes_both_sign() {
        let both = Secrets::parse(&format!("{SECRET}\nwhsec_{}\n", "QUFB".repeat(8))).unwrap();
        let signature = both.sign("m", 1, b"{}");
        assert_eq!(signature.split(' ').filter(|one| one.starts_with("v1,")).count(), 2);
        assert_eq!(format!("{both:?}"), "Secrets(2)");
    }

    #[test]
    fn what_is_no_secret_is_named_by_its_line() {
        let check = |text: &str| Secrets::parse(text).unwrap_err();
        assert_eq!(check("\n"), SecretError::None);
        assert_eq!(check("hunter2"), SecretError::NoSecret(1));
        assert_eq!(check(&format!("{SECRET}\nwhsec_QUFB")), SecretError::NoSecret(2));
        assert_eq!(check(&format!("{SECRET}\n{SECRET}\n{SECRET}")), SecretError::TooMany);
    }
}
