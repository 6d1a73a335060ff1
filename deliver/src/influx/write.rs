//! Sends lines until each is written or put away, however long it takes.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ingest::{Clock, Reason};
use journal::{Closed, Journal, PutAway};
use tokio::sync::watch;
use tokio::time::Instant;

use super::client::{Answer, Bucket};
use super::lines::Lines;
use super::{InfluxReport, InfluxState};

const FIRST_RETRY: Duration = Duration::from_millis(500);
/// InfluxDB that comes back, or is put right, after hours is noticed within this.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// How many times as long as an answer is waited for a request without one may be under way there.
const UNSETTLED: u32 = 3;

/// How often the lines of one request are halved to tell the refused from the others. A few bad
/// lines are found with fewer; where the rest is written anyway, more would only take time.
const HALVED: u32 = 256;

/// Points put away in an hour: enough to see what is wrong. Further ones are counted.
const PUT_AWAY: u32 = 1_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// Writes to one bucket.
#[derive(Debug)]
pub(crate) struct Writing {
    bucket: Bucket,
    journal: Journal,
    clock: Clock,
    report: watch::Sender<InfluxReport>,
    retry: Duration,
    /// When the hour began, and how many were put away in it.
    hour: (Instant, u32),
    /// How long an answer is waited for; and until when a request that got none may still be
    /// written, also one of the process before.
    timeout: Duration,
    settled: Option<Instant>,
}

impl Writing {
    pub(crate) fn new(
        bucket: Bucket,
        journal: Journal,
        clock: Clock,
        (report, timeout): (watch::Sender<InfluxReport>, Duration),
    ) -> Self {
        let hour = (Instant::now(), 0);
        let settled = Some(Instant::now() + UNSETTLED * timeout);
        Self { bucket, journal, clock, report, retry: FIRST_RETRY, hour, timeout, settled }
    }

    /// Until when something may still be written that was sent before, if that is to come.
    pub(crate) fn settled(&self) -> Option<Instant> {
        self.settled.filter(|settled| *settled > Instant::now())
    }

    /// Returns when every line is written or, refused, put away.
    pub(crate) async fn write(&mut self, lines: Arc<Lines>) -> Result<(), Closed> {
        self.report.send_modify(|report| {
            report.waiting_since_ms = lines.oldest_ms;
            report.readings_withheld += lines.counts.withheld;
            report.values_left_out += lines.counts.left_out;
        });
        let mut left = Vec::from_iter(std::iter::once(0..lines.len()));
        let mut halved = 0;
        while let Some(range) = left.pop() {
            if range.is_empty() {
                continue;
            }
            let (detail, partial) = match self.send(&lines, range.clone()).await {
                Sent::Written => continue,
                Sent::Refused { detail, partial } => (detail, partial),
                Sent::TooLarge => ("413: it is too large".to_owned(), None),
            };
            let written_but =
                partial.is_some_and(|dropped| dropped >= range.len() || halved >= HALVED);
            if range.len() == 1 || written_but {
                self.put_away(&lines, range, partial, &detail).await?;
            } else {
                halved += 1;
                let middle = range.start + range.len() / 2;
                // The first half first: points with the same time are written in their order.
                left.push(middle..range.end);
                left.push(range.start..middle);
            }
        }
        self.report.send_modify(|report| report.waiting_since_ms = None);
        Ok(())
    }

    /// Sends until there is an answer that is about the lines.
    async fn send(&mut self, lines: &Arc<Lines>, range: Range<usize>) -> Sent {
        loop {
            // Anew for each attempt: who withdraws consent meanwhile is left out.
            let body = self.compress(lines.clone(), range.clone()).await;
            let (answer, count) = match body {
                Ok((_, 0)) => return Sent::Written,
                Ok((body, count)) => (self.bucket.write(body).await, count),
                Err(error) => (Answer::Away { error: error.to_string() }, 0),
            };
            let state = match answer {
                Answer::Written => {
                    self.arrived(|report| report.points_written += count as u64);
                    return Sent::Written;
                }
                Answer::Refused { detail, partial } => {
                    self.arrived(|report| report.requests_failed += 1);
                    let all = range.len();
                    let partial =
                        partial.map(|dropped| if dropped < count { dropped } else { all });
                    return Sent::Refused { detail, partial };
                }
                Answer::TooLarge => {
                    self.arrived(|report| report.requests_failed += 1);
                    return Sent::TooLarge;
                }
                Answer::Denied { error, advice } => InfluxState::Denied { error, advice },
                Answer::Away { error } => {
                    self.settled = Some(Instant::now() + UNSETTLED * self.timeout);
                    InfluxState::Away { error }
                }
            };
            self.failed(state);
            tokio::time::sleep(self.next_retry()).await;
        }
    }

    /// Compresses where it may take its time.
    async fn compress(
        &self,
        lines: Arc<Lines>,
        range: Range<usize>,
    ) -> std::io::Result<(Bytes, usize)> {
        let (registry, now_ms) = (self.journal.registry(), self.clock.now_ms());
        tokio::task::spawn_blocking(move || lines.compressed(range, &registry.read(), now_ms))
            .await?
    }

    fn arrived(&mut self, count: impl FnOnce(&mut InfluxReport)) {
        self.retry = FIRST_RETRY;
        self.report.send_modify(|report| {
            if report.state != InfluxState::Writing {
                tracing::info!("InfluxDB answers again");
                report.state = InfluxState::Writing;
            }
            count(report);
        });
    }

    fn failed(&self, state: InfluxState) {
        self.report.send_modify(|report| {
            report.requests_failed += 1;
            if report.state != state {
                match &state {
                    InfluxState::Denied { error, advice } => {
                        tracing::error!(error, advice, "InfluxDB does not take readings");
                    }
                    InfluxState::Away { error } => {
                        tracing::warn!(error, "readings wait for InfluxDB");
                    }
                    InfluxState::Writing => {}
                }
                report.state = state;
            }
        });
    }

    /// Doubles from try to try; each wait is drawn from its upper half, so that several do not come
    /// back in the same instant.
    fn next_retry(&mut self) -> Duration {
        let random = getrandom::u32().unwrap_or(u32::MAX);
        let wait = self.retry.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX));
        self.retry = (self.retry * 2).min(LAST_RETRY);
        wait
    }

    /// Gives up on lines that InfluxDB does not take; `partial` says of how many of them.
    async fn put_away(
        &mut self,
        lines: &Lines,
        range: Range<usize>,
        partial: Option<usize>,
        detail: &str,
    ) -> Result<(), Closed> {
        let refused = partial.unwrap_or(range.len()).min(range.len());
        self.report.send_modify(|report| {
            report.points_refused += refused as u64;
            report.points_written += (range.len() - refused) as u64;
        });
        tracing::warn!(refused, detail, "InfluxDB refused points");
        if self.hour.0.elapsed() > HOUR {
            self.hour = (Instant::now(), 0);
        }
        // Where they were not told apart, one of them stands for all.
        let shown =
            if refused == range.len() { range.clone() } else { range.start..range.start + 1 };
        let detail = match refused == range.len() {
            true => detail.to_owned(),
            false => format!("{refused} of {} points from this one on: {detail}", range.len()),
        };
        let kept: Vec<usize> = {
            let registry = self.journal.registry();
            let registry = registry.read();
            lines.kept(shown, &registry, self.clock.now_ms()).collect()
        };
        let room = (PUT_AWAY.saturating_sub(self.hour.1)) as usize;
        let rows: Vec<PutAway> = kept
            .into_iter()
            .take(room)
            .map(|line| PutAway {
                device: lines.device(line),
                reason: Reason::RefusedByInflux,
                detail: detail.clone(),
                topic: "influx".to_owned(),
                payload: lines.text(line..line + 1).trim_end().as_bytes().to_vec(),
            })
            .collect();
        self.hour.1 += rows.len() as u32;
        if rows.is_empty() { Ok(()) } else { self.journal.put_away(rows).await }
    }
}

enum Sent {
    Written,
    Refused { detail: String, partial: Option<usize> },
    TooLarge,
}
