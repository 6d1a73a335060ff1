//! Who may ask, where the page is not for this machine alone: operators, each by a token and in a
//! role; and a limit on guessing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::{self, HeaderMap};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use enrich::trigger::{same_secret, sha256_hex};
use serde::Deserialize;

use crate::asked;
use crate::contracts;
use crate::problem::Problem;
use crate::rates::network;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look at everything but exports.
    Read,
    /// Change things as well, and export.
    Operate,
}

/// Somebody who may look, or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    pub name: String,
    /// SHA-256 of the token, in hex. Tokens are long and random: a fast hash is as good as any.
    pub token_sha256: String,
    pub role: Role,
}

/// After so many wrong tokens within a minute an address (of IPv6: a /64) waits for the rest of it.
const ATTEMPTS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses remembered for wrong tokens: when there are more, all are forgotten.
const REMEMBERED: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Login {
    operators: Vec<Operator>,
    wrong: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl Login {
    pub(crate) fn new(operators: Vec<Operator>) -> Self {
        Self { operators, wrong: Mutex::default() }
    }

    /// Whether anybody has to log in; otherwise the address is only this machine's.
    pub(crate) fn is_needed(&self) -> bool {
        !self.operators.is_empty()
    }

    /// The role of whoever has this token. Takes the same time whichever operator it is, if any.
    pub(crate) fn role(&self, token: &[u8]) -> Option<Role> {
        let presented = sha256_hex(token);
        self.operators.iter().fold(None, |found, operator| {
            match same_secret(&presented, &operator.token_sha256) {
                true => Some(operator.role),
                false => found,
            }
        })
    }

    pub(crate) fn must_wait(&self, from: IpAddr, now: Instant) -> bool {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong
            .get(&network(from))
            .is_some_and(|(since, times)| *times >= ATTEMPTS && now.duration_since(*since) < WINDOW)
    }

    pub(crate) fn was_wrong(&self, from: IpAddr, now: Instant) {
        let from = network(from);
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= REMEMBERED && !wrong.contains_key(&from) {
            wrong.clear();
        }
        let (since, times) = wrong.entry(from).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *times) = (now, 0);
        }
        *times += 1;
    }
}

/// A new token, as long as a hash of 256 bits: guessing is no way in.
///
/// # Errors
/// When the system gives no random numbers.
pub fn new_token() -> Result<String, getrandom::Error> {
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret)?;
    Ok(secret.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Addresses that need no login: the first two tell nothing of anybody, links to the others are
/// signed.
pub(crate) fn is_open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/me" | "/me.css" | "/icon.svg")
        || path.starts_with("/me/")
        || contracts::is_one(path)
}

/// What somebody must be to ask this.
pub(crate) fn needed(method: &Method, path: &str) -> Role {
    match *method {
        Method::GET | Method::HEAD if !path.ends_with("/export") => Role::Read,
        _ => Role::Operate,
    }
}

pub(crate) fn who() -> Response {
    let refused = Problem::new(
        StatusCode::UNAUTHORIZED,
        "this server wants to know who asks",
        "send Authorization: Bearer TOKEN; in a browser any name, and the token as password",
    );
    ([(header::WWW_AUTHENTICATE, "Basic realm=\"Datanaut\", charset=\"UTF-8\"")], refused)
        .into_response()
}

pub(crate) fn too_many() -> Response {
    let wait = [(header::RETRY_AFTER, WINDOW.as_secs().to_string())];
    let refused = Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too many wrong tokens came from this address",
        "wait a minute",
    );
    (wait, refused).into_response()
}

pub(crate) fn too_fast() -> Response {
    let refused = Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too many requests came from this address, or with this token",
        "ask at most 100 times a second; /v1/stream tells what is new unasked, and wait= on /v1/triggers",
    );
    ([(header::RETRY_AFTER, "1")], refused).into_response()
}

pub(crate) fn only_looks() -> Response {
    let refused = Problem::new(
        StatusCode::FORBIDDEN,
        "this token may only look",
        "ask somebody whose role is \"operate\"",
    );
    refused.into_response()
}

/// The password that a browser was asked for.
pub(crate) fn password(headers: &HeaderMap) -> Option<String> {
    asked::password(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_role_and_guessing_has_an_end() {
        let operator = |name: &str, token: &str, role| Operator {
            name: name.to_owned(),
            token_sha256: sha256_hex(token.as_bytes()),
            role,
        };
        let login = Login::new(vec![
            operator("ann", "one", Role::Read),
            operator("bob", "two", Role::Operate),
        ]);
        assert_eq!(login.role(b"one"), Some(Role::Read));
        assert_eq!(login.role(b"two"), Some(Role::Operate));
        assert_eq!(login.role(b"three"), None);
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let now = Instant::now();
        for _ in 0..ATTEMPTS {
            assert!(!login.must_wait(here, now));
            login.was_wrong(here, now);
        }
        assert!(login.must_wait(here, now) && !login.must_wait(there, now));
        assert!(!login.must_wait(here, now + WINDOW));
    }

    #[test]
    fn looking_needs_less_than_changing() {
        assert_eq!(needed(&Method::GET, "/v1/fleet"), Role::Read);
        assert_eq!(needed(&Method::GET, "/v1/customers/anna/export"), Role::Operate);
        assert_eq!(needed(&Method::POST, "/v1/devices"), Role::Operate);
        assert_eq!(needed(&Method::DELETE, "/v1/quarantine/1"), Role::Operate);
    }
}
