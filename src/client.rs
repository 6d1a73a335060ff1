//! Asking the running server over its HTTP API.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use ureq::http::HeaderValue;
use ureq::middleware::MiddlewareNext;

use crate::cli::Server;

/// A page of rows takes a commit or two, of a journal that gives up after five seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rows of 64 KiB, 500 at a time, in hex.
const MOST: u64 = 128 << 20;

pub(crate) type Answer = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

pub(crate) fn agent() -> ureq::Agent {
    let token = std::env::var("DATANAUT_TOKEN").unwrap_or_default();
    let token = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| !token.is_empty());
    let known = move |mut request: ureq::http::Request<ureq::SendBody>, next: MiddlewareNext| {
        if let Some(token) = &token {
            request.headers_mut().insert("authorization", token.clone());
        }
        next.handle(request)
    };
    let config = ureq::Agent::config_builder().middleware(known);
    // A refusal has a body that says what to do.
    config.http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into()
}

/// The answer as what it should be.
pub(crate) fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T> {
    serde_json::from_value(answer).context("the server is of another version than this command")
}

impl Server {
    /// The address of something under `/v1`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/v1{path}", self.server.trim_end_matches('/'))
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.ask(agent().get(self.url(path)).call())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask(agent().post(self.url(path)).send_json(body))
    }

    /// The answer, or why there is none, with what to do.
    pub(crate) fn ask(&self, answer: Answer) -> Result<Value> {
        let mut answer = answer.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let body: Value =
            answer.body_mut().with_config().limit(MOST).read_json().map_err(|_| {
                anyhow!(
                    "{} does not answer as Datanaut does ({status}); check --server",
                    self.server
                )
            })?;
        if status.is_success() {
            return Ok(body);
        }
        let text = |key: &str| body[key].as_str().unwrap_or("no more is known").to_owned();
        bail!("{}: {}", text("error"), text("advice"))
    }

    pub(crate) fn unreachable(&self, error: &ureq::Error) -> anyhow::Error {
        anyhow!(
            "no server answers at {} ({error}); start datanaut, or give the address of its page with \
             --server",
            self.server
        )
    }
}
