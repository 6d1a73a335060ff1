//! Clearing the quarantine: rows are tried again, or let go.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ingest::Reason;
use journal::{NotCommitted, QuarantineRow};
use serde::Serialize;

use super::quarantine::{Number, Which, numbered};
use crate::Site;
use crate::asked::Rows;
use crate::problem::Problem;

/// What became of one row.
#[derive(Serialize)]
struct Dealt {
    number: i64,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum Outcome {
    /// It is in quarantine no more: stored, known already, refused, or dropped.
    Gone,
    /// It still cannot be used.
    Stays { reason: Option<Reason>, advice: Option<&'static str>, detail: String },
    /// Another attempt is of no use.
    Impossible { error: String },
}

/// Some of the rows that were meant.
#[derive(Serialize)]
struct Page {
    rows: Vec<Dealt>,
    /// What to give as `before` for the next ones.
    next: Option<i64>,
}

#[derive(Clone, Copy)]
enum What {
    Retry,
    Drop,
}

pub(crate) async fn retry(
    State(site): State<Arc<Site>>,
    number: Number,
) -> Result<Response, Problem> {
    one(&site, number, What::Retry).await
}

pub(crate) async fn drop_one(
    State(site): State<Arc<Site>>,
    number: Number,
) -> Result<Response, Problem> {
    one(&site, number, What::Drop).await
}

pub(crate) async fn retry_many(
    State(site): State<Arc<Site>>,
    body: Bytes,
) -> Result<Response, Problem> {
    many(&site, &body, What::Retry).await
}

pub(crate) async fn drop_many(
    State(site): State<Arc<Site>>,
    body: Bytes,
) -> Result<Response, Problem> {
    many(&site, &body, What::Drop).await
}

async fn one(site: &Site, number: Number, what: What) -> Result<Response, Problem> {
    let _alone = site.clinic.lock().await;
    let row = numbered(site, number).await?;
    let dealt = deal(site, vec![row], what).await?;
    Ok(Json(dealt.into_iter().next()).into_response())
}

async fn many(site: &Site, body: &[u8], what: What) -> Result<Response, Problem> {
    let which: Rows = serde_json::from_slice(body).map_err(|error| {
        Problem::bad_request(
            format!("the body is not as expected: {error}"),
            "send JSON with reason, device, or all: true; see docs/http.md",
        )
    })?;
    let Rows { reason, device, all, before, limit } = which;
    if all == (reason.is_some() || device.is_some()) {
        return Err(Problem::bad_request(
            "it is not clear which rows are meant",
            "give reason or device or both, or all: true alone",
        ));
    }
    let limit = limit.unwrap_or(USUAL);
    let which = Which { reason, device, before, limit: Some(limit) };
    let _alone = site.clinic.lock().await;
    let rows = which.rows(site).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.number);
    let rows = deal(site, rows, what).await?;
    Ok(Json(Page { rows, next }).into_response())
}

/// As many as are listed at most: a page takes a commit or two.
const USUAL: usize = 500;

async fn deal(
    site: &Site,
    mut rows: Vec<QuarantineRow>,
    what: What,
) -> Result<Vec<Dealt>, Problem> {
    // In the order in which they came: a device's history then grows at its end.
    rows.reverse();
    let numbers: Vec<i64> = rows.iter().map(|row| row.number).collect();
    let tried = match what {
        What::Retry => site.app.quarantine.retry(&rows).await.map_err(uncommitted)?,
        What::Drop => {
            site.app.quarantine.drop_rows(&rows).await.map_err(uncommitted)?;
            vec![Ok(()); rows.len()]
        }
    };
    drop(rows);
    let still = site
        .reads
        .read({
            let numbers = numbers.clone();
            move |reader| reader.quarantined(&numbers)
        })
        .await?;
    let mut still: HashMap<i64, QuarantineRow> =
        still.into_iter().map(|row| (row.number, row)).collect();
    let dealt = numbers.into_iter().zip(tried).map(|(number, tried)| {
        let outcome = match (tried, still.remove(&number)) {
            (Err(error), _) => Outcome::Impossible { error: error.to_string() },
            (Ok(()), None) => Outcome::Gone,
            (Ok(()), Some(row)) => Outcome::Stays {
                reason: row.reason,
                advice: row.reason.map(Reason::advice),
                detail: row.detail,
            },
        };
        Dealt { number, outcome }
    });
    Ok(dealt.collect())
}

fn uncommitted(error: NotCommitted) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        error.to_string(),
        "look at /readyz, then ask again; nothing is lost, and what was done is not done twice",
    )
}
