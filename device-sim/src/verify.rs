//! Compares what an insurer was told with what really happened.
//!
//! Products are judged whose triggers follow from what the simulator knows; the rest of the ledger
//! is counted by its events.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::limits::Limits;
use crate::score::{Score, Wrong, score};
use crate::trigger::{Recorded, Trigger};
use crate::truth::Truth;

/// The judgement on a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    pub passed: bool,
    pub products: BTreeMap<String, Score>,
    /// Messages on trigger topics that are not as documented, and why the first is not.
    pub unreadable: u64,
    pub first_unreadable: Option<String>,
    /// The same id and revision again, as may be after a reconnect.
    pub repeated: u64,
    /// The same id and revision again, with another content.
    pub contradictory: u64,
    /// Sequence numbers that were passed over.
    pub gaps: u64,
    /// Triggers about events that are not judged.
    pub unjudged: u64,
    /// What the ledger holds without a trigger to check against, by event.
    #[serde(default)]
    pub without_trigger: BTreeMap<String, u64>,
}

/// Products and events that triggers are about and the ledger speaks of.
pub const JUDGEABLE: [(&str, &str); 8] = [
    ("travel", "border_crossed"),
    ("travel", "risk_area_entered"),
    ("travel", "risk_area_left"),
    ("travel", "trip_ahead"),
    ("winter_tyres", "tyres_unfit"),
    ("winter_tyres", "claim_reported"),
    ("home", "frost_risk"),
    ("venue", "geofence_entered"),
];

/// Judges `recorded` triggers by the `truths`. The clock of the fleet ran `clock_speed` times as
/// fast as that of `received_at`; both showed the same at `clock_start`.
#[must_use]
pub fn judge(truths: &[Truth], recorded: &[Recorded], limits: &Limits, clock: Clock) -> Verdict {
    let mut verdict = Verdict {
        passed: true,
        products: BTreeMap::new(),
        unreadable: 0,
        first_unreadable: None,
        repeated: 0,
        contradictory: 0,
        gaps: 0,
        unjudged: 0,
        without_trigger: BTreeMap::new(),
    };
    let told = read(recorded, &mut verdict);
    verdict.gaps = gaps(&told);
    let (last, withdrawn) = last_words(told, &mut verdict);
    let is_judged = |product: &str, event: &str| {
        JUDGEABLE.contains(&(product, event)) && limits.events.iter().any(|one| one == event)
    };
    let mut products: BTreeMap<&str, (Vec<&Truth>, Vec<&Trigger>)> = BTreeMap::new();
    for truth in truths {
        let (product, event) = (truth.what.product(), truth.what.event());
        if is_judged(product, event) {
            products.entry(product).or_default().0.push(truth);
        } else {
            *verdict.without_trigger.entry(event.to_owned()).or_default() += 1;
        }
    }
    for trigger in &last {
        if is_judged(&trigger.product, &trigger.event) {
            products.entry(&trigger.product).or_default().1.push(trigger);
        } else {
            verdict.unjudged += 1;
        }
    }
    for (product, (truths, triggers)) in products {
        let mut score = score(&truths, &triggers, limits, clock);
        score.withdrawn = withdrawn.get(product).copied().unwrap_or_default();
        verdict.passed &= score.precision >= limits.precision
            && score.recall >= limits.recall
            && (score.found - score.late) as f64 >= limits.in_time * score.found as f64
            && score.doubled == 0;
        verdict.products.insert(product.to_owned(), score);
    }
    verdict.passed &= verdict.unreadable == 0 && verdict.contradictory == 0;
    verdict
}

fn read(recorded: &[Recorded], verdict: &mut Verdict) -> Vec<Trigger> {
    let mut told = Vec::with_capacity(recorded.len());
    for message in recorded {
        match Trigger::read(message) {
            Ok(trigger) => told.extend(trigger),
            Err(error) => {
                verdict.unreadable += 1;
                verdict.first_unreadable.get_or_insert(error.to_string());
            }
        }
    }
    told
}

/// How many sequence numbers between the lowest and the highest never came, over all insurers and
/// products.
fn gaps(told: &[Trigger]) -> u64 {
    let mut seen: HashMap<(&str, &str), HashSet<u64>> = HashMap::new();
    for trigger in told {
        let numbers = seen.entry((&trigger.insurer, &trigger.product)).or_default();
        numbers.insert(trigger.sequence);
    }
    let missing = |numbers: &HashSet<u64>| {
        let (low, high) = (numbers.iter().min()?, numbers.iter().max()?);
        Some(high - low + 1 - numbers.len() as u64)
    };
    seen.values().filter_map(missing).sum()
}

/// What holds in the end of all that was said under each id: its newest revision, at the time of
/// the first message. What that takes back is counted by its product.
fn last_words(told: Vec<Trigger>, verdict: &mut Verdict) -> (Vec<Trigger>, HashMap<String, u64>) {
    let mut by_id: BTreeMap<String, Vec<Trigger>> = BTreeMap::new();
    for trigger in told {
        let said = by_id.entry(trigger.id.clone()).or_default();
        match said.iter().find(|before| before.revision == trigger.revision) {
            None => said.push(trigger),
            Some(before) => {
                verdict.repeated += 1;
                let mut same = before.clone();
                same.received_at = trigger.received_at;
                verdict.contradictory += u64::from(same != trigger);
            }
        }
    }
    let mut last_words = Vec::with_capacity(by_id.len());
    let mut withdrawn: HashMap<String, u64> = HashMap::new();
    for said in by_id.into_values() {
        let first_at = said.iter().map(|trigger| trigger.received_at).min();
        let Some(mut last) = said.into_iter().max_by_key(|trigger| trigger.revision) else {
            continue;
        };
        if last.withdrawn {
            *withdrawn.entry(last.product).or_default() += 1;
        } else {
            last.received_at = first_at.unwrap_or(last.received_at);
            last_words.push(last);
        }
    }
    (last_words, withdrawn)
}

impl Verdict {
    /// Something that had to be told has not come yet.
    pub(crate) fn is_short(&self) -> bool {
        self.products.values().any(|score| score.missed > 0)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (product, score) in &self.products {
            writeln!(
                f,
                "{product:<16}{} expected, {} found, {} missed, {} false, {} doubled, {} late; \
                 precision {:.4}, recall {:.4}",
                score.expected,
                score.found,
                score.missed,
                score.r#false,
                score.doubled,
                score.late,
                score.precision,
                score.recall
            )?;
            if let Some(l) = &score.latency {
                writeln!(f, "{:16}publish to trigger {l}", "")?;
            }
            for Wrong { id, event, happened_at } in &score.first_false {
                writeln!(f, "{:16}false: {event} at {happened_at}, id {id}", "")?;
            }
            for truth in &score.first_missed {
                writeln!(f, "{:16}missed: {} {:?} at {}", "", truth.device, truth.what, truth.at)?;
            }
        }
        for (name, count) in [
            ("unreadable", self.unreadable),
            ("repeated", self.repeated),
            ("contradictory", self.contradictory),
            ("sequence gaps", self.gaps),
            ("not judged", self.unjudged),
        ] {
            if count > 0 {
                writeln!(f, "{name:<16}{count}")?;
            }
        }
        if !self.without_trigger.is_empty() {
            let counts = self.without_trigger.iter();
            let list: Vec<_> = counts.map(|(event, count)| format!("{event} {count}")).collect();
            writeln!(f, "in the ledger, and no trigger to check against: {}", list.join(", "))?;
        }
        if let Some(why) = &self.first_unreadable {
            writeln!(f, "{:16}{why}", "")?;
        }
        writeln!(f, "verification    {}", if self.passed { "passed" } else { "FAILED" })
    }
}

#[cfg(test)]
mod kinds;
#[cfg(test)]
mod tests;
