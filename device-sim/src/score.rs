//! One product's score: truths and triggers that fit, and what is left over.
//!
//! A trigger names its customer by a pseudonym, so truth and trigger are paired by what and when:
//! the same event between the same countries or about the same tyres, nearest in time. Two devices
//! that cross the same border in the same seconds may be taken for one another, which changes no
//! count.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use crate::areas;
use crate::borders::DWELL_MS;
use crate::report::latency;
use crate::stats::histogram;
use crate::trigger::Trigger;
use crate::truth::{Expect, Truth, What};
use crate::verify::{Clock, Limits, Score};
use crate::weather::HOUR_MS;

/// So many of what is missing are kept, for a look.
const EXAMPLES: usize = 5;

/// What truth and trigger must agree in.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key<'a> {
    Crossed {
        from: &'a str,
        to: &'a str,
    },
    Entered(&'a str),
    Left(&'a str),
    /// With the tread in tenths of a millimetre.
    Unfit {
        fitted: &'a str,
        tread: i64,
    },
}

fn tenths(mm: f64) -> i64 {
    (mm * 10.0).round() as i64
}

fn key_of_truth(truth: &Truth) -> Option<Key<'_>> {
    match &truth.what {
        What::BorderCrossed { from, to } => Some(Key::Crossed { from, to }),
        What::RiskAreaEntered { area } => Some(Key::Entered(area)),
        What::RiskAreaLeft { area } => Some(Key::Left(area)),
        What::TyresUnfit { fitted, tread_mm } => {
            Some(Key::Unfit { fitted, tread: tenths(*tread_mm) })
        }
        _ => None,
    }
}

fn key_of_trigger(trigger: &Trigger) -> Option<Key<'_>> {
    match &*trigger.event {
        "border_crossed" => {
            Some(Key::Crossed { from: trigger.from.as_deref()?, to: trigger.to.as_deref()? })
        }
        "risk_area_entered" => Some(Key::Entered(trigger.area.as_deref()?)),
        "risk_area_left" => Some(Key::Left(trigger.area.as_deref()?)),
        "tyres_unfit" => {
            let tyres = trigger.tyres.as_ref()?;
            let fitted = tyres.fitted.as_deref()?;
            Some(Key::Unfit { fitted, tread: tenths(tyres.tread_mm?) })
        }
        _ => None,
    }
}

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
                let ms = latency_ms(truth, trigger, clock);
                score.late += u64::from(ms > limits.late.as_secs_f64() * 1e3);
                record(&mut latencies, ms);
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
            _ => score.r#false += 1,
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
/// a second report was there; all of it published.
fn latency_ms(truth: &Truth, trigger: &Trigger, clock: Clock) -> f64 {
    let entered_ms = trigger.known_from.unwrap_or(truth.at).as_millisecond();
    let shown_ms = match &truth.what {
        What::BorderCrossed { .. } => entered_ms + DWELL_MS.max(truth.reports_every_ms),
        What::RiskAreaEntered { .. } | What::RiskAreaLeft { .. } => {
            entered_ms + areas::DWELL_MS.max(truth.reports_every_ms)
        }
        _ => truth.at.as_millisecond(),
    };
    let known_ms = shown_ms - truth.clock_off_ms;
    let published_ms = known_ms.max(truth.published_from.as_millisecond());
    clock.elapsed_ms(published_ms, trigger.received_at.as_millisecond()).max(0.0)
}

struct Pairs {
    of_truth: Vec<Option<usize>>,
    of_trigger: Vec<Option<usize>>,
    /// For each trigger the nearest truth that it would fit, taken or not.
    rivals: Vec<Option<usize>>,
}

/// Pairs truths and triggers that fit, the nearest in time first.
fn pair(truths: &[&Truth], triggers: &[&Trigger], limits: &Limits) -> Pairs {
    let mut by_key: HashMap<_, Vec<(i64, usize)>> = HashMap::new();
    for (index, truth) in truths.iter().enumerate() {
        let at = (truth.at.as_millisecond(), index);
        if let Some(key) = key_of_truth(truth) {
            by_key.entry(key).or_default().push(at);
        }
    }
    by_key.values_mut().for_each(|times| times.sort_unstable());
    let mut fits = Vec::new();
    for (trigger_index, trigger) in triggers.iter().enumerate() {
        let Some(times) = key_of_trigger(trigger).and_then(|key| by_key.get(&key)) else {
            continue;
        };
        let at_ms = trigger.happened_at.as_millisecond();
        // No device reports so rarely, or is unseen for so long, that this would leave one out.
        let widest_ms = (limits.tolerance.as_millis() as i64).max(4 * HOUR_MS);
        let first = times.partition_point(|&(time_ms, _)| time_ms < at_ms - widest_ms);
        for &(time_ms, index) in &times[first..] {
            if time_ms > at_ms + widest_ms {
                break;
            }
            let tolerance_ms = limits.tolerance.as_millis() as i64;
            let apart_ms = (time_ms - at_ms).abs();
            let truth = truths[index];
            if apart_ms <= tolerance_ms.max(2 * truth.reports_every_ms).max(truth.unseen_ms) {
                fits.push((apart_ms, index, trigger_index));
            }
        }
    }
    fits.sort_unstable();
    let mut pairs = Pairs {
        of_truth: vec![None; truths.len()],
        of_trigger: vec![None; triggers.len()],
        rivals: vec![None; triggers.len()],
    };
    for (_, truth, trigger) in fits {
        pairs.rivals[trigger].get_or_insert(truth);
        if pairs.of_truth[truth].is_none() && pairs.of_trigger[trigger].is_none() {
            pairs.of_truth[truth] = Some(trigger);
            pairs.of_trigger[trigger] = Some(truth);
        }
    }
    pairs
}
