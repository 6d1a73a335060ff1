//! One product's score: truths and triggers that fit, and what is left over.

use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::areas;
use crate::borders::DWELL_MS;
use crate::clock::Clock;
use crate::frost;
use crate::limits::Limits;
use crate::pairs::pair;
use crate::report::{Latency, latency};
use crate::stats::histogram;
use crate::trigger::Trigger;
use crate::truth::{Expect, Truth, What};

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

/// So many of what is missing or false are kept, for a look.
const EXAMPLES: usize = 5;

pub(crate) fn score(
    truths: &[&Truth],
    triggers: &[&Trigger],
    limits: &Limits,
    clock: Clock,
) -> Score {
    let pairs = pair(truths, triggers, limits);
    let mut score = Score::default();
    let mut latencies = histogram();
    for (index, truth) in truths.iter().enumerate() {
        let trigger = pairs.of_truth[index].map(|trigger| triggers[trigger]);
        match (truth.expect, trigger) {
            (Expect::Trigger, Some(trigger)) => {
                score.found += 1;
                if let Some(ms) = latency_ms(truth, trigger, clock) {
                    score.late += u64::from(ms > limits.late.as_secs_f64() * 1e3);
                    record(&mut latencies, ms);
                }
            }
            (Expect::Trigger, None) => {
                score.missed += 1;
                if score.first_missed.len() < EXAMPLES {
                    score.first_missed.push((*truth).clone());
                }
            }
            (Expect::Either, Some(_)) => score.optional += 1,
            (Expect::Either, None) | (Expect::Notice, _) => {}
        }
    }
    score.expected = score.found + score.missed;
    for (index, trigger) in triggers.iter().enumerate() {
        if pairs.of_trigger[index].is_some() {
            continue;
        }
        // Somebody who heard of this very happening already, or another insurer of theirs.
        let rival = pairs.rivals[index].map(|truth| pairs.of_truth[truth].map(|t| triggers[t]));
        match rival.flatten() {
            Some(other) if other.subject == trigger.subject => score.doubled += 1,
            Some(other) if other.insurer != trigger.insurer => score.optional += 1,
            _ => {
                score.r#false += 1;
                if score.first_false.len() < EXAMPLES {
                    let (id, event) = (trigger.id.clone(), trigger.event.clone());
                    let happened_at = trigger.happened_at;
                    score.first_false.push(Wrong { id, event, happened_at });
                }
            }
        }
    }
    let right = score.found + score.optional;
    let share = |part: u64, whole: u64| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
    score.precision = share(right, right + score.r#false + score.doubled);
    score.recall = share(score.found, score.expected);
    score.latency = latency(&latencies);
    score
}

fn record(latencies: &mut Histogram<u64>, ms: f64) {
    latencies.saturating_record((ms * 1e3) as u64);
}

/// From when it could be known: at once, or where something was crossed, when the dwell was over and
/// a second report was there; all of it published. `None` for what somebody has to report first: when
/// they do is not in the ledger.
fn latency_ms(truth: &Truth, trigger: &Trigger, clock: Clock) -> Option<f64> {
    let entered_ms = trigger.known_from.unwrap_or(truth.at).as_millisecond();
    let shown_ms = match &truth.what {
        What::BorderCrossed { .. } => entered_ms + DWELL_MS.max(truth.reports_every_ms),
        What::RiskAreaEntered { .. } | What::RiskAreaLeft { .. } | What::GeofenceEntered { .. } => {
            entered_ms + areas::DWELL_MS.max(truth.reports_every_ms)
        }
        What::FrostRisk { .. } => {
            truth.at.as_millisecond() + frost::DWELL_MS.max(truth.reports_every_ms)
        }
        What::TripAhead { due, .. } => due.as_millisecond(),
        What::ClaimReported { .. } => return None,
        _ => truth.at.as_millisecond(),
    };
    let known_ms = shown_ms - truth.clock_off_ms;
    let published_ms = known_ms.max(truth.published_from.as_millisecond());
    Some(clock.elapsed_ms(published_ms, trigger.received_at.as_millisecond()).max(0.0))
}
