//! What is asked over HTTP, as it is written: bodies, forms, logins, moments. Only read here, so that
//! it can be fuzzed alone.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use enrich::registry::Product;
use ingest::DeviceKind;
use jiff::Timestamp;
use serde::Deserialize;

/// A consent that is given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    pub(crate) insurer: Arc<str>,
    pub(crate) purpose: Product,
    pub(crate) wording: Arc<str>,
}

/// One that is withdrawn.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Withdrawn {
    pub(crate) insurer: Arc<str>,
    pub(crate) purpose: Product,
}

/// The id once more: what is erased does not come back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirmed {
    pub(crate) confirm: String,
}

/// How long a link is good.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Good {
    pub(crate) days: u16,
}

/// The token of a link to a customer's page.
#[derive(Deserialize)]
pub(crate) struct Link {
    pub(crate) token: String,
}

/// A click on that page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    pub(crate) token: String,
    pub(crate) insurer: Arc<str>,
    pub(crate) purpose: Product,
    pub(crate) decision: Decided,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decided {
    Give,
    Withdraw,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Devices {
    pub(crate) devices: Vec<NewDevice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDevice {
    pub(crate) id: Arc<str>,
    pub(crate) kind: DeviceKind,
    pub(crate) owner: Option<Arc<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transferred {
    pub(crate) to: Arc<str>,
}

/// A registry file, as text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) file: String,
}

/// To whom a test goes, and on which product's topic.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tested {
    pub(crate) insurer: Arc<str>,
    pub(crate) product: Product,
}

/// Which of many rows of the quarantine; without filter, `all` has to be said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rows {
    pub(crate) reason: Option<String>,
    pub(crate) device: Option<String>,
    #[serde(default)]
    pub(crate) all: bool,
    pub(crate) before: Option<i64>,
    pub(crate) limit: Option<usize>,
}

/// Which of the dead letters to send again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Letters {
    #[serde(default)]
    pub(crate) positions: Vec<i64>,
    #[serde(default)]
    pub(crate) all: bool,
}

/// The password in an `Authorization` of `Basic`, which browsers can ask for.
pub(crate) fn password(authorization: &str) -> Option<String> {
    let (scheme, value) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let login = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    login.split_once(':').map(|(_, password)| password.to_owned())
}

/// RFC 3339, or milliseconds since 1970.
pub(crate) fn moment_ms(text: &str) -> Option<i64> {
    if let Ok(ms) = text.parse::<i64>()
        && Timestamp::from_millisecond(ms).is_ok()
    {
        return Some(ms);
    }
    // In a query a bare + means a blank, and people do not think of that in "+02:00".
    let written = text.replace(' ', "+");
    written.parse::<Timestamp>().map(Timestamp::as_millisecond).ok()
}

/// Seconds, with or without their `s`.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    text.strip_suffix('s').unwrap_or(text).parse().map(Duration::from_secs).ok()
}
