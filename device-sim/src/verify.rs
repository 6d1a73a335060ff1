//! Compares what an insurer was told with what really happened.
//!
//! A trigger names its customer by a pseudonym, so truth and trigger are paired by what and when:
//! the same event between the same countries, nearest in time. Two devices that cross the same
//! border in the same seconds may be taken for one another, which changes no count.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::report::{Latency, latency};
use crate::stats::histogram;
use crate::trigger::{Recorded, Trigger};
use crate::truth::{DWELL_MS, Expect, Truth, What};

/// What still counts as right.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A trigger may be so far off in when it happened, or two reports of the device, if that is
    /// more.
    pub tolerance: Duration,
    /// A trigger that comes longer after it could be known is late.
    pub late: Duration,
    /// The share of triggers that must be right, and of happenings that must be found.
    pub precision: f64,
    pub recall: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tolerance: Duration::from_secs(30),
            late: Duration::from_secs(10),
            precision: 0.99,
            recall: 0.99,
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
    /// Triggers about events that the ledger does not speak of.
    pub unjudged: u64,
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
}

/// The products and events that the ledger speaks of.
const KNOWN: [(&str, &str); 1] = [("travel", "border_crossed")];

const EXAMPLES: usize = 5;

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
    };
    let told = read(recorded, &mut verdict);
    verdict.gaps = gaps(&told);
    let last = last_words(told, &mut verdict);
    let mut products: BTreeMap<&str, (Vec<&Truth>, Vec<&Trigger>)> = BTreeMap::new();
    for truth in truths {
        products.entry(truth.what.product()).or_default().0.push(truth);
    }
    for trigger in &last {
        if !KNOWN.contains(&(&*trigger.product, &*trigger.event)) {
            verdict.unjudged += 1;
            continue;
        }
        products.entry(&trigger.product).or_default().1.push(trigger);
    }
    for (product, (truths, triggers)) in products {
        let score = score(&truths, &triggers, limits, clock);
        verdict.passed &= score.precision >= limits.precision
            && score.recall >= limits.recall
            && score.doubled == 0;
        verdict.products.insert(product.to_owned(), score);
    }
    verdict.passed &= verdict.unreadable == 0 && verdict.contradictory == 0;
    verdict
}

/// How the fleet's clock goes: it showed `start_ms` when the clock on the wall showed
/// `wall_start_ms`, and runs `speed` times as fast.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Clock {
    pub start_ms: i64,
    pub wall_start_ms: i64,
    pub speed: f64,
}

impl Clock {
    /// The clock on the wall.
    pub const WALL: Self = Self { start_ms: 0, wall_start_ms: 0, speed: 1.0 };

    /// Milliseconds on the wall from `moment_ms` of the fleet's clock to `wall_ms` on the wall.
    fn elapsed_ms(self, moment_ms: i64, wall_ms: i64) -> f64 {
        let since_ms = (moment_ms - self.start_ms) as f64 / self.speed;
        (wall_ms - self.wall_start_ms) as f64 - since_ms
    }
}

fn read(recorded: &[Recorded], verdict: &mut Verdict) -> Vec<Trigger> {
    let mut told = Vec::with_capacity(recorded.len());
    for message in recorded {
        match Trigger::read(message) {
            Ok(trigger) => told.push(trigger),
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
/// the first message; nothing, if that takes it back.
fn last_words(told: Vec<Trigger>, verdict: &mut Verdict) -> Vec<Trigger> {
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
    for said in by_id.into_values() {
        let first_at = said.iter().map(|trigger| trigger.received_at).min();
        let Some(mut last) = said.into_iter().max_by_key(|trigger| trigger.revision) else {
            continue;
        };
        if last.withdrawn {
            let product = verdict.products.entry(last.product).or_default();
            product.withdrawn += 1;
        } else {
            last.received_at = first_at.unwrap_or(last.received_at);
            last_words.push(last);
        }
    }
    last_words
}

/// What truth and trigger must agree in.
fn key_of_truth(truth: &Truth) -> (&str, Option<&str>, Option<&str>) {
    match &truth.what {
        What::BorderCrossed { from, to } => ("border_crossed", Some(from), Some(to)),
    }
}

fn key_of_trigger(trigger: &Trigger) -> (&str, Option<&str>, Option<&str>) {
    (&trigger.event, trigger.from.as_deref(), trigger.to.as_deref())
}

fn score(truths: &[&Truth], triggers: &[&Trigger], limits: &Limits, clock: Clock) -> Score {
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
            (Expect::Either, None) => {}
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

/// From when it could be known: the rule's dwell was over and a second report was there, all of it
/// published.
fn latency_ms(truth: &Truth, trigger: &Trigger, clock: Clock) -> f64 {
    let entered_ms = trigger.known_from.unwrap_or(truth.at).as_millisecond();
    let known_ms = entered_ms + DWELL_MS.max(truth.reports_every_ms) - truth.clock_off_ms;
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
        by_key.entry(key_of_truth(truth)).or_default().push(at);
    }
    by_key.values_mut().for_each(|times| times.sort_unstable());
    let mut fits = Vec::new();
    for (trigger_index, trigger) in triggers.iter().enumerate() {
        let Some(times) = by_key.get(&key_of_trigger(trigger)) else { continue };
        let at_ms = trigger.happened_at.as_millisecond();
        // No device reports so rarely that this would leave one out.
        let widest_ms = (limits.tolerance.as_millis() as i64).max(3_600_000);
        let first = times.partition_point(|&(time_ms, _)| time_ms < at_ms - widest_ms);
        for &(time_ms, index) in &times[first..] {
            if time_ms > at_ms + widest_ms {
                break;
            }
            let tolerance_ms = limits.tolerance.as_millis() as i64;
            let apart_ms = (time_ms - at_ms).abs();
            if apart_ms <= tolerance_ms.max(2 * truths[index].reports_every_ms) {
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
        if let Some(why) = &self.first_unreadable {
            writeln!(f, "{:16}{why}", "")?;
        }
        writeln!(f, "verification    {}", if self.passed { "passed" } else { "FAILED" })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::{Clock, Limits, Verdict, judge};
    use crate::trigger::Recorded;
    use crate::truth::{Expect, Truth, What};

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(1_768_867_200 + second).unwrap()
    }

    fn truth(device: &str, at: i64, expect: Expect) -> Truth {
        Truth {
            device: device.into(),
            at: second(at),
            lat: 51.4,
            lon: 6.2,
            what: What::BorderCrossed { from: "NL".into(), to: "DE".into() },
            expect,
            reports_every_ms: 1_000,
            published_from: second(0),
            clock_off_ms: 0,
        }
    }

    /// A trigger of customer `subject`, who entered the country at `at` and was told at `received`.
    fn told(id: &str, subject: &str, at: i64, received: i64) -> Recorded {
        message(id, subject, at, received, 0, "fired")
    }

    fn message(id: &str, who: &str, at: i64, received: i64, revision: u64, kind: &str) -> Recorded {
        let message = json!({
            "specversion": "1.0", "id": id, "type": format!("io.datanaut.trigger.{kind}"),
            "sequence": format!("{:020}", received * 10 + revision as i64), "revision": revision,
            "data": {
                "event": "border_crossed", "happened_at": second(at),
                "between": [second(at - 1), second(at + 1)],
                "place": {"from": {"country": "NL"}, "to": {"country": "DE"}},
            },
        });
        Recorded {
            topic: format!("triggers/alpina/travel/{who}"),
            received_at: second(received),
            message: serde_json::from_value(message).unwrap(),
        }
    }

    fn judged(truths: &[Truth], recorded: &[Recorded]) -> Verdict {
        judge(truths, recorded, &Limits::default(), Clock::WALL)
    }

    #[test]
    fn each_happening_told_once_and_in_time_passes() {
        let truths = [
            truth("a", 100, Expect::Trigger),
            truth("b", 103, Expect::Trigger),
            truth("c", 400, Expect::Either),
        ];
        let verdict = judged(&truths, &[told("1", "x", 101, 122), told("2", "y", 103, 125)]);
        let travel = &verdict.products["travel"];
        assert!(verdict.passed, "{verdict}");
        assert_eq!((travel.expected, travel.found, travel.missed), (2, 2, 0));
        // Entered at 102 and 104, and 20 s later known: told at once, and after a second.
        assert!(travel.latency.unwrap().max_ms >= 1_000.0 && travel.late == 0);
    }

    #[test]
    fn missed_false_doubled_and_late_are_told_apart() {
        let truths: Vec<_> = (1..=4).map(|n| truth("a", n * 1_000, Expect::Trigger)).collect();
        let recorded = [
            told("1", "x", 1_000, 1_021),
            told("2", "x", 1_001, 1_021),
            told("3", "x", 2_000, 2_100),
            told("4", "z", 9_000, 9_021),
        ];
        let verdict = judged(&truths, &recorded);
        let travel = &verdict.products["travel"];
        assert!(!verdict.passed);
        assert_eq!((travel.found, travel.missed, travel.late), (2, 2, 1));
        assert_eq!((travel.r#false, travel.doubled), (1, 1));
        assert_eq!(travel.first_missed.len(), 2);
    }

    #[test]
    fn what_was_taken_back_was_not_told_and_a_repeat_is_none() {
        let truths = [truth("a", 100, Expect::Trigger)];
        let recorded = [
            told("1", "x", 100, 121),
            told("1", "x", 100, 121),
            told("2", "x", 700, 721),
            message("2", "x", 700, 730, 1, "withdrawn"),
        ];
        let verdict = judged(&truths, &recorded);
        assert!(verdict.passed, "{verdict}");
        assert_eq!((verdict.repeated, verdict.contradictory), (1, 0));
        let otherwise = judged(&truths, &[told("1", "x", 100, 121), told("1", "x", 105, 121)]);
        assert_eq!(otherwise.contradictory, 1);
    }

    #[test]
    fn what_the_ledger_does_not_speak_of_is_not_judged() {
        let mut other = told("1", "x", 100, 121);
        other.topic = "triggers/alpina/winter_tyres/x".into();
        let verdict = judged(&[], &[other]);
        assert!(verdict.passed && verdict.unjudged == 1, "{verdict}");
    }

    #[test]
    fn what_is_not_as_documented_fails() {
        let mut wrong = told("1", "x", 100, 121);
        wrong.topic = "triggers/alpina".into();
        assert!(!judged(&[], &[wrong]).passed);
        let nothing = judged(&[truth("a", 100, Expect::Trigger)], &[]);
        assert!(!nothing.passed && nothing.products["travel"].recall == 0.0);
    }

    #[test]
    fn a_fast_clock_makes_short_latencies() {
        let truths = [truth("a", 100, Expect::Trigger)];
        let start_ms = second(0).as_millisecond();
        let clock = Clock { start_ms, wall_start_ms: start_ms, speed: 10.0 };
        // Known at 121 of the fleet's clock, 12.1 s after the start on the wall.
        let verdict = judge(&truths, &[told("1", "x", 100, 13)], &Limits::default(), clock);
        let latency = verdict.products["travel"].latency.unwrap();
        assert!((890.0..910.0).contains(&latency.max_ms), "{latency:?}");
    }
}
