//! What nobody may keep any more is deleted in InfluxDB, too.
//!
//! It comes after whatever request is under way: none that is made later has any of it. A request
//! that got no answer may be written there after the deletion all the same, and so may one that was
//! under way when a process before this one ended: so it is deleted again when that cannot be any
//! more, and not done before.

use std::time::Duration;

use enrich::registry::Span;
use ingest::DeviceKind;
use jiff::Timestamp;
use journal::{Closed, Due, Journal, ReadError};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::client::{ClientError, innermost, shorten};
use super::line::tag_value;
use super::{InfluxOptions, InfluxReport, blocking};

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// A time after all that may have been written, and still one that InfluxDB knows.
const OPEN_END: &str = "2262-01-01T00:00:00Z";

#[derive(Debug)]
pub(crate) struct Erasing {
    http: reqwest::Client,
    url: reqwest::Url,
    journal: Journal,
    report: watch::Sender<InfluxReport>,
    /// Changes when there is something new to delete.
    withheld: watch::Receiver<u64>,
    /// Changes when readings were deleted because of their age; and up to where that was done there.
    kept_since: watch::Receiver<i64>,
    aged_ms: i64,
    /// When it is tried again, after it did not work.
    again: Option<Instant>,
    retry: Duration,
}

impl Erasing {
    pub(crate) fn new(
        options: &InfluxOptions,
        journal: Journal,
        report: watch::Sender<InfluxReport>,
    ) -> Result<Self, ClientError> {
        let mut headers = HeaderMap::new();
        if !options.token.is_empty() {
            let token = HeaderValue::from_str(&format!("Token {}", options.token));
            headers.insert(AUTHORIZATION, token.map_err(|_| ClientError::Token)?);
        }
        let start = |error: &dyn std::fmt::Display| ClientError::Start(error.to_string());
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(options.timeout)
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| start(&error))?;
        let (org, bucket) = (&options.org, &options.bucket);
        let address = format!("{}/api/v2/delete", options.url.to_string().trim_end_matches('/'));
        let url = reqwest::Url::parse_with_params(&address, [("org", org), ("bucket", bucket)]);
        let url = url.map_err(|error| start(&error))?;
        let mut withheld = journal.live().withheld();
        // What was left over when the process ended.
        withheld.mark_changed();
        let kept_since = journal.live().kept_since();
        let (aged_ms, again, retry) = (i64::MIN, None, FIRST_RETRY);
        Ok(Self { http, url, journal, report, withheld, kept_since, aged_ms, again, retry })
    }

    /// Returns when [`go_on`](Self::go_on) has something to do.
    pub(crate) async fn due(&mut self) {
        let again = self.again;
        let later = async move {
            match again {
                Some(again) => tokio::time::sleep_until(again).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok(()) = self.withheld.changed() => self.withheld.mark_changed(),
            Ok(()) = self.kept_since.changed() => self.kept_since.mark_changed(),
            () = later => {}
        }
    }

    /// Deletes what is due. What cannot be deleted now is tried again later, and so is what somebody
    /// may still write until `settled`.
    pub(crate) async fn go_on(
        &mut self,
        settled: Option<Instant>,
    ) -> Result<Result<(), ReadError>, Closed> {
        let retries = self.again.is_some_and(|again| Instant::now() >= again);
        let aged = self.kept_since.has_changed().map_err(|_| Closed)?;
        if !retries && !aged && !self.withheld.has_changed().map_err(|_| Closed)? {
            return Ok(Ok(()));
        }
        self.withheld.mark_unchanged();
        self.kept_since.mark_unchanged();
        let reader = self.journal.reader();
        let due = match blocking(move || reader.deletions_due()).await {
            Ok(due) => due,
            Err(error) => return Ok(Err(error)),
        };
        self.report.send_modify(|report| report.deletions_pending = due.len() as u64);
        for one in due {
            let done = match self.delete(&one).await {
                Ok(()) if settled.is_some() => {
                    self.again = settled;
                    return Ok(Ok(()));
                }
                Ok(()) => self.journal.deleted_elsewhere(one.number).await?,
                Err(error) => {
                    self.failed(error);
                    false
                }
            };
            if !done {
                self.try_again();
                return Ok(Ok(()));
            }
            tracing::info!(receipt = one.number, "InfluxDB has deleted what may not be kept");
            self.report.send_modify(|report| report.deletions_pending -= 1);
        }
        if let Err(error) = self.delete_aged().await {
            self.failed(error);
            self.try_again();
            return Ok(Ok(()));
        }
        (self.again, self.retry) = (None, FIRST_RETRY);
        self.report.send_modify(|report| report.deletion_error = None);
        Ok(Ok(()))
    }

    fn try_again(&mut self) {
        self.again = Some(Instant::now() + self.retry);
        self.retry = (self.retry * 2).min(LAST_RETRY);
    }

    fn failed(&self, error: String) {
        self.report.send_modify(|report| {
            if report.deletion_error.as_ref() != Some(&error) {
                tracing::warn!(error, "InfluxDB does not delete what may not be kept");
                report.deletion_error = Some(error);
            }
        });
    }

    async fn delete(&self, due: &Due) -> Result<(), String> {
        let goes = due.goes(&self.journal.registry().read());
        for (device, span) in goes {
            let device = tag_value(&device).replace('"', "\\\"");
            self.ask(format!("device=\"{device}\""), span).await?;
        }
        Ok(())
    }

    /// What has been kept for as long as it shall be. After a start it is asked anew.
    async fn delete_aged(&mut self) -> Result<(), String> {
        let kept_since_ms = *self.kept_since.borrow();
        if kept_since_ms > self.aged_ms {
            for kind in DeviceKind::ALL {
                let span = Span { from_ms: 0, to_ms: Some(kept_since_ms) };
                self.ask(format!("_measurement=\"{}\"", kind.name()), span).await?;
            }
            self.aged_ms = kept_since_ms;
        }
        Ok(())
    }

    async fn ask(&self, predicate: String, span: Span) -> Result<(), String> {
        let moment = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        // Whether InfluxDB takes the end as included or not: no point lies between milliseconds.
        let before = |ms: i64| moment(ms) - Duration::from_nanos(1);
        let stop = span.to_ms.map_or_else(|| OPEN_END.to_owned(), |ms| before(ms).to_string());
        let body = json!({
            "start": moment(span.from_ms).to_string(),
            "stop": stop,
            "predicate": predicate,
        });
        let asked = self.http.post(self.url.clone());
        let asked = asked.header("Content-Type", "application/json").body(body.to_string());
        let answer = asked.send().await.map_err(|error| innermost(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = answer.text().await.unwrap_or_default();
        let error = shorten(&format!("{} {}", status.as_u16(), text));
        Err(match status.as_u16() {
            401 | 403 => format!("{error}; let the token in influx.token_file write to the bucket"),
            400 | 404 | 405 => format!(
                "{error}; if this server cannot delete, set influx.delete = false and delete there"
            ),
            _ => error,
        })
    }
}
