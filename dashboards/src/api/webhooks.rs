//! `/v1/webhooks`: how insurers' endpoints are doing, and what they have not taken.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use journal::{Backlog, Closed, EndpointState, Letter, Progress, Reader};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::params::{Params, limit};
use crate::asked::Letters;
use crate::problem::Problem;
use crate::wire::moment;
use crate::{Site, Webhook};

const USUAL: usize = 50;
const MOST: usize = 500;

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    insurer: &'a str,
    url: &'a str,
    products: &'a [String],
    state: &'static str,
    /// Attempts in a row that failed, and what came of the last.
    failures: u32,
    error: Option<&'a str>,
    rest_until: Option<Timestamp>,
    gone_since: Option<Timestamp>,
    unsent: i64,
    waiting: i64,
    dead: i64,
}

#[derive(Serialize)]
struct DeadLetter {
    position: i64,
    attempts: u32,
    error: String,
    id: Option<String>,
    sequence: Option<String>,
    product: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    after: Option<i64>,
    limit: Option<usize>,
}

pub(crate) async fn webhooks(State(site): State<Arc<Site>>) -> Result<Response, Problem> {
    let asked = site.app.webhooks.clone();
    let states = site.reads.read(move |reader| {
        let of = |webhook: &Webhook| Ok((state(reader, webhook)?, backlog(reader, webhook)?));
        asked.iter().map(of).collect::<Result<Vec<_>, journal::ReadError>>()
    });
    let states = states.await?;
    let now_ms = site.app.clock.now_ms();
    let shown: Vec<_> = site
        .app
        .webhooks
        .iter()
        .zip(&states)
        .map(|(webhook, (state, backlog))| shown(webhook, state, *backlog, now_ms))
        .collect();
    Ok(Json(shown).into_response())
}

fn state(reader: &Reader, webhook: &Webhook) -> Result<EndpointState, journal::ReadError> {
    let known = reader.endpoint(&webhook.name)?;
    Ok(known.filter(|state| state.url == webhook.url).unwrap_or_default())
}

fn backlog(reader: &Reader, webhook: &Webhook) -> Result<Backlog, journal::ReadError> {
    reader.backlog(&webhook.name, &webhook.insurer, &webhook.products)
}

fn shown<'a>(
    webhook: &'a Webhook,
    now: &'a EndpointState,
    backlog: Backlog,
    now_ms: i64,
) -> Shown<'a> {
    let rest_until_ms = now.rest_until_ms.filter(|until_ms| *until_ms > now_ms);
    Shown {
        name: &webhook.name,
        insurer: &webhook.insurer,
        url: &webhook.url,
        products: &webhook.products,
        state: now.circuit(now_ms).name(),
        failures: now.failures,
        error: now.error.as_deref(),
        rest_until: rest_until_ms.map(moment),
        gone_since: now.gone_since_ms.map(moment),
        unsent: backlog.unsent,
        waiting: backlog.waiting,
        dead: backlog.dead,
    }
}

/// What an endpoint did not take in all the time it was given, oldest first.
pub(crate) async fn dead(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    Params(page): Params<Page>,
) -> Result<Response, Problem> {
    let name = known(&site, &name)?.name.clone();
    let limit = limit(page.limit, USUAL, MOST)?;
    let after = page.after.unwrap_or(0);
    let letters = site.reads.read(move |reader| {
        let letters = reader.dead_letters(&name, after, limit)?;
        letters.into_iter().map(|letter| described(reader, letter)).collect::<Result<Vec<_>, _>>()
    });
    Ok(Json(letters.await?).into_response())
}

fn described(reader: &Reader, letter: Letter) -> Result<DeadLetter, journal::ReadError> {
    let row = reader.to_send(letter.position)?;
    let Letter { position, attempts, error, .. } = letter;
    let (id, sequence, product) = match row {
        Some(row) => (Some(row.body.id), Some(row.body.sequence), Some(row.product)),
        None => (None, None, None),
    };
    Ok(DeadLetter { position, attempts, error, id, sequence, product })
}

/// Puts dead letters back among those that are tried, at once and with all attempts before them.
pub(crate) async fn resend(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let name = known(&site, &name)?.name.clone();
    let which: Letters = serde_json::from_slice(&body).map_err(|error| {
        Problem::bad_request(
            format!("the body is not as expected: {error}"),
            "send JSON with positions, or all: true",
        )
    })?;
    if which.all != which.positions.is_empty() {
        return Err(Problem::bad_request(
            "it is not clear which letters are meant",
            "give positions, or all: true alone",
        ));
    }
    let endpoint = name.clone();
    let found = site.reads.read(move |reader| reader.dead_letters(&endpoint, 0, MOST)).await?;
    let more = found.len() == MOST;
    let now_ms = site.app.clock.now_ms();
    let letters: Vec<_> = found
        .into_iter()
        .filter(|letter| which.all || which.positions.contains(&letter.position))
        .map(|letter| Letter { attempts: 0, next_ms: Some(now_ms), ..letter })
        .collect();
    let resent = letters.len();
    record(&site, name, Progress { letters, ..Progress::default() }).await?;
    Ok(Json(json!({ "resent": resent, "more": which.all && more })).into_response())
}

/// Goes on with an endpoint that said it was gone, or that is given a rest.
pub(crate) async fn resume(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let webhook = known(&site, &name)?;
    let state = EndpointState { url: webhook.url.clone(), ..EndpointState::default() };
    record(&site, webhook.name.clone(), Progress { state: Some(state), ..Progress::default() })
        .await?;
    Ok(Json(json!({ "resumed": webhook.name })).into_response())
}

fn known<'a>(site: &'a Site, name: &str) -> Result<&'a Webhook, Problem> {
    site.app.webhooks.iter().find(|webhook| *webhook.name == *name).ok_or_else(|| {
        Problem::not_found(
            format!("there is no webhook \"{name}\""),
            "use a name that /v1/webhooks lists",
        )
    })
}

async fn record(site: &Site, name: Arc<str>, progress: Progress) -> Result<(), Problem> {
    site.app.journal.record_webhook(name, progress).await.map_err(|closed: Closed| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            closed.to_string(),
            "look at /readyz, then ask again",
        )
    })
}
