//! Stored readings go on to an InfluxDB 2, from a cursor in the log.
//!
//! In the order a reading takes: `backlog` reads the log → `lines` and `line` make it a line of a
//! request → `write` sends requests until every line is written or put away → the cursor advances.
//! In between `erase` deletes there what may not be kept any more.
//! A point that is written twice is the same point. A slow or dead InfluxDB delays nobody else.

mod backlog;
mod client;
mod erase;
mod line;
mod lines;
mod write;

use std::sync::Arc;
use std::time::Duration;

use ingest::Clock;
use journal::{Closed, Journal, ReadError};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

pub use client::{ClientError, InfluxUrl};

use backlog::Backlog;
use client::Bucket;
use erase::Erasing;
use lines::Lines;
use write::Writing;

/// The name of this output's cursor.
pub const OUTPUT: &str = "influx";

/// While a request fills, the log is looked at this often and not at every commit.
const LOOK: Duration = Duration::from_millis(100);

/// The journal could not be read: not soon again.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// Where readings go, and how many at once.
#[derive(Clone, Debug)]
pub struct InfluxOptions {
    pub url: InfluxUrl,
    pub org: String,
    pub bucket: String,
    /// Empty: none is sent.
    pub token: String,
    /// Most readings in a request.
    pub batch_readings: usize,
    /// How long a reading waits for others to share a request with.
    pub batch_age: Duration,
    /// How long InfluxDB may take to answer.
    pub timeout: Duration,
    /// Whether it is asked to delete what may not be kept any more.
    pub delete: bool,
}

/// Whether readings arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum InfluxState {
    /// Nothing was sent yet, or all that was has arrived.
    #[default]
    Writing,
    /// It is tried again and again.
    Away { error: String },
    /// As long as nobody does something about it, it is in vain. It is tried all the same.
    Denied { error: String, advice: String },
}

/// How it goes; totals since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InfluxReport {
    #[serde(flatten)]
    pub state: InfluxState,
    pub points_written: u64,
    /// Put into quarantine, or at least counted.
    pub points_refused: u64,
    /// Readings whose owner has withdrawn consent meanwhile.
    pub readings_withheld: u64,
    /// Values without a form in line protocol.
    pub values_left_out: u64,
    pub requests_failed: u64,
    /// Deletions that are still to be done there, and why the last attempt at one failed.
    pub deletions_pending: u64,
    pub deletion_error: Option<String>,
    /// When the oldest reading that is under way was committed, by the pipeline's clock.
    #[serde(skip)]
    pub waiting_since_ms: Option<i64>,
}

/// The output to one bucket.
#[derive(Debug)]
pub struct Influx {
    journal: Journal,
    clock: Clock,
    batch_readings: usize,
    batch_age: Duration,
    writing: Writing,
    /// `None`: it is not asked to delete.
    erasing: Option<Erasing>,
    report: watch::Sender<InfluxReport>,
}

impl Influx {
    pub fn new(
        options: &InfluxOptions,
        journal: Journal,
        clock: Clock,
    ) -> Result<Self, ClientError> {
        let InfluxOptions { url, org, bucket, token, timeout, .. } = options;
        let bucket = Bucket::new(url, (org, bucket), token, *timeout)?;
        let report = watch::Sender::default();
        let erasing = || Erasing::new(options, journal.clone(), report.clone());
        let erasing = options.delete.then(erasing).transpose()?;
        let writing =
            Writing::new(bucket, journal.clone(), clock.clone(), (report.clone(), *timeout));
        let (batch_readings, batch_age) = (options.batch_readings, options.batch_age);
        Ok(Self { journal, clock, batch_readings, batch_age, writing, erasing, report })
    }

    #[must_use]
    pub fn report(&self) -> watch::Receiver<InfluxReport> {
        self.report.subscribe()
    }

    /// Runs until `stop` is true or the journal ends. What is under way then goes out again after
    /// the next start.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            Err(Closed) = self.follow() => {}
        }
    }

    async fn follow(&mut self) -> Result<(), Closed> {
        loop {
            // Reading the log failed, or never succeeded yet.
            let error = match self.at_cursor().await {
                Ok(backlog) => self.write_on(backlog).await?,
                Err(error) => error,
            };
            tracing::error!(%error, "InfluxDB waits for the journal");
            self.report.send_modify(|report| {
                report.state = InfluxState::Away { error: error.to_string() };
            });
            tokio::time::sleep(READ_AGAIN).await;
        }
    }

    async fn at_cursor(&self) -> Result<Backlog, ReadError> {
        let reader = self.journal.reader();
        blocking(move || {
            let cursor = reader.cursor(OUTPUT)?;
            Ok(Backlog::after(reader, cursor))
        })
        .await
    }

    /// Goes on until the log cannot be read.
    async fn write_on(&mut self, mut backlog: Backlog) -> Result<ReadError, Closed> {
        let mut logged = self.journal.live().logged();
        loop {
            if let Some(erasing) = &mut self.erasing
                && let Err(error) = erasing.go_on(self.writing.settled()).await?
            {
                return Ok(error);
            }
            let lines;
            (backlog, lines) = match self.gather(backlog, &mut logged).await? {
                Ok(gathered) => gathered,
                Err(error) => return Ok(error),
            };
            let upto = lines.upto;
            self.writing.write(Arc::new(lines)).await?;
            self.journal.advance(OUTPUT, upto).await?;
        }
    }

    /// Waits for readings, and for others to share a request with; no longer when there is
    /// something to delete.
    async fn gather(
        &mut self,
        mut backlog: Backlog,
        logged: &mut watch::Receiver<i64>,
    ) -> Result<Result<(Backlog, Lines), ReadError>, Closed> {
        let mut lines = Lines::default();
        let mut since = None;
        loop {
            logged.borrow_and_update();
            (backlog, lines) = match self.fill(backlog, lines).await {
                Ok(filled) => filled,
                Err(error) => return Ok(Err(error)),
            };
            if lines.is_full(self.batch_readings) {
                return Ok(Ok((backlog, lines)));
            }
            if lines.counts.readings == 0 {
                tokio::select! {
                    changed = logged.changed() => changed.map_err(|_| Closed)?,
                    () = due(&mut self.erasing) => return Ok(Ok((backlog, lines))),
                }
                continue;
            }
            self.report.send_modify(|report| report.waiting_since_ms = lines.oldest_ms);
            let send_at = *since.get_or_insert_with(Instant::now) + self.batch_age;
            loop {
                tokio::time::sleep_until(send_at.min(Instant::now() + LOOK)).await;
                if Instant::now() >= send_at {
                    return Ok(Ok((backlog, lines)));
                }
                if logged.has_changed().map_err(|_| Closed)? {
                    break;
                }
            }
        }
    }

    async fn fill(
        &self,
        mut backlog: Backlog,
        mut lines: Lines,
    ) -> Result<(Backlog, Lines), ReadError> {
        let (registry, most) = (self.journal.registry(), self.batch_readings);
        let now_ms = self.clock.now_ms();
        blocking(move || {
            backlog.fill(&mut lines, &registry.read(), now_ms, most)?;
            Ok((backlog, lines))
        })
        .await
    }
}

async fn due(erasing: &mut Option<Erasing>) {
    match erasing {
        Some(erasing) => erasing.due().await,
        None => std::future::pending().await,
    }
}

/// Reads where it may block.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    match tokio::task::spawn_blocking(read).await {
        Ok(answer) => answer,
        Err(error) => Err(ReadError::interrupted(&error.to_string())),
    }
}
