//! `/v1/triggers`: what insurers were told; the newest, or one insurer's from a sequence number on,
//! also before there is any, for those who wait for it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use deliver::requests::Refused;
use enrich::privacy::Content;
use enrich::registry::{Product, Registry};
use enrich::trigger::CloudEvent;
use jiff::Timestamp;
use journal::{TestTrigger, TriggerRow};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::params::{Params, limit, seconds};
use super::registry::{parse, refused};
use crate::Site;
use crate::asked::Tested;
use crate::problem::Problem;
use crate::who::Who;
use crate::wire::moment;

const USUAL: usize = 50;
const MOST: usize = 1_000;

/// Proxies in front end a connection that says nothing for about a minute.
const LONGEST_WAIT: Duration = Duration::from_secs(55);

/// Each who waits costs a connection, and a query when anything was released.
const WAITERS: usize = 100;

/// Between two queries of one who waits: others' triggers may be many.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    insurer: Option<String>,
    product: Option<String>,
    after: Option<i64>,
    limit: Option<usize>,
    wait: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    triggers: Vec<Shown<'a>>,
    /// Whether there are more behind these.
    more: bool,
    /// The highest sequence number given so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<i64>,
}

/// A message in the outbox, and what was made of it.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    insurer: &'a str,
    insurer_name: &'a str,
    product: &'a str,
    status: &'a str,
    outcome: &'a str,
    /// Why it was held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    expires_at: Timestamp,
    /// As the insurer gets it.
    message: &'a CloudEvent<Content>,
}

/// Those who wait for triggers to come.
pub(crate) struct Waiting {
    turns: Semaphore,
    ending: watch::Receiver<bool>,
}

impl Waiting {
    pub(crate) fn new(ending: watch::Receiver<bool>) -> Self {
        Self { turns: Semaphore::new(WAITERS), ending }
    }
}

pub(crate) async fn triggers(
    State(site): State<Arc<Site>>,
    Extension(who): Extension<Who>,
    Params(which): Params<Which>,
) -> Result<Response, Problem> {
    let limit = limit(which.limit, USUAL, MOST)?;
    let wait = seconds("wait", which.wait.as_deref(), LONGEST_WAIT)?;
    let product = which.product.map(|name| known(&site, name)).transpose()?;
    let (rows, newest) = match (who.asks_for(which.insurer)?, product) {
        (Some(insurer), Some(product)) => {
            if site.app.registry.read().insurer(&insurer).is_none() {
                return Err(Problem::not_found(
                    format!("there is no insurer \"{insurer}\""),
                    "use the id of an insurer in the registry",
                ));
            }
            let after = which.after.unwrap_or(0);
            let (rows, newest) = Told { insurer, product, after, limit }.wait(&site, wait).await?;
            (rows, Some(newest))
        }
        (None, None) if which.after.is_none() && wait.is_zero() => {
            (site.reads.read(move |reader| reader.newest_triggers(limit + 1)).await?, None)
        }
        _ => {
            return Err(Problem::bad_request(
                "insurer, product, after and wait belong together",
                "give insurer and product (and after, and wait), or none of them for the newest of all; sequence numbers count per insurer and product",
            ));
        }
    };
    let registry = site.app.registry.read();
    let triggers = rows.iter().take(limit).map(|row| Shown::of(row, &registry)).collect();
    Ok(Json(Answer { triggers, more: rows.len() > limit, newest }).into_response())
}

fn known(site: &Site, name: String) -> Result<Product, Problem> {
    Product::named(&name).ok_or_else(|| {
        let refused = Refused::UnknownProduct(name);
        site.app.refusals.count(&refused);
        Problem::bad_request(refused.error(), refused.advice())
    })
}

/// Sends an insurer a trigger about nobody, marked as a test.
pub(crate) async fn test(
    State(site): State<Arc<Site>>,
    body: Bytes,
) -> Result<Json<TestTrigger>, Problem> {
    let Tested { insurer, product } = parse(&body)?;
    let sent = site.app.journal.test_trigger(insurer, product).await;
    sent.map(Json).map_err(|error| refused(&error))
}

/// What one insurer was told about a product after a sequence number.
#[derive(Clone)]
struct Told {
    insurer: String,
    product: Product,
    after: i64,
    limit: usize,
}

impl Told {
    /// Up to one more than the limit, which tells whether there are more, and the newest sequence
    /// number. Nothing only after `wait`.
    async fn wait(&self, site: &Site, wait: Duration) -> Result<(Vec<TriggerRow>, i64), Problem> {
        let deadline = Instant::now() + wait;
        let mut released = site.app.live.released();
        let mut ending = site.waiting.ending.clone();
        let mut turn = None;
        loop {
            released.mark_unchanged();
            let asked = self.clone();
            let found = site.reads.read(move |reader| asked.read(reader)).await?;
            if !found.0.is_empty() || Instant::now() >= deadline || *ending.borrow() {
                return Ok(found);
            }
            if turn.is_none() {
                turn = Some(site.waiting.turns.try_acquire().map_err(|_| too_many())?);
            }
            tokio::select! {
                // Without a journal nothing comes any more.
                Ok(()) = released.changed() => tokio::time::sleep(PAUSE).await,
                () = tokio::time::sleep_until(deadline) => {}
                Ok(()) = ending.changed() => {}
            }
        }
    }

    fn read(&self, reader: &journal::Reader) -> Result<(Vec<TriggerRow>, i64), journal::ReadError> {
        let Self { insurer, product, after, limit } = self;
        let product = product.name();
        // First what is newest: then nothing that is counted is missing behind the rows.
        let newest = reader.newest_sequence(insurer, product)?;
        Ok((reader.triggers_after(insurer, product, *after, limit + 1)?, newest))
    }
}

fn too_many() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("{WAITERS} wait for triggers already"),
        "ask without wait, or again in a minute",
    )
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
            reason: row.reason.as_deref(),
            expires_at: moment(row.expires_ms),
            message: &row.body,
        }
    }
}
