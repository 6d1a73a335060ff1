//! JSON under `/v1`: one file a resource. Every list has a bound, and says so when it is reached.

pub(crate) mod devices;
pub(crate) mod export;
pub(crate) mod fleet;
pub(crate) mod params;
pub(crate) mod place;
pub(crate) mod quarantine;
pub(crate) mod registry;
pub(crate) mod retry;
pub(crate) mod subjects;
pub(crate) mod triggers;
pub(crate) mod webhooks;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::Site;
use crate::problem::Problem;

pub(crate) async fn basemap(State(site): State<Arc<Site>>) -> Result<Response, Problem> {
    let json = site.basemap.json().await?;
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "max-age=86400")];
    Ok((headers, json).into_response())
}
