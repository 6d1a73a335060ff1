//! `/v1/quarantine`: what devices sent and we could not use, newest first.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ingest::Reason;
use jiff::Timestamp;
use journal::QuarantineRow;
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Newest {
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Shown<'a> {
    number: i64,
    device: Option<&'a str>,
    received_at: Timestamp,
    reason: Option<Reason>,
    advice: Option<&'static str>,
    detail: &'a str,
    topic: &'a str,
    /// All of it, though only its beginning is shown.
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
    Params(newest): Params<Newest>,
) -> Result<Response, Problem> {
    let limit = limit(newest.limit, USUAL, MOST)?;
    let rows = site.reads.read(move |reader| reader.quarantine(limit)).await?;
    Ok(Json(rows.iter().map(|row| shown(&site, row)).collect::<Vec<_>>()).into_response())
}

fn shown<'a>(site: &'a Site, row: &'a QuarantineRow) -> Shown<'a> {
    Shown {
        number: row.number,
        device: site.app.registry.device_by_number(row.device).map(|known| &*known.device.id),
        received_at: moment(row.received_ms),
        reason: row.reason,
        advice: row.reason.map(Reason::advice),
        detail: &row.detail,
        topic: &row.topic,
        payload_bytes: row.payload.len(),
        payload: Payload::of(&row.payload),
    }
}

impl<'a> Payload<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let start = &bytes[..bytes.len().min(SHOWN_BYTES)];
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
        assert_eq!(Payload::of(b"{\"ts\":"), Payload::Text("{\"ts\":"));
        assert_eq!(Payload::of(&[0xa1, 0x62]), Payload::Hex("a162".to_owned()));
        let long = "ä".repeat(SHOWN_BYTES);
        assert_eq!(Payload::of(long.as_bytes()), Payload::Text(&long[..SHOWN_BYTES]));
        let odd = format!("x{long}");
        assert_eq!(Payload::of(odd.as_bytes()), Payload::Text(&odd[..SHOWN_BYTES - 1]));
    }
}
