//! `/v1/devices/{id}/…`: the history of one device.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use ingest::Reading;
use jiff::Timestamp;
use journal::{EventRow, ReadError, Reader};
use serde::{Deserialize, Serialize};

use super::params::{Params, limit, moment_ms};
use crate::Site;
use crate::problem::Problem;
use crate::wire::{Wire, moment};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Longest span of one query, so that an empty one ends too.
const LONGEST_MS: i64 = 31 * DAY_MS;

/// The history is read in slices, so that a long span of a busy device does not fill the memory
/// before the limit cuts it.
const SLICE_MS: i64 = 6 * HOUR_MS;

const USUAL_READINGS: usize = 1_000;
const MOST_READINGS: usize = 10_000;
const USUAL_EVENTS: usize = 100;
const MOST_EVENTS: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stretch {
    from: Option<String>,
    to: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Newest {
    limit: Option<usize>,
}

type Id = Result<Path<String>, PathRejection>;

pub(crate) async fn readings(
    State(site): State<Arc<Site>>,
    id: Id,
    Params(stretch): Params<Stretch>,
) -> Result<Response, Problem> {
    let device = number(&site, id)?;
    let limit = limit(stretch.limit, USUAL_READINGS, MOST_READINGS)?;
    let (from_ms, to_ms) = span(&stretch, site.app.clock.now_ms())?;
    let readings =
        site.reads.read(move |reader| history(reader, device, from_ms, to_ms, limit)).await?;
    Ok(Json(readings.iter().map(Wire).collect::<Vec<_>>()).into_response())
}

/// The last day, unless told otherwise. A device's clock may be a little ahead: so may the end.
fn span(stretch: &Stretch, now_ms: i64) -> Result<(i64, i64), Problem> {
    let parse =
        |name, text: &Option<String>| text.as_deref().map(|text| moment_ms(name, text)).transpose();
    let (from_ms, to_ms) = match (parse("from", &stretch.from)?, parse("to", &stretch.to)?) {
        (Some(from_ms), Some(to_ms)) => (from_ms, to_ms),
        (Some(from_ms), None) => (from_ms, from_ms.saturating_add(LONGEST_MS)),
        (None, Some(to_ms)) => (to_ms.saturating_sub(DAY_MS), to_ms),
        (None, None) => (now_ms.saturating_sub(DAY_MS), now_ms.saturating_add(HOUR_MS)),
    };
    if from_ms >= to_ms {
        return Err(Problem::bad_request("from is not before to", "exchange them"));
    }
    if to_ms.saturating_sub(from_ms) > LONGEST_MS {
        return Err(Problem::bad_request(
            "from and to are more than 31 days apart",
            "ask for 31 days at a time",
        ));
    }
    Ok((from_ms, to_ms))
}

fn history(
    reader: &Reader,
    device: u32,
    from_ms: i64,
    to_ms: i64,
    limit: usize,
) -> Result<Vec<Reading>, ReadError> {
    let mut readings = Vec::new();
    let mut start_ms = from_ms;
    while start_ms < to_ms && readings.len() < limit {
        let end_ms = to_ms.min(start_ms.saturating_add(SLICE_MS));
        readings.extend(reader.history(device, start_ms, end_ms, limit - readings.len())?);
        start_ms = end_ms;
    }
    Ok(readings)
}

pub(crate) async fn events(
    State(site): State<Arc<Site>>,
    id: Id,
    Params(newest): Params<Newest>,
) -> Result<Response, Problem> {
    let device = number(&site, id)?;
    let limit = limit(newest.limit, USUAL_EVENTS, MOST_EVENTS)?;
    let events = site.reads.read(move |reader| reader.events(device)).await?;
    let first = events.len().saturating_sub(limit);
    Ok(Json(events[first..].iter().map(Shown::of).collect::<Vec<_>>()).into_response())
}

fn number(site: &Site, id: Id) -> Result<u32, Problem> {
    let unknown = |id: &str| {
        Problem::not_found(
            format!("there is no device \"{id}\""),
            "use the id of a device in the registry; /v1/fleet has those that were heard of",
        )
    };
    let Ok(Path(id)) = id else { return Err(unknown("?")) };
    let registry = site.app.registry.read();
    registry.device(&id).map(|known| known.number).ok_or_else(|| unknown(&id))
}

#[derive(Serialize)]
struct Shown {
    event: &'static str,
    happened_at: Timestamp,
    known_at: Timestamp,
    /// What rules may ask of it, where and between when it happened.
    #[serde(flatten)]
    what: BTreeMap<String, serde_json::Value>,
    revision: u32,
    withdrawn: bool,
}

impl Shown {
    fn of(row: &EventRow) -> Self {
        let happening = &row.event.happening;
        let mut what = happening.told();
        what.remove("place");
        what.extend(happening.facts().map(|(name, fact)| (name.to_owned(), fact.json())));
        if let Some(fix) = happening.place() {
            what.insert("lat".to_owned(), fix.lat().into());
            what.insert("lon".to_owned(), fix.lon().into());
        }
        Self {
            event: happening.name(),
            happened_at: moment(row.event.time_ms),
            known_at: moment(row.event.known_ms),
            what,
            revision: row.revision,
            withdrawn: row.withdrawn,
        }
    }
}
