//! `/v1/fleet`: every device heard of since the start, with its last reading.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use journal::FleetDevice;
use serde::{Deserialize, Serialize};

use super::params::{Params, limit};
use crate::Site;
use crate::problem::Problem;
use crate::wire::OfDevice;

const USUAL: usize = 1_000;
const MOST: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Answer<'a> {
    heard: usize,
    devices: Vec<OfDevice<'a>>,
    /// What to give as `after` for the next ones.
    next: Option<&'a str>,
}

pub(crate) async fn fleet(
    State(site): State<Arc<Site>>,
    Params(which): Params<Which>,
) -> Result<Response, Problem> {
    let limit = limit(which.limit, USUAL, MOST)?;
    let mut fleet = site.app.live.fleet();
    fleet.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let start = match &which.after {
        Some(after) => fleet.partition_point(|device| *device.id <= **after),
        None => 0,
    };
    let end = fleet.len().min(start + limit);
    let page = &fleet[start..end];
    let next = page.last().filter(|_| end < fleet.len()).map(|device| &*device.id);
    let answer = Answer { heard: fleet.len(), devices: page.iter().map(shown).collect(), next };
    Ok(Json(answer).into_response())
}

pub(crate) fn shown(device: &FleetDevice) -> OfDevice<'_> {
    OfDevice { device: &device.id, kind: device.kind, reading: &device.last }
}
