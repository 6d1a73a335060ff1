//! Decides what becomes of each arrival: kept, quarantined or refused.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use enrich::registry::{Known, Registry};
use ingest::report::FromInsurer;
use ingest::{Arrival, Message, Reading, Reason, Rejected, Sender};

use crate::report::Reported;
use crate::{Counts, Notice};

/// A reading that may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) device: u32,
    pub(crate) reading: &'a Reading,
}

/// Something a consented device, or an insurer, sent that we could not use.
#[derive(Debug)]
pub(crate) struct Quarantined<'a> {
    /// Where it was tried again: the row it has.
    pub(crate) number: Option<i64>,
    pub(crate) whose: Sent<'a>,
    pub(crate) broker: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) rejected: &'a Rejected,
    pub(crate) received_ms: i64,
}

/// Who sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sent<'a> {
    Device(u32),
    Insurer(&'a str),
}

impl<'a> Sent<'a> {
    pub(crate) fn device(self) -> Option<u32> {
        match self {
            Self::Device(device) => Some(device),
            Self::Insurer(_) => None,
        }
    }

    pub(crate) fn insurer(self) -> Option<&'a str> {
        match self {
            Self::Device(_) => None,
            Self::Insurer(insurer) => Some(insurer),
        }
    }
}

/// A batch of arrivals, sorted.
#[derive(Debug, Default)]
pub(crate) struct Sorted<'a> {
    /// By device, and for each in history order.
    pub(crate) kept: Vec<Kept<'a>>,
    pub(crate) quarantined: Vec<Quarantined<'a>>,
    /// Of insurers that are known, in the order they came.
    pub(crate) reports: Vec<Reported<'a>>,
    pub(crate) notices: Vec<Notice>,
}

/// A quarantined payload is kept up to this size: enough to see what it was.
pub(crate) const QUARANTINED_BYTES: usize = 64 << 10;

/// Sorts `arrivals` and counts everything but what is stored or duplicate. Readings from before
/// `since_ms` are not kept any more.
///
/// `taken` are the rows of the quarantine that are tried again. An attempt at a row that is gone,
/// or comes a second time, is nothing.
pub(crate) fn sort<'a>(
    arrivals: &'a [Arrival],
    registry: &Registry,
    (now_ms, since_ms): (i64, i64),
    taken: &mut HashMap<i64, Option<Reason>>,
    counts: &mut Counts,
) -> Sorted<'a> {
    let mut sorted = Sorted::default();
    for arrival in arrivals {
        match arrival.retry_of.map(|number| taken.remove(&number)) {
            None => {
                counts.messages += 1;
                counts.unknown_names += u64::from(arrival.decoded.unknown_names());
            }
            Some(None) => continue,
            // Nothing in it can be counted anew.
            Some(Some(reason)) if says_nothing(arrival) => {
                counts.dropped += u64::from(reason.is_some());
                continue;
            }
            Some(Some(reason)) => reason.into_iter().for_each(|reason| counts.retry(reason)),
        }
        let row = arrival.retry_of;
        let mut sorter =
            Sorter { arrival, row, registry, now_ms, since_ms, counts, sorted: &mut sorted };
        match &arrival.decoded {
            Message::Insurer(message) => sorter.insurer(message),
            Message::Device(Ok(decoded)) => {
                sorter.counts.received += decoded.readings.len() as u64;
                match registry.device(&decoded.device) {
                    Some(device) => {
                        decoded.readings.iter().for_each(|reading| match reading {
                            Ok(reading) => sorter.reading(device, reading),
                            Err(rejected) => sorter.rejected(device, rejected),
                        });
                    }
                    None => sorter.unknown(&decoded.device, decoded.readings.len()),
                }
            }
            Message::Device(Err((device, rejected))) => {
                sorter.counts.received += 1;
                let named = match &arrival.sender {
                    Sender::Device(device) => Some(device),
                    Sender::Anonymous => device.as_ref(),
                    // What an insurer sends is of the insurer.
                    Sender::Insurer(_) => None,
                };
                match named.map(|name| (name, registry.device(name))) {
                    Some((_, Some(device))) => sorter.rejected(device, rejected),
                    Some((name, None)) => sorter.unknown(name, 1),
                    None => sorter.counts.refuse(rejected.reason, 1),
                }
            }
        }
    }
    sorted
        .kept
        .sort_by(|a, b| a.device.cmp(&b.device).then_with(|| a.reading.history_order(b.reading)));
    sorted
}

fn says_nothing(arrival: &Arrival) -> bool {
    arrival.decoded.readings().is_some_and(|decoded| decoded.readings.is_empty())
}

struct Sorter<'a, 'b> {
    arrival: &'a Arrival,
    /// The row of the quarantine that the first reading keeps which still cannot be used.
    row: Option<i64>,
    registry: &'b Registry,
    now_ms: i64,
    since_ms: i64,
    counts: &'b mut Counts,
    sorted: &'b mut Sorted<'a>,
}

impl<'a> Sorter<'a, '_> {
    fn reading(&mut self, device: &Known, reading: &'a Reading) {
        match self.refusal(device, reading.time_ms) {
            None => self.sorted.kept.push(Kept { device: device.number, reading }),
            Some(reason) => self.refuse(&device.device.id, reason, 1),
        }
    }

    /// What could not be read has no time of its own: whether it may be kept is asked for now.
    fn rejected(&mut self, device: &Known, rejected: &'a Rejected) {
        match self.refusal(device, self.now_ms) {
            None => {
                self.counts.quarantine(rejected.reason);
                self.notify(&device.device.id, rejected.reason, &rejected.detail);
                self.quarantine(Sent::Device(device.number), rejected);
            }
            Some(reason) => self.refuse(&device.device.id, reason, 1),
        }
    }

    fn quarantine(&mut self, whose: Sent<'a>, rejected: &'a Rejected) {
        self.sorted.quarantined.push(Quarantined {
            number: self.row.take(),
            whose,
            broker: &self.arrival.broker,
            topic: &self.arrival.topic,
            rejected,
            received_ms: self.arrival.received_ms,
        });
    }

    /// Whom a report is about, and so whether it may be kept, is found out where it is stored.
    fn insurer(&mut self, message: &'a FromInsurer) {
        let (arrival, insurer) = (self.arrival, &message.insurer);
        self.counts.received += 1;
        if self.registry.insurer(insurer).is_none() {
            return self.refuse(insurer, Reason::UnknownInsurer, 1);
        }
        match &message.report {
            Ok(report) => self.sorted.reports.push(Reported { arrival, insurer, report }),
            Err(rejected) => {
                self.counts.quarantine(rejected.reason);
                self.notify(insurer, rejected.reason, &rejected.detail);
                self.quarantine(Sent::Insurer(insurer), rejected);
            }
        }
    }

    fn unknown(&mut self, name: &Arc<str>, readings: usize) {
        if readings > 0 {
            self.refuse(name, Reason::UnknownDevice, readings as u64);
        }
    }

    fn refusal(&self, device: &Known, time_ms: i64) -> Option<Reason> {
        match device.owner_at(time_ms) {
            None => Some(Reason::NoOwner),
            Some(owner) if !self.registry.may_keep(owner, time_ms, self.now_ms) => {
                Some(Reason::NoConsent)
            }
            Some(_) => (time_ms < self.since_ms).then_some(Reason::TooOld),
        }
    }

    fn refuse(&mut self, device: &Arc<str>, reason: Reason, readings: u64) {
        self.counts.refuse(reason, readings);
        self.notify(device, reason, "");
    }

    fn notify(&mut self, to: &Arc<str>, reason: Reason, detail: &str) {
        // It was told when it sent this.
        if self.arrival.retry_of.is_some() {
            return;
        }
        let same = |notice: &Notice| notice.reason == reason && notice.to == *to;
        if self.sorted.notices.iter().rev().take(8).any(same) {
            return;
        }
        self.sorted.notices.push(Notice {
            to: to.clone(),
            reason,
            detail: detail.to_owned(),
            at_ms: self.now_ms,
        });
    }
}

/// What of a rejected payload is put away.
pub(crate) fn kept_payload(raw: &Bytes) -> &[u8] {
    &raw[..raw.len().min(QUARANTINED_BYTES)]
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Instant;

    use super::sort;
    use crate::Counts;
    use bytes::Bytes;
    use enrich::registry::{Registry, RegistryFile};
    use ingest::{Arrival, Decoded, DeviceKind, Fix, Message, Reading, Reason, Rejected, Sender};

    fn registry() -> Registry {
        let text = r#"
            [[insurer]]
            id = "alpina"
            name = "Alpina"
            [[customer]]
            id = "anna"
            name = "Anna"
            [[customer]]
            id = "bram"
            name = "Bram"
            [[device]]
            id = "car-a"
            kind = "car"
            owner = [{ customer = "anna", from = "2025-01-01T00:00:00Z" }]
            [[device]]
            id = "car-b"
            kind = "car"
            owner = [{ customer = "bram", from = "2025-01-01T00:00:00Z" }]
            [[consent]]
            customer = "anna"
            insurer = "alpina"
            purpose = "travel"
            given = "2025-01-01T00:00:00Z"
            wording = "1"
        "#;
        let mut registry = Registry::default();
        RegistryFile::parse(text).unwrap().into_iter().for_each(|entry| registry.apply(entry));
        registry
    }

    const NOW_MS: i64 = 1_760_000_000_000;

    fn arrival(device: &str, readings: Vec<Result<Reading, Rejected>>) -> Arrival {
        Arrival {
            broker: "embedded".into(),
            topic: format!("telemetry/car/{device}").into(),
            sender: Sender::Anonymous,
            payload: Bytes::new(),
            decoded: Message::Device(Ok(Decoded {
                device: device.into(),
                kind: DeviceKind::Car,
                readings,
                unknown_names: 0,
            })),
            retry_of: None,
            received_ms: NOW_MS,
            received: Instant::now(),
            acknowledge: tokio::sync::oneshot::channel().0,
        }
    }

    fn reading(time_ms: i64) -> Result<Reading, Rejected> {
        Ok(Reading { time_ms, seq: None, fix: Fix::new(52.0, 5.0, None), measures: vec![] })
    }

    fn bad() -> Result<Reading, Rejected> {
        Err(Rejected { reason: Reason::NoTime, detail: "ts is missing".into(), raw: Bytes::new() })
    }

    #[track_caller]
    fn check(
        arrival: Arrival,
        kept: usize,
        quarantined: &[(Reason, u64)],
        refused: &[(Reason, u64)],
    ) {
        let mut counts = Counts::default();
        let arrivals = [arrival];
        let mut taken = HashMap::new();
        let sorted = sort(&arrivals, &registry(), (NOW_MS, i64::MIN), &mut taken, &mut counts);
        assert_eq!(sorted.kept.len(), kept);
        assert_eq!(counts.quarantined, quarantined.iter().copied().collect());
        assert_eq!(counts.refused, refused.iter().copied().collect());
        counts.stored = sorted.kept.len() as u64;
        assert!(counts.balance(), "{counts:?}");
    }

    #[test]
    fn what_may_be_kept_is_and_what_may_not_leaves_no_trace() {
        check(
            arrival("car-a", vec![reading(NOW_MS), bad(), reading(NOW_MS - 5)]),
            2,
            &[(Reason::NoTime, 1)],
            &[],
        );
        check(arrival("car-a", vec![reading(1_700_000_000_000)]), 0, &[], &[(Reason::NoOwner, 1)]);
        check(arrival("car-b", vec![reading(NOW_MS), bad()]), 0, &[], &[(Reason::NoConsent, 2)]);
        check(
            arrival("ghost", vec![reading(NOW_MS), bad()]),
            0,
            &[],
            &[(Reason::UnknownDevice, 2)],
        );
        check(arrival("ghost", vec![]), 0, &[], &[]);
    }

    #[test]
    fn a_message_nobody_can_read_counts_one() {
        let rejected =
            || Rejected { reason: Reason::NotDecodable, detail: String::new(), raw: Bytes::new() };
        let unreadable = |device: Option<&str>| Arrival {
            decoded: Message::Device(Err((device.map(Into::into), rejected()))),
            ..arrival("x", vec![])
        };
        check(unreadable(Some("car-a")), 0, &[(Reason::NotDecodable, 1)], &[]);
        check(unreadable(Some("car-b")), 0, &[], &[(Reason::NoConsent, 1)]);
        check(unreadable(None), 0, &[], &[(Reason::NotDecodable, 1)]);
        let foreign =
            Arrival { sender: Sender::Device("car-a".into()), ..unreadable(Some("car-b")) };
        check(foreign, 0, &[(Reason::NotDecodable, 1)], &[]);
    }
}
