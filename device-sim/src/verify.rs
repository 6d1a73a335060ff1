//! Compares what an insurer was told with what really happened.
//!
//! Products are judged whose triggers follow from what the simulator knows; the rest of the ledger
//! is counted by its events.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::report::Latency;
use crate::score::score;
use crate::trigger::{Recorded, Trigger};
use crate::truth::Truth;

/// What still counts as right.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The events to judge. Tyres, claims and frost need a server that goes by the simulated weather, areas
    /// of risk and venues one that was told them; claims also have to be reported to it.
    pub events: Vec<String>,
    /// A trigger may be so far off in when it happened, or two reports of the device, if that is
    /// more.
    pub tolerance: Duration,
    /// A trigger that comes longer after it could be known is late.
    pub late: Duration,
    /// The share of triggers that must be right, and of happenings that must be found.
    pub precision: f64,
    pub recall: f64,
    /// The share of what was found that must not be late.
    pub in_time: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events: vec!["border_crossed".to_owned()],
            tolerance: Duration::from_secs(30),
            late: Duration::from_secs(10),
            precision: 0.99,
            recall: 0.99,
            in_time: 0.99,
        }
    }
}

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

/// One product's part.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Score {
    /// What happened and had to be told.
    pub expected: u64,
    pub found: u64,
    pub missed: u64,
    /// Told, and nothing of it happened.
    pub r#false: u64,
    /// Told again under another id.
    pub doubled: u64,
    /// Of the found.
    pub late: u64,
    /// Told rightly, where not telling would have been right as well.
    pub optional: u64,
    /// Taken back again, all in all.
    pub withdrawn: u64,
    pub precision: f64,
    pub recall: f64,
    /// From when it could be known by what was published until the trigger came.
    pub latency: Option<Latency>,
    /// The first that are missing, for a look at what went wrong.
    pub first_missed: Vec<Truth>,
    /// And the first that were told falsely.
    #[serde(default)]
    pub first_false: Vec<Wrong>,
}

/// A trigger about something that did not happen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wrong {
    pub id: String,
    pub event: String,
    pub happened_at: Timestamp,
}

/// Products and events that triggers are about and the ledger speaks of.
pub const JUDGEABLE: [(&str, &str); 7] = [
    ("travel", "border_crossed"),
    ("travel", "risk_area_entered"),
    ("travel", "risk_area_left"),
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

/// How the fleet's clock goes: it showed `start_ms` when the clock on the wall showed
/// `wall_start_ms`, and runs `speed` times as fast.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    pub start_ms: i64,
    pub wall_start_ms: i64,
    pub speed: f64,
}

impl Clock {
    /// The clock on the wall.
    pub const WALL: Self = Self { start_ms: 0, wall_start_ms: 0, speed: 1.0 };

    /// Milliseconds on the wall from `moment_ms` of the fleet's clock to `wall_ms` on the wall.
    pub(crate) fn elapsed_ms(self, moment_ms: i64, wall_ms: i64) -> f64 {
        let since_ms = (moment_ms - self.start_ms) as f64 / self.speed;
        (wall_ms - self.wall_start_ms) as f64 - since_ms
    }
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
