//! `/v1/quarantine`: what devices and insurers sent and we could not use. `retry` does something about it.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use enrich::registry::Registry;
use ingest::Reason;
use jiff::Timestamp;
use journal::{QuarantineFilter, QuarantineRow};
use serde::{Deserialize, Serialize};

use super::params::{Params, limit};
use crate::Site;
use crate::problem::Problem;
use crate::wire::moment;

const USUAL: usize = 50;

/// Payloads are up to 64 KiB in the journal: 500 of them are 32 MB in memory while they are read.
const MOST: usize = 500;

/// Enough of a payload to see what is wrong with it.
const SHOWN_BYTES: usize = 1_024;

/// Which rows, newest first.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Which {
    pub(crate) reason: Option<String>,
    pub(crate) device: Option<String>,
    pub(crate) before: Option<i64>,
    pub(crate) limit: Option<usize>,
}

#[derive(Serialize)]
struct Shown<'a> {
    number: i64,
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    insurer: Option<&'a str>,
    received_at: Timestamp,
    reason: Option<Reason>,
    advice: Option<&'static str>,
    detail: &'a str,
    broker: Option<&'a str>,
    topic: &'a str,
    /// As it was sent; less may have been kept.
    sent_bytes: u64,
    /// All that was kept, though only its beginning may be shown.
    payload_bytes: usize,
    #[serde(flatten)]
    payload: Payload<'a>,
}

#[derive(Debug, PartialEq, Serialize)]
enum Payload<'a> {
    #[serde(rename = "payload_text")]
    Text(&'a str),
    #[serde(rename = "payload_hex")]
    Hex(String),
}

pub(crate) async fn quarantine(
    State(site): State<Arc<Site>>,
    Params(which): Params<Which>,
) -> Result<Response, Problem> {
    let rows = which.rows(&site).await?;
    let registry = site.app.registry.read();
    let shown: Vec<_> = rows.iter().map(|row| shown(&registry, row, SHOWN_BYTES)).collect();
    Ok(Json(shown).into_response())
}

/// One row with its whole payload.
pub(crate) async fn row(
    State(site): State<Arc<Site>>,
    number: Number,
) -> Result<Response, Problem> {
    let row = numbered(&site, number).await?;
    Ok(Json(shown(&site.app.registry.read(), &row, usize::MAX)).into_response())
}

pub(crate) type Number = Result<Path<i64>, PathRejection>;

pub(crate) async fn numbered(site: &Site, number: Number) -> Result<QuarantineRow, Problem> {
    let gone = || {
        Problem::not_found(
            "there is no such row in quarantine",
            "give a number that /v1/quarantine lists; rows go when they are dropped, could be used, or are old",
        )
    };
    let Ok(Path(number)) = number else { return Err(gone()) };
    let rows = site.reads.read(move |reader| reader.quarantined(&[number])).await?;
    rows.into_iter().next().ok_or_else(gone)
}

impl Which {
    pub(crate) async fn rows(self, site: &Site) -> Result<Vec<QuarantineRow>, Problem> {
        let limit = limit(self.limit, USUAL, MOST)?;
        let filter = self.filter(site)?;
        site.reads.read(move |reader| reader.quarantine(filter, limit)).await
    }

    fn filter(&self, site: &Site) -> Result<QuarantineFilter, Problem> {
        let reason = self.reason.as_deref().map(|name| {
            Reason::from_name(name).ok_or_else(|| {
                Problem::bad_request(
                    format!("there is no reason \"{name}\""),
                    "use a name of docs/formats.md, as in no_time",
                )
            })
        });
        let device = self.device.as_deref().map(|id| {
            site.app.registry.read().device(id).map(|known| known.number).ok_or_else(|| {
                Problem::not_found(
                    format!("there is no device \"{id}\""),
                    "use the id of a device in the registry",
                )
            })
        });
        let (reason, device) = (reason.transpose()?, device.transpose()?);
        Ok(QuarantineFilter { reason, device, before: self.before })
    }
}

fn shown<'a>(registry: &'a Registry, row: &'a QuarantineRow, most: usize) -> Shown<'a> {
    Shown {
        number: row.number,
        device: row
            .device
            .and_then(|device| registry.device_by_number(device))
            .map(|known| &*known.device.id),
        insurer: row.insurer.as_deref(),
        received_at: moment(row.received_ms),
        reason: row.reason,
        advice: row.reason.map(Reason::advice),
        detail: &row.detail,
        broker: row.broker.as_deref(),
        topic: &row.topic,
        sent_bytes: row.sent_bytes,
        payload_bytes: row.payload.len(),
        payload: Payload::of(&row.payload, most),
    }
}

impl<'a> Payload<'a> {
    fn of(bytes: &'a [u8], most: usize) -> Self {
        let start = &bytes[..bytes.len().min(most)];
        match std::str::from_utf8(start) {
            Ok(text) => Self::Text(text),
            // Only the cut went through a letter.
            Err(error) if error.error_len().is_none() && start.len() < bytes.len() => {
                Self::Text(std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default())
            }
            Err(_) => Self::Hex(start.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").ok();
                hex
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Payload, SHOWN_BYTES};

    #[test]
    fn text_is_shown_as_text_and_bytes_as_hex() {
        fn of(bytes: &[u8]) -> Payload<'_> {
            Payload::of(bytes, SHOWN_BYTES)
        }
        assert_eq!(of(b"{\"ts\":"), Payload::Text("{\"ts\":"));
        assert_eq!(of(&[0xa1, 0x62]), Payload::Hex("a162".to_owned()));
        let long = "ä".repeat(SHOWN_BYTES);
        assert_eq!(of(long.as_bytes()), Payload::Text(&long[..SHOWN_BYTES]));
        let odd = format!("x{long}");
        assert_eq!(of(odd.as_bytes()), Payload::Text(&odd[..SHOWN_BYTES - 1]));
    }
}
