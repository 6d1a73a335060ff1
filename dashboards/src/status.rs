//! How it goes, in one object.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use deliver::influx::InfluxReport;
use ingest::DeviceKind;
use jiff::Timestamp;
use journal::{Counts, Health};
use serde::Serialize;

use crate::health::{BrokerState, is_ready};
use crate::pace::Rates;
use crate::wire::moment;
use crate::{App, Site};

#[derive(Serialize)]
pub(crate) struct Status {
    version: &'static str,
    started_at: Timestamp,
    /// By the pipeline's clock, which need not be the wall's.
    now: Timestamp,
    mqtt: String,
    ready: bool,
    journal: Health,
    broker: BrokerState,
    #[serde(skip_serializing_if = "Option::is_none")]
    influx: Option<InfluxReport>,
    counts: Counts,
    /// Whether received = stored + quarantined + refused + duplicate.
    balanced: bool,
    rates: Rates,
    /// Readings received a second, oldest first, a value a second. Not repeated on the stream.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recent: Vec<f64>,
    devices: Devices,
}

/// How many there are: in the registry, and heard of since the start.
#[derive(Clone, Serialize)]
pub(crate) struct Devices {
    pub(crate) registered: usize,
    pub(crate) heard: usize,
    pub(crate) by_kind: BTreeMap<&'static str, usize>,
}

impl Devices {
    pub(crate) fn count(app: &App) -> Self {
        let mut by_kind: BTreeMap<_, _> =
            DeviceKind::ALL.iter().map(|kind| (kind.name(), 0)).collect();
        by_kind.extend(app.live.heard_by_kind());
        let heard = by_kind.values().sum();
        Self { registered: app.registry.read().devices().count(), heard, by_kind }
    }
}

impl Status {
    pub(crate) fn now(app: &App, rates: Rates, recent: Vec<f64>, devices: Devices) -> Self {
        let counts = app.live.counts();
        Self {
            version: app.info.version,
            started_at: moment(app.info.started_ms),
            now: moment(app.clock.now_ms()),
            mqtt: app.info.mqtt.to_string(),
            ready: is_ready(app),
            journal: app.live.health().borrow().clone(),
            broker: app.broker.borrow().clone(),
            influx: app.influx.as_ref().map(|report| report.borrow().clone()),
            balanced: counts.balance(),
            counts,
            rates,
            recent,
            devices,
        }
    }
}

pub(crate) async fn status(State(site): State<Arc<Site>>) -> Response {
    let devices = Devices::count(&site.app);
    let (rates, recent) = site.feed.pace();
    Json(Status::now(&site.app, rates, recent, devices)).into_response()
}
