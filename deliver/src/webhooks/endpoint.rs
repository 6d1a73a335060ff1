//! One endpoint: the next message, again and again.

use std::sync::Arc;
use std::time::Duration;

use ingest::Clock;
use journal::{
    Circuit, Closed, EndpointState, Journal, Letter, Progress, ReadError, Reader, TriggerRow,
};
use tokio::sync::{oneshot, watch};
use ureq::Agent;

use super::post::{Outcome, agent, post};
use super::{Endpoint, WebhookReport, retry};
use crate::triggers::blocking;

/// Messages that wait to be tried again: when there are more, nothing new is begun.
const LETTERS: i64 = 1_000;

/// How often it is looked whether somebody wants something sent again.
const LOOK: Duration = Duration::from_secs(1);

/// The cursor of an endpoint that others' messages pass by is moved on after so many.
const PASSED: i64 = 1_000;

pub(super) struct Sender {
    endpoint: Arc<Endpoint>,
    journal: Journal,
    reader: Reader,
    released: watch::Receiver<i64>,
    clock: Clock,
    agent: Agent,
    report: watch::Sender<WebhookReport>,
}

enum Stop {
    Closed,
    Unreadable(ReadError),
}

/// What there is to do.
enum Next {
    /// A message that was never tried.
    New { row: TriggerRow, state: EndpointState },
    /// One that was.
    Again { row: TriggerRow, letter: Letter, state: EndpointState },
    /// Not to be sent any more.
    Settle(i64),
    /// What passed by was for others.
    Pass(i64),
    /// Nothing: before a moment, if there is one, or before something new, if that is waited for.
    Wait { until_ms: Option<i64>, news: bool },
}

impl Sender {
    pub(super) fn new(endpoint: Endpoint, journal: Journal, clock: Clock) -> Self {
        let (reader, released) = (journal.reader(), journal.live().released());
        let agent = agent(&endpoint);
        let report = watch::Sender::default();
        Self { endpoint: Arc::new(endpoint), journal, reader, released, clock, agent, report }
    }

    pub(super) fn report(&self) -> watch::Receiver<WebhookReport> {
        self.report.subscribe()
    }

    pub(super) async fn run(mut self) {
        loop {
            match self.step().await {
                Ok(()) => {}
                Err(Stop::Closed) => return,
                Err(Stop::Unreadable(error)) => {
                    tracing::error!(%error, "a webhook waits for the journal");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), Stop> {
        self.released.mark_unchanged();
        let (endpoint, now_ms) = (Arc::clone(&self.endpoint), self.clock.now_ms());
        let next = blocking(&self.reader, move |reader| next(reader, &endpoint, now_ms)).await;
        let (next, circuit) = next.map_err(Stop::Unreadable)?;
        self.report
            .send_if_modified(|report| std::mem::replace(&mut report.circuit, circuit) != circuit);
        match next {
            Next::New { row, state } => self.send(row, None, state).await,
            Next::Again { row, letter, state } => self.send(row, Some(letter), state).await,
            Next::Settle(position) => {
                self.record(Progress { settled: vec![position], ..Progress::default() }).await
            }
            Next::Pass(position) => {
                self.record(Progress { cursor: Some(position), ..Progress::default() }).await
            }
            Next::Wait { until_ms, news } => {
                let wait =
                    until_ms.map_or(LOOK, |until| self.clock.real(until - self.clock.now_ms()));
                tokio::select! {
                    () = tokio::time::sleep(wait.clamp(Duration::from_millis(1), LOOK)) => {}
                    changed = self.released.changed(), if news => {
                        changed.map_err(|_| Stop::Closed)?;
                    }
                }
                Ok(())
            }
        }
    }

    async fn send(
        &self,
        row: TriggerRow,
        letter: Option<Letter>,
        before: EndpointState,
    ) -> Result<(), Stop> {
        let position = row.position;
        let outcome = self.attempt(row).await?;
        let now_ms = self.clock.now_ms();
        let mut progress =
            Progress { cursor: letter.is_none().then_some(position), ..Progress::default() };
        let retried = letter.is_some();
        let attempts = letter.map_or(0, |letter| letter.attempts);
        match &outcome {
            Outcome::Taken => progress.settled.push(position),
            // It waits, in case that the endpoint comes back.
            Outcome::Gone => progress.letters.push(Letter {
                position,
                attempts,
                next_ms: Some(now_ms),
                error: "it answered 410".to_owned(),
            }),
            Outcome::Failed { error, .. } => {
                let seed = &self.endpoint.name;
                let letter = retry::letter(position, attempts, error.clone(), now_ms, seed);
                progress.letters.push(letter);
            }
        }
        let after = retry::state(&before, &outcome, now_ms);
        self.tell(&before, &after);
        self.report.send_modify(|report| {
            report.circuit = after.circuit(now_ms);
            report.taken += u64::from(matches!(outcome, Outcome::Taken));
            report.failed += u64::from(!matches!(outcome, Outcome::Taken));
            report.retries += u64::from(retried);
            let given_up = progress.letters.iter().filter(|letter| letter.next_ms.is_none());
            report.given_up += given_up.count() as u64;
        });
        progress.state = (after != before).then_some(after);
        self.record(progress).await
    }

    /// On a thread of its own, one at a time, that no stop has to wait for.
    async fn attempt(&self, row: TriggerRow) -> Result<Outcome, Stop> {
        let (agent, endpoint) = (self.agent.clone(), Arc::clone(&self.endpoint));
        let (tell, told) = oneshot::channel();
        let posting = move || {
            // Nobody waits for it any more when Datanaut stops.
            tell.send(post(&agent, &endpoint, &row)).ok();
        };
        if let Err(error) = std::thread::Builder::new().name("webhook".to_owned()).spawn(posting) {
            return Ok(Outcome::Failed { error: format!("no thread for it: {error}"), rest: None });
        }
        told.await.map_err(|_| Stop::Closed)
    }

    fn tell(&self, before: &EndpointState, after: &EndpointState) {
        let (name, error) = (&self.endpoint.name, after.error.as_deref().unwrap_or_default());
        match (before.failures, after.failures) {
            _ if after.gone_since_ms.is_some() => {
                tracing::error!(%name, "a webhook's endpoint is gone; `datanaut webhook resume` tries it again");
            }
            (0, 1..) => tracing::warn!(%name, error, "a webhook's endpoint fails"),
            (1.., 0) => tracing::info!(%name, "a webhook's endpoint takes messages again"),
            _ => {}
        }
    }

    async fn record(&self, progress: Progress) -> Result<(), Stop> {
        let name = Arc::clone(&self.endpoint.name);
        self.journal.record_webhook(name, progress).await.map_err(|Closed| Stop::Closed)
    }
}

/// What there is to do, and how the endpoint is doing.
fn next(reader: &Reader, endpoint: &Endpoint, now_ms: i64) -> Result<(Next, Circuit), ReadError> {
    let known = reader.endpoint(&endpoint.name)?.filter(|state| state.url == endpoint.url);
    let state = known
        .unwrap_or_else(|| EndpointState { url: endpoint.url.clone(), ..EndpointState::default() });
    let circuit = state.circuit(now_ms);
    Ok((next_with(state, reader, endpoint, now_ms)?, circuit))
}

fn next_with(
    state: EndpointState,
    reader: &Reader,
    endpoint: &Endpoint,
    now_ms: i64,
) -> Result<Next, ReadError> {
    let name = &*endpoint.name;
    let last = reader.last_position()?;
    let Some(cursor) = reader.webhook_cursor(name)? else {
        // A new endpoint hears what happens from now on; what was before, it can ask for.
        return Ok(Next::Pass(last));
    };
    if state.gone_since_ms.is_some() {
        return Ok(Next::Wait { until_ms: None, news: false });
    }
    if let Some(until_ms) = state.rest_until_ms.filter(|until_ms| *until_ms > now_ms) {
        return Ok(Next::Wait { until_ms: Some(until_ms), news: false });
    }
    let (letter, letters) = reader.next_letter(name)?;
    let due_ms = letter.as_ref().and_then(|letter| letter.next_ms);
    if let Some(letter) = letter.filter(|_| due_ms.is_some_and(|due_ms| due_ms <= now_ms)) {
        return Ok(match reader.to_send(letter.position)? {
            Some(row) => Next::Again { row, letter, state },
            None => Next::Settle(letter.position),
        });
    }
    if letters >= LETTERS {
        return Ok(Next::Wait { until_ms: due_ms, news: false });
    }
    match reader.next_for(&endpoint.insurer, &endpoint.products, cursor)? {
        Some(row) => Ok(Next::New { row, state }),
        None if last - cursor > PASSED => Ok(Next::Pass(last)),
        None => Ok(Next::Wait { until_ms: due_ms, news: true }),
    }
}
