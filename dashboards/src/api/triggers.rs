//! `/v1/triggers`: what insurers were told; the newest, or one insurer's from a sequence number on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use enrich::registry::Registry;
use enrich::trigger::CloudEvent;
use jiff::Timestamp;
use journal::TriggerRow;
use serde::{Deserialize, Serialize};

use super::params::{Params, limit};
use crate::Site;
use crate::problem::Problem;
use crate::wire::moment;

const USUAL: usize = 50;
const MOST: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    insurer: Option<String>,
    product: Option<String>,
    after: Option<i64>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Answer<'a> {
    triggers: Vec<Shown<'a>>,
    /// Whether there are more behind these.
    more: bool,
}

/// A message in the outbox, and what was made of it.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    insurer: &'a str,
    insurer_name: &'a str,
    product: &'a str,
    status: &'a str,
    outcome: &'a str,
    expires_at: Timestamp,
    /// As the insurer gets it.
    message: &'a CloudEvent,
}

pub(crate) async fn triggers(
    State(site): State<Arc<Site>>,
    Params(which): Params<Which>,
) -> Result<Response, Problem> {
    let limit = limit(which.limit, USUAL, MOST)?;
    let registry = &site.app.registry;
    // One more than asked for tells whether there are more.
    let rows = match (which.insurer, which.product) {
        (Some(insurer), Some(product)) => {
            if registry.insurer(&insurer).is_none() {
                return Err(Problem::not_found(
                    format!("there is no insurer \"{insurer}\""),
                    "use the id of an insurer in the registry",
                ));
            }
            let after = which.after.unwrap_or(0);
            site.reads
                .read(move |reader| reader.triggers_after(&insurer, &product, after, limit + 1))
                .await?
        }
        (None, None) if which.after.is_none() => {
            site.reads.read(move |reader| reader.newest_triggers(limit + 1)).await?
        }
        _ => {
            return Err(Problem::bad_request(
                "insurer, product and after belong together",
                "give insurer and product (and after), or none of them for the newest of all; sequence numbers count per insurer and product",
            ));
        }
    };
    let triggers = rows.iter().take(limit).map(|row| Shown::of(row, registry)).collect();
    Ok(Json(Answer { triggers, more: rows.len() > limit }).into_response())
}

impl<'a> Shown<'a> {
    pub(crate) fn of(row: &'a TriggerRow, registry: &'a Registry) -> Self {
        Self {
            insurer: &row.insurer,
            insurer_name: registry
                .insurer(&row.insurer)
                .map_or(&row.insurer, |insurer| &insurer.name),
            product: &row.product,
            status: &row.status,
            outcome: &row.outcome,
            expires_at: moment(row.expires_ms),
            message: &row.body,
        }
    }
}
