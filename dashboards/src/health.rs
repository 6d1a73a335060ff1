//! Is the process up, and may work be given to it?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
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

/// Why no work should be given to this process.
#[derive(Serialize)]
struct Hindrance {
    what: &'static str,
    error: String,
    advice: &'static str,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hindrances: Vec<Hindrance>,
}

/// Answers as long as the process can.
pub(crate) async fn alive() -> &'static str {
    "alive\n"
}

pub(crate) async fn ready(State(site): State<Arc<Site>>) -> Response {
    let hindrances = hindrances(&site.app);
    let ready = hindrances.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, hindrances })).into_response()
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
            advice: "make room on the disk of the data folder; it goes on by itself when it can write",
        }),
        Health::Failed { reason } => Some(Hindrance {
            what: "journal",
            error: reason.clone(),
            advice: "look at the log, then start datanaut again; what was acknowledged is kept",
        }),
    };
    let broker = match &*app.broker.borrow() {
        BrokerState::Accepting => None,
        BrokerState::Closed { reason } => Some(Hindrance {
            what: "broker",
            error: reason.clone(),
            advice: "it opens by itself when that is over; devices keep what was not acknowledged",
        }),
    };
    journal.into_iter().chain(broker).collect()
}
