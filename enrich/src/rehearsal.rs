//! What of all that rules fire would be said: relevance played through in the order the journal asks
//! it, for readings that come as they are taken.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::feedback::Reception;
use crate::relevance::{Asking, Relevance, Told, Verdict, Why};
use crate::rules::{Rule, Sort};

/// A rule that held for somebody.
#[derive(Clone, Copy, Debug)]
pub struct Fired<'a> {
    pub rule: &'a Rule,
    pub sort: Sort,
    pub customer: u32,
    pub insurer: &'a str,
    /// The customer's, an IANA name.
    pub time_zone: &'a str,
    /// The same for all that fired by one event, and one up with each event.
    pub event: usize,
    pub event_ms: i64,
    pub known_ms: i64,
    pub expires_ms: i64,
    /// Whether it can wait for quiet hours to end.
    pub waits: bool,
    /// The one before it of those that are about the same, where it changed and was asked about anew.
    pub again: Option<usize>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Said,
    /// It was found out when it was of no use any more.
    Expired,
    Suppressed(Why),
    /// It was said before, or is asked about anew: the other one counts.
    Again,
}

/// Something a customer was told that no rule on a device's event said.
#[derive(Clone, Debug, PartialEq)]
pub struct Besides {
    pub customer: u32,
    pub said_ms: i64,
    pub told: Told,
}

/// Until when an event waits, by which priority, and where its firings begin and end.
type Held = (i64, Reverse<u8>, usize, usize);

/// What is told to whom so far, and what waits.
struct Stage<'a, R> {
    relevance: &'a Relevance,
    reception: R,
    fired: &'a [Fired<'a>],
    fates: Vec<Fate>,
    told: HashMap<u32, Vec<(usize, Told)>>,
    besides: &'a [Besides],
    held: BinaryHeap<Reverse<Held>>,
}

/// Plays it through. `fired` is in the order it became known; of one event in the order of the rules.
/// `besides` was said as it was; `reception` says what a customer thought of an insurer's rule then.
pub fn rehearse(
    relevance: &Relevance,
    fired: &[Fired<'_>],
    besides: &[Besides],
    reception: impl Fn(&Fired<'_>, i64) -> Reception,
) -> Vec<Fate> {
    let mut stage = Stage {
        relevance,
        reception,
        fired,
        fates: vec![Fate::Expired; fired.len()],
        told: HashMap::new(),
        besides,
        held: BinaryHeap::new(),
    };
    let mut first = 0;
    for of_event in fired.chunk_by(|a, b| a.event == b.event) {
        let known_ms = of_event[0].known_ms;
        stage.wake(known_ms);
        stage.ask((first, first + of_event.len()), known_ms);
        first += of_event.len();
    }
    stage.wake(i64::MAX);
    stage.settle()
}

impl<R: Fn(&Fired<'_>, i64) -> Reception> Stage<'_, R> {
    /// Asks anew what has waited until before `now_ms`.
    fn wake(&mut self, now_ms: i64) {
        while let Some(Reverse((until_ms, _, first, end))) = self.held.peek().copied() {
            if until_ms >= now_ms {
                return;
            }
            self.held.pop();
            self.ask((first, end), until_ms);
        }
    }

    /// Asks about all that an event fired and nobody heard yet.
    fn ask(&mut self, (first, end): (usize, usize), now_ms: i64) {
        let mut waits: Option<(i64, u8)> = None;
        for at in first..end {
            let fired = self.fired[at];
            let said = self.fates[at] == Fate::Said || self.said_before(at);
            if said || fired.expires_ms < now_ms {
                continue;
            }
            self.fates[at] = match self.judge(&fired, now_ms) {
                Verdict::Suppress(why) => Fate::Suppressed(why),
                Verdict::Wait { .. } if !fired.waits => Fate::Suppressed(Why::QuietHours),
                Verdict::Wait { until_ms } => {
                    let highest = waits.map_or(0, |(_, priority)| priority);
                    waits = Some((until_ms, highest.max(fired.rule.priority)));
                    Fate::Expired
                }
                Verdict::Say => self.say(&fired),
            };
        }
        if let Some((until_ms, priority)) = waits {
            self.held.push(Reverse((until_ms, Reverse(priority), first, end)));
        }
    }

    fn said_before(&self, at: usize) -> bool {
        let before =
            std::iter::successors(self.fired[at].again, |before| self.fired[*before].again);
        before.into_iter().any(|before| self.fates[before] == Fate::Said)
    }

    /// Of all that is about the same one counts: what was said, or else what was asked last.
    fn settle(mut self) -> Vec<Fate> {
        for at in 0..self.fired.len() {
            let Some(before) = self.fired[at].again else { continue };
            let other = if self.said_before(at) { at } else { before };
            self.fates[other] = Fate::Again;
        }
        self.fates
    }

    fn judge(&self, fired: &Fired<'_>, now_ms: i64) -> Verdict {
        let told = self.told.get(&fired.customer).into_iter().flatten();
        let told =
            told.map(|(event, told)| Told { same_event: *event == fired.event, ..told.clone() });
        let besides = self
            .besides
            .iter()
            .filter(|besides| besides.customer == fired.customer && besides.said_ms <= now_ms);
        let told: Vec<Told> = told.chain(besides.map(|besides| besides.told.clone())).collect();
        let asking = Asking {
            rule: fired.rule,
            sort: fired.sort,
            event_ms: fired.event_ms,
            expires_ms: fired.expires_ms,
            now_ms,
            time_zone: fired.time_zone,
            reception: (self.reception)(fired, now_ms),
        };
        self.relevance.judge(&asking, &told)
    }

    fn say(&mut self, fired: &Fired<'_>) -> Fate {
        let told = Told {
            rule: fired.rule.id.clone(),
            event_ms: fired.event_ms,
            counts: fired.sort != Sort::Notice,
            same_event: false,
        };
        self.told.entry(fired.customer).or_default().push((fired.event, told));
        Fate::Said
    }
}

#[cfg(test)]
mod tests {
    use super::{Besides, Fate, Fired, rehearse};
    use crate::feedback::Reception;
    use crate::relevance::{Relevance, Told, Why};
    use crate::rules::RuleSet;

    const SHIPPED: &str = include_str!("../rules/travel-offer.toml");
    const HOUR_MS: i64 = 3_600_000;
    const NOON_MS: i64 = 1_768_478_400_000;

    /// Two rules, the second more important: events at these hours after noon, each by both.
    fn fates(keys: &str, relevance: Relevance, hours: &[i64], besides: &[Besides]) -> Vec<Fate> {
        let own = SHIPPED.replace("quiet_hours = \"ignore\"", keys);
        let urgent =
            own.replace("travel-offer", "urgent").replace("priority = 60", "priority = 70");
        let files = [("a.toml".to_owned(), own), ("b.toml".to_owned(), urgent)];
        let rules = RuleSet::with(&files).unwrap();
        let [plain, urgent] = ["travel-offer", "urgent"].map(|id| rules.rule(id).unwrap());
        let fired = |event: usize, hour: i64, rule| {
            let event_ms = NOON_MS + hour * HOUR_MS;
            Fired {
                rule,
                sort: rule.sort,
                customer: 0,
                insurer: "alpina",
                time_zone: "UTC",
                event,
                event_ms,
                known_ms: event_ms,
                expires_ms: event_ms + 12 * HOUR_MS,
                waits: true,
                again: None,
            }
        };
        let fired: Vec<Fired<'_>> = hours
            .iter()
            .enumerate()
            .flat_map(|(event, hour)| [fired(event, *hour, urgent), fired(event, *hour, plain)])
            .collect();
        rehearse(&relevance, &fired, besides, |_, _| Reception::default())
    }

    #[test]
    fn cooldowns_caps_and_nights_hold_back_what_they_would() {
        use Fate::{Said, Suppressed};
        let free = Relevance { quiet_hours: None, ..Relevance::default() };
        let cool = fates("cooldown = \"3h\"", free, &[0, 1, 4], &[]);
        let cooled = Suppressed(Why::Cooldown);
        assert_eq!(cool, [Said, Said, cooled, cooled, Said, Said]);
        let capped = Relevance { cap: Some(3), ..free };
        let held = fates("", capped, &[0, 1, 30], &[]);
        assert_eq!(held, [Said, Said, Said, Suppressed(Why::Cap), Said, Said], "the urgent one");
        // The night's are asked in the morning; the cap leaves room for the more important ones.
        let night = Relevance { cap: Some(3), ..Relevance::default() };
        let told = fates("", night, &[9, 11, 12], &[]);
        let cap = Suppressed(Why::Cap);
        assert_eq!(told, [Said, Said, Said, cap, cap, cap]);
        // What nobody here said counts as well.
        let told = Told { rule: "x".into(), event_ms: NOON_MS, counts: true, same_event: false };
        let besides = Besides { customer: 0, said_ms: NOON_MS, told };
        assert_eq!(fates("", capped, &[1], &[besides.clone(), besides.clone()]), [Said, cap]);
        assert_eq!(fates("", capped, &[-1], &[besides.clone(), besides]), [Said, Said], "not yet");
    }
}
