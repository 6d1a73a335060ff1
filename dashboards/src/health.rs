//! Is the process up, and may work be given to it?

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use deliver::influx::InfluxState;
use journal::Health;
use serde::Serialize;

use crate::{App, Site};

/// Whether the embedded broker lets devices in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum BrokerState {
    Accepting,
    /// Not yet, or not for the moment.
    Closed {
        reason: String,
    },
}

/// Why no work should be given to this process, or why some of it is not passed on.
#[derive(Serialize)]
struct Hindrance {
    what: &'static str,
    error: String,
    advice: Cow<'static, str>,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hindrances: Vec<Hindrance>,
    /// Devices can publish all the same: what is written later is kept until then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delayed: Vec<Hindrance>,
}

/// Answers as long as the process can.
pub(crate) async fn alive() -> &'static str {
    "alive\n"
}

pub(crate) async fn ready(State(site): State<Arc<Site>>) -> Response {
    let hindrances = hindrances(&site.app);
    let ready = hindrances.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let delayed = delayed(&site.app).into_iter().collect();
    (status, Json(Ready { ready, hindrances, delayed })).into_response()
}

pub(crate) fn is_ready(app: &App) -> bool {
    hindrances(app).is_empty()
}

fn hindrances(app: &App) -> Vec<Hindrance> {
    let journal = match &*app.live.health().borrow() {
        Health::Writable => None,
        Health::Stalled { reason } => Some(Hindrance {
            what: "journal",
            error: reason.clone(),
            advice:
                "make room on the disk of the data folder; it goes on by itself when it can write"
                    .into(),
        }),
        Health::Failed { reason } => Some(Hindrance {
            what: "journal",
            error: reason.clone(),
            advice: "look at the log, then start datanaut again; what was acknowledged is kept"
                .into(),
        }),
    };
    let broker = match &*app.broker.borrow() {
        BrokerState::Accepting => None,
        BrokerState::Closed { reason } => Some(Hindrance {
            what: "broker",
            error: reason.clone(),
            advice: "it opens by itself when that is over; devices keep what was not acknowledged"
                .into(),
        }),
    };
    journal.into_iter().chain(broker).collect()
}

/// An output that others' faults keep from writing.
fn delayed(app: &App) -> Option<Hindrance> {
    let report = app.influx.as_ref()?.borrow();
    let (error, advice) = match &report.state {
        InfluxState::Writing => return None,
        InfluxState::Away { error } => (
            error,
            "it is tried again and again; readings wait in the log, up to influx.backlog_mb".into(),
        ),
        InfluxState::Denied { error, advice } => (error, advice.clone().into()),
    };
    Some(Hindrance { what: "influx", error: error.clone(), advice })
}
