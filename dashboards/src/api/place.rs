//! `/v1/where`: what there is to say of a place and time.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use enrich::Here;
use ingest::Fix;
use journal::Place;
use serde::Deserialize;

use super::params::{Params, moment_ms};
use crate::Site;
use crate::problem::Problem;

/// How long to wait for the journal, which answers between two batches; longer than a commit takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a fix is taken for that does not say, as in `datanaut where`.
const USUAL_ACCURACY_M: f32 = 10.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    lat: f64,
    lon: f64,
    accuracy_m: Option<f32>,
    altitude_m: Option<f64>,
    at: Option<String>,
}

pub(crate) async fn explain(
    State(site): State<Arc<Site>>,
    Params(asked): Params<Asked>,
) -> Result<Json<Here>, Problem> {
    let Asked { lat, lon, accuracy_m, altitude_m, at } = asked;
    let fix = Fix::new(lat, lon, Some(accuracy_m.unwrap_or(USUAL_ACCURACY_M)));
    let fix = fix.ok_or_else(|| {
        Problem::bad_request(
            format!("{lat}, {lon} is no place"),
            "give lat -90 to 90, lon -180 to 180, and accuracy_m from 0",
        )
    })?;
    let time_ms = at.as_deref().map(|at| moment_ms("at", at)).transpose()?;
    let looked = site.app.journal.look(Place { fix, altitude_m, time_ms });
    match tokio::time::timeout(PATIENCE, looked).await {
        Ok(Ok(here)) => Ok(Json(*here)),
        Ok(Err(_)) | Err(_) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the journal is busy or cannot write",
            "ask again, or see /readyz",
        )),
    }
}
