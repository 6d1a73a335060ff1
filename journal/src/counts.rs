//! What became of what was received: received = stored + quarantined + refused + duplicate.

use std::collections::BTreeMap;

use ingest::Reason;
use ingest::report::ReportKind;
use serde::{Deserialize, Serialize};

/// Totals since the journal was created, in readings (a message that cannot be decoded counts
/// one, and so does what an insurer reports). They commit with the readings they count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub received: u64,
    pub stored: u64,
    pub duplicate: u64,
    /// Of the stored: what insurers report.
    #[serde(default)]
    pub reports: BTreeMap<ReportKind, u64>,
    pub quarantined: BTreeMap<Reason, u64>,
    pub refused: BTreeMap<Reason, u64>,
    /// Tried again, by the reason they were quarantined for: no longer quarantined for that.
    #[serde(default)]
    pub retried: BTreeMap<Reason, u64>,
    /// Of the quarantined: let go by somebody, before their time.
    #[serde(default)]
    pub dropped: u64,
    /// MQTT messages, whatever was in them.
    pub messages: u64,
    /// Names in messages that are no documented measure.
    pub unknown_names: u64,
    /// Of the stored: behind a later reading of their device, and of those beyond the horizon
    /// within which events are looked at again.
    pub late: u64,
    pub beyond_horizon: u64,
    /// Of the stored: gone from the log before an output that follows it had them.
    #[serde(default)]
    pub passed_over: u64,
    /// How often each rule could not be evaluated.
    #[serde(default)]
    pub rule_faults: BTreeMap<String, u64>,
    pub triggers_released: u64,
    pub triggers_expired: u64,
    /// Of the released: not sent, since the consent ended before.
    #[serde(default)]
    pub triggers_withheld: u64,
    /// Of the stored: deleted since, because nobody may keep them any more.
    #[serde(default)]
    pub deleted: u64,
    /// Deleted since: they had been kept for as long as they shall be.
    #[serde(default)]
    pub aged: Aged,
    /// By why nobody was told.
    #[serde(default)]
    pub triggers_suppressed: BTreeMap<String, u64>,
}

/// What went because of its age: readings (of the stored), events, the content of messages to
/// insurers, and what these reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aged {
    pub readings: u64,
    pub events: u64,
    pub triggers: u64,
    pub reports: u64,
}

impl Counts {
    /// Whether every reading received has its outcome.
    #[must_use]
    pub fn balance(&self) -> bool {
        let sum = |counts: &BTreeMap<Reason, u64>| counts.values().sum::<u64>();
        self.received == self.stored + self.duplicate + sum(&self.quarantined) + sum(&self.refused)
    }

    pub(crate) fn quarantine(&mut self, reason: Reason) {
        *self.quarantined.entry(reason).or_default() += 1;
    }

    /// Takes back what was counted for a row that is tried again: it is counted anew.
    pub(crate) fn retry(&mut self, reason: Reason) {
        let Some(quarantined) = self.quarantined.get_mut(&reason) else { return };
        *quarantined -= 1;
        if *quarantined == 0 {
            self.quarantined.remove(&reason);
        }
        self.received -= 1;
        *self.retried.entry(reason).or_default() += 1;
    }

    pub(crate) fn refuse(&mut self, reason: Reason, readings: u64) {
        *self.refused.entry(reason).or_default() += readings;
    }
}
