//! Which trigger is about which happening.
//!
//! A trigger names its customer by a pseudonym, so truth and trigger are paired by what and when: the
//! same event between the same countries or about the same tyres, near in time. Two devices that cross
//! the same border in the same minutes may be taken for one another; since as many as possible are
//! paired, no count changes by that.

use std::collections::HashMap;

use crate::limits::Limits;
use crate::trigger::Trigger;
use crate::truth::{Expect, Truth, What};
use crate::venues;

/// What truth and trigger must agree in.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key<'a> {
    Crossed {
        from: &'a str,
        to: &'a str,
    },
    Entered(&'a str),
    Left(&'a str),
    Arrived(&'a str),
    /// With the tread in tenths of a millimetre.
    Unfit {
        fitted: &'a str,
        tread: i64,
    },
    Claimed(&'a str),
    Booked(&'a str),
    Frost {
        stage: &'a str,
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
        What::GeofenceEntered { area } => Some(Key::Arrived(area)),
        What::TyresUnfit { fitted, tread_mm } => {
            Some(Key::Unfit { fitted, tread: tenths(*tread_mm) })
        }
        What::ClaimReported { id, .. } => Some(Key::Claimed(id)),
        What::TripAhead { id, .. } => Some(Key::Booked(id)),
        What::FrostRisk { stage, .. } => Some(Key::Frost { stage }),
        _ => None,
    }
}

/// What was said of it, where truth and trigger are about the same happening: of a claim, the road
/// and the tyres it happened on.
fn says_right(truth: &Truth, trigger: &Trigger) -> bool {
    let What::ClaimReported { tyre, road, or_road, .. } = &truth.what else { return true };
    let fitted = trigger.tyres.as_ref().and_then(|tyres| tyres.fitted.as_deref());
    let told = trigger.road.as_deref();
    let on_that = told == Some(road) || or_road.is_some() && told == or_road.as_deref();
    // By a clock that is wrong it happened in another hour, perhaps, and in other weather.
    let same_road = on_that || truth.clock_off_ms != 0;
    fitted == Some(tyre) && same_road
}

fn key_of_trigger(trigger: &Trigger) -> Option<Key<'_>> {
    match &*trigger.event {
        "border_crossed" => {
            Some(Key::Crossed { from: trigger.from.as_deref()?, to: trigger.to.as_deref()? })
        }
        "risk_area_entered" => Some(Key::Entered(trigger.area.as_deref()?)),
        "risk_area_left" => Some(Key::Left(trigger.area.as_deref()?)),
        "geofence_entered" => Some(Key::Arrived(trigger.area.as_deref()?)),
        "tyres_unfit" => {
            let tyres = trigger.tyres.as_ref()?;
            let fitted = tyres.fitted.as_deref()?;
            Some(Key::Unfit { fitted, tread: tenths(tyres.tread_mm?) })
        }
        "frost_risk" => Some(Key::Frost { stage: trigger.stage.as_deref()? }),
        "trip_ahead" => Some(Key::Booked(trigger.trip.as_deref()?)),
        "claim_reported" => Some(Key::Claimed(trigger.claim.as_deref()?)),
        _ => None,
    }
}

/// Of several findings about the same tyres a customer hears of the one that arrived first, and messages
/// are overtaken: a finding from the message after, or on the other side of a border, may stand for it.
const ANOTHER_FINDING_MS: i64 = 10 * 60_000;

pub(crate) struct Pairs {
    pub(crate) of_truth: Vec<Option<usize>>,
    pub(crate) of_trigger: Vec<Option<usize>>,
    /// For each trigger the nearest truth that it would fit, taken or not.
    pub(crate) rivals: Vec<Option<usize>>,
}

/// Pairs as many truths and triggers that fit as can be, those that must be told before those that may
/// be, and the nearest in time where there is a choice.
pub(crate) fn pair(truths: &[&Truth], triggers: &[&Trigger], limits: &Limits) -> Pairs {
    let mut fits = fits(truths, triggers, limits);
    fits.sort_unstable();
    let mut pairs = Pairs {
        of_truth: vec![None; truths.len()],
        of_trigger: vec![None; triggers.len()],
        rivals: vec![None; triggers.len()],
    };
    // For each truth, the nearest first.
    let mut choices: Vec<Vec<usize>> = vec![Vec::new(); truths.len()];
    for &(_, truth, trigger) in &fits {
        pairs.rivals[trigger].get_or_insert(truth);
        choices[truth].push(trigger);
    }
    let musts = [true, false];
    for must in musts {
        let wanted = |truth: usize| (truths[truth].expect == Expect::Trigger) == must;
        for &(_, truth, trigger) in fits.iter().filter(|&&(_, truth, _)| wanted(truth)) {
            if pairs.of_truth[truth].is_none() && pairs.of_trigger[trigger].is_none() {
                pairs.tie(truth, trigger);
            }
        }
        for truth in (0..truths.len()).filter(|&truth| wanted(truth)) {
            if pairs.of_truth[truth].is_none() {
                pairs.make_room(truth, &choices);
            }
        }
    }
    pairs
}

impl Pairs {
    fn tie(&mut self, truth: usize, trigger: usize) {
        self.of_truth[truth] = Some(trigger);
        self.of_trigger[trigger] = Some(truth);
    }

    /// Finds a trigger for `truth` by giving others another of theirs: the shortest chain of such
    /// changes, by breadth first search.
    fn make_room(&mut self, truth: usize, choices: &[Vec<usize>]) {
        // By which truth a trigger was reached.
        let mut reached: HashMap<usize, usize> = HashMap::new();
        let mut waiting = std::collections::VecDeque::from([truth]);
        while let Some(asking) = waiting.pop_front() {
            for &trigger in &choices[asking] {
                if reached.contains_key(&trigger) {
                    continue;
                }
                reached.insert(trigger, asking);
                match self.of_trigger[trigger] {
                    Some(holder) => waiting.push_back(holder),
                    None => return self.pass_on(trigger, &reached),
                }
            }
        }
    }

    /// Gives `free` to who asked for it, what that had to who asked for that, and so on.
    fn pass_on(&mut self, free: usize, reached: &HashMap<usize, usize>) {
        let mut given = Some(free);
        while let Some(trigger) = given
            && let Some(&asking) = reached.get(&trigger)
        {
            given = self.of_truth[asking];
            self.tie(asking, trigger);
        }
    }
}

/// What fits, with the milliseconds it is apart, as (apart, truth, trigger).
fn fits(truths: &[&Truth], triggers: &[&Trigger], limits: &Limits) -> Vec<(i64, usize, usize)> {
    let mut by_key: HashMap<_, Vec<(i64, usize)>> = HashMap::new();
    for (index, truth) in truths.iter().enumerate() {
        let at = (truth.at.as_millisecond(), index);
        if let Some(key) = key_of_truth(truth) {
            by_key.entry(key).or_default().push(at);
        }
    }
    by_key.values_mut().for_each(|times| times.sort_unstable());
    let tolerance_ms = limits.tolerance.as_millis() as i64;
    let most_ms = |truth: &Truth| {
        let another_ms = match truth.what {
            What::TyresUnfit { .. } => ANOTHER_FINDING_MS,
            What::GeofenceEntered { .. } => venues::DOUBT_MS,
            _ => 0,
        };
        let reports_ms = 2 * truth.reports_every_ms;
        tolerance_ms.max(reports_ms).max(truth.unseen_ms).max(another_ms)
    };
    let widest_ms = truths.iter().map(|truth| most_ms(truth)).max().unwrap_or_default();
    let mut fits = Vec::new();
    for (trigger_index, trigger) in triggers.iter().enumerate() {
        let Some(times) = key_of_trigger(trigger).and_then(|key| by_key.get(&key)) else {
            continue;
        };
        let at_ms = trigger.happened_at.as_millisecond();
        let first = times.partition_point(|&(time_ms, _)| time_ms < at_ms - widest_ms);
        for &(time_ms, index) in &times[first..] {
            if time_ms > at_ms + widest_ms {
                break;
            }
            let apart_ms = (time_ms - at_ms).abs();
            let truth = truths[index];
            if apart_ms <= most_ms(truth) && says_right(truth, trigger) {
                fits.push((apart_ms, index, trigger_index));
            }
        }
    }
    fits
}
