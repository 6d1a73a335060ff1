//! One request to a feed: bounded in time and size, every failure with a name.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use ureq::http::{HeaderMap, header};

use super::{Fault, Freshness};

/// More than the largest answer we know (METAR's cache of the world has 2 MB), with room.
pub(super) const LARGEST_BODY: u64 = 16 << 20;

/// What a feed answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Got {
    Body {
        bytes: Vec<u8>,
        fresh: Freshness,
        deprecated: bool,
    },
    /// What came before still holds.
    NotModified {
        fresh: Freshness,
    },
}

/// A client that keeps connections, one for each feed.
pub(super) struct Http {
    agent: ureq::Agent,
}

impl Http {
    #[must_use]
    pub(super) fn new(user_agent: &str, timeout: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .user_agent(user_agent)
            .build();
        Self { agent: config.into() }
    }

    /// Asks, and tells back when the feed had last changed its answer.
    ///
    /// # Errors
    /// Whatever keeps a usable answer from coming.
    pub(super) fn get(&self, url: &str, last_modified: Option<&str>) -> Result<Got, Fault> {
        let mut request = self.agent.get(url);
        if let Some(last_modified) = last_modified {
            request = request.header(header::IF_MODIFIED_SINCE, last_modified);
        }
        let mut response = request.call().map_err(fault)?;
        let status = response.status().as_u16();
        let fresh = freshness(response.headers());
        match status {
            200 | 203 => {
                let body = response.body_mut().with_config().limit(LARGEST_BODY);
                let bytes = body.read_to_vec().map_err(fault)?;
                Ok(Got::Body { bytes, fresh, deprecated: status == 203 })
            }
            304 => Ok(Got::NotModified { fresh }),
            401 | 403 => Err(Fault::Forbidden(status)),
            422 => Err(Fault::OutsideCoverage),
            429 => Err(Fault::Throttled { retry_after_ms: retry_after_ms(response.headers()) }),
            500.. => Err(Fault::ServerError(status)),
            _ => {
                let body = response.body_mut().with_config().limit(4 << 10).read_to_vec();
                Err(Fault::Refused { status, reason: reason(&body.unwrap_or_default()) })
            }
        }
    }
}

fn fault(error: ureq::Error) -> Fault {
    use std::io::ErrorKind;
    match error {
        ureq::Error::Timeout(_) => Fault::Timeout,
        ureq::Error::BodyExceedsLimit(limit) => Fault::TooLarge(limit),
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Fault::Timeout,
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                Fault::CutShort
            }
            // What was compressed and is not.
            ErrorKind::InvalidData | ErrorKind::InvalidInput => {
                Fault::NotUnderstood(error.to_string())
            }
            _ => Fault::Unreachable(error.to_string()),
        },
        error @ (ureq::Error::Decompress(..) | ureq::Error::Protocol(_)) => {
            Fault::NotUnderstood(error.to_string())
        }
        error => Fault::Unreachable(error.to_string()),
    }
}

/// What a refusal says of itself, short and in one line.
fn reason(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let said = json.as_ref().and_then(|json| json.get("reason").or(json.get("message"))?.as_str());
    let text = said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

fn time_ms(headers: &HeaderMap, name: header::HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(Timestamp::as_millisecond)
}

/// By the feed's own clock: how long after its answer something is.
fn after_ms(headers: &HeaderMap, name: header::HeaderName) -> Option<i64> {
    Some(time_ms(headers, name)? - time_ms(headers, header::DATE)?)
}

fn freshness(headers: &HeaderMap) -> Freshness {
    let last_modified = headers.get(header::LAST_MODIFIED);
    Freshness {
        lifetime_ms: after_ms(headers, header::EXPIRES),
        last_modified: last_modified.and_then(|text| Some(text.to_str().ok()?.to_owned())),
    }
}

/// In seconds, or as a date.
fn retry_after_ms(headers: &HeaderMap) -> Option<i64> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse::<u32>();
    match seconds {
        Ok(seconds) => Some(i64::from(seconds) * 1_000),
        Err(_) => after_ms(headers, header::RETRY_AFTER),
    }
}
