//! One connection, from CONNECT to its end.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use super::ledger::Ledger;
use super::link::{self, Event, Link, Lost};
use super::packet::{Message, Receipt};
use super::{CollectorOptions, CollectorState, Report, told_to_stop};
use crate::{Arrival, Clock, Sender};

/// A connection that lasted this long was a good one, also when nothing came.
const GOOD: Duration = Duration::from_secs(30);

/// What a connection needs, and leaves to the next one.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) options: CollectorOptions,
    pub(super) clock: Clock,
    pub(super) arrivals: mpsc::Sender<Arrival>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) report: Report,
}

/// How it ended.
pub(super) enum Ended {
    /// Told to stop, or nobody is left to take anything.
    Done,
    /// To be tried again: at once, more or less, when it had worked.
    Lost { why: String, worked: bool },
}

impl Connection {
    pub(super) async fn run(self) -> Ended {
        let mut stop = self.stop.clone();
        let opened = tokio::select! {
            opened = link::open(&self.options) => opened,
            () = told_to_stop(&mut stop) => return Ended::Done,
        };
        let link = match opened {
            Ok(link) => link,
            Err(Lost(why)) => return Ended::Lost { why, worked: false },
        };
        tracing::info!(
            broker = format!("{}:{}", self.options.host, self.options.port),
            version = ?link.version,
            "connected"
        );
        let opened = Instant::now();
        let mut open = Open {
            ledger: Ledger::new(self.options.receive_maximum.get().into()),
            filters: filters(&self.options),
            backlog: VecDeque::new(),
            acknowledged: false,
            stage: Stage::Collecting,
            collector: self,
        };
        match open.serve(link, stop).await {
            Ok(()) => Ended::Done,
            Err(Lost(why)) => {
                let worked = open.acknowledged || opened.elapsed() > GOOD;
                Ended::Lost { why, worked }
            }
        }
    }
}

fn filters(options: &CollectorOptions) -> Vec<String> {
    let shared = |filter: String| match &options.share {
        Some(group) => format!("$share/{group}/{filter}"),
        None => filter,
    };
    options.sources.filters().map(shared).collect()
}

/// A connection that the broker has accepted.
struct Open {
    collector: Connection,
    filters: Vec<String>,
    ledger: Ledger<Option<Receipt>>,
    /// What the pipeline had no room for. All of it is in the ledger too, and so bounded there.
    backlog: VecDeque<Arrival>,
    /// Whether anything was.
    acknowledged: bool,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Collecting,
    /// Nothing more is taken in; what was, is still acknowledged.
    Stopping,
}

impl Open {
    /// Until it is told to stop (or nobody takes what comes), or the connection is lost.
    async fn serve(&mut self, mut link: Link, mut stop: watch::Receiver<bool>) -> Result<(), Lost> {
        // Also in a session that is kept: the broker may have lost it, or the sources be others.
        link.subscribe(&self.filters)?;
        let mut stopped = pin!(told_to_stop(&mut stop));
        let arrivals = self.collector.arrivals.clone();
        loop {
            let may_read = self.ledger.has_room();
            // Acknowledgements come before what is to be read: they make room for it.
            tokio::select! {
                biased;
                () = &mut stopped, if self.stage == Stage::Collecting => {
                    self.stage = Stage::Stopping;
                }
                settled = self.ledger.settled() => self.acknowledge(&mut link, settled)?,
                permit = arrivals.reserve(), if !self.backlog.is_empty() => {
                    let Ok(permit) = permit else { return Ok(()) };
                    if let Some(arrival) = self.backlog.pop_front() {
                        permit.send(arrival);
                    }
                }
                event = link.next(may_read) => match event? {
                    Event::Message(message) if self.stage == Stage::Collecting => {
                        self.take(message);
                    }
                    // It comes again in the next session.
                    Event::Message(_) => {}
                    Event::Subscribed { refused } => self.subscribed(&refused)?,
                    Event::Left => {
                        link.close().await;
                        return Ok(());
                    }
                }
            }
            if self.stage == Stage::Stopping && self.ledger.is_empty() {
                link.leave()?;
            }
        }
    }

    fn acknowledge(
        &mut self,
        link: &mut Link,
        settled: Option<Option<Receipt>>,
    ) -> Result<(), Lost> {
        let Some(receipt) = settled else {
            return Err(Lost("the journal could not take what it sent; it sends again".to_owned()));
        };
        self.acknowledged = true;
        receipt.map_or(Ok(()), |receipt| link.acknowledge(receipt))
    }

    /// Decodes and hands over.
    fn take(&mut self, message: Message) {
        let Message { topic, payload, receipt } = message;
        let (received, received_ms) = (Instant::now(), self.collector.clock.now_ms());
        let topic = String::from_utf8_lossy(&topic);
        let decoded = self.collector.options.sources.read(&topic, &payload, received_ms);
        let decoded = decoded.acknowledged(receipt.is_some(), &payload);
        let (acknowledge, outcome) = oneshot::channel();
        self.ledger.push(outcome, payload.len(), receipt);
        let arrival = Arrival {
            broker: Arc::clone(&self.collector.options.client_id),
            topic: topic.into(),
            // Who published, only the broker knows: its access rules decide what gets here.
            sender: Sender::Anonymous,
            payload,
            decoded,
            retry_of: None,
            received_ms,
            received,
            acknowledge,
        };
        if !self.backlog.is_empty() {
            self.backlog.push_back(arrival);
        } else if let Err(TrySendError::Full(arrival) | TrySendError::Closed(arrival)) =
            self.collector.arrivals.try_send(arrival)
        {
            self.backlog.push_back(arrival);
        }
    }

    fn subscribed(&self, refused: &[usize]) -> Result<(), Lost> {
        let Some(filter) = refused.first().and_then(|first| self.filters.get(*first)) else {
            self.collector.report.set(CollectorState::Collecting);
            return Ok(());
        };
        Err(Lost(format!("it does not grant {filter} at QoS 1; check its access rules")))
    }
}
