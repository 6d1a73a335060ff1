//! Whether somebody is glad to hear it now: what they made of it before, cooldowns, a cap over all
//! products, quiet hours.
//!
//! Cooldowns and caps go by when things happened, not by when they were found out: a late reading
//! never makes more than the cap of what lies within a window, whatever the order of arrival. Which
//! of several comes first may differ with that order, their number not. Quiet hours go by the clock.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::feedback::Reception;
use crate::rules::{Quiet, Rule, Sort};

const HOUR_MS: i64 = 3_600_000;

/// How much anybody hears from us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relevance {
    /// Most triggers for a customer within [`Self::cap_window_ms`], over all products and insurers;
    /// notices do not count. `None`: no cap.
    pub cap: Option<u32>,
    pub cap_window_ms: i64,
    /// From when to when a customer is left alone, by the time of day where they live.
    pub quiet_hours: Option<(Time, Time)>,
}

impl Default for Relevance {
    fn default() -> Self {
        let quiet_hours = Some((Time::constant(22, 0, 0, 0), Time::constant(7, 0, 0, 0)));
        Self { cap: None, cap_window_ms: 24 * HOUR_MS, quiet_hours }
    }
}

/// Something the customer was told of.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub rule: String,
    /// When it happened.
    pub event_ms: i64,
    /// Whether it counts for the cap.
    pub counts: bool,
    /// By another rule, or to another insurer, of the very same event.
    pub same_event: bool,
}

/// A trigger that is about to be released.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub rule: &'a Rule,
    /// What it wants: the rule's own, or of what it says this time.
    pub sort: Sort,
    pub event_ms: i64,
    pub expires_ms: i64,
    pub now_ms: i64,
    /// The customer's, an IANA name.
    pub time_zone: &'a str,
    /// What the customer made of what this insurer told them by the rule.
    pub reception: Reception,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Say,
    /// To be asked again then.
    Wait {
        until_ms: i64,
    },
    Suppress(Why),
}

/// Why somebody hears nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// They marked it low, or ignore it.
    Feedback,
    Cooldown,
    Cap,
    QuietHours,
}

impl Why {
    /// In the order they are looked at.
    pub const ALL: [Self; 4] = [Self::Feedback, Self::Cooldown, Self::Cap, Self::QuietHours];

    /// The name in the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Feedback => "feedback",
            Self::Cooldown => "cooldown",
            Self::Cap => "cap",
            Self::QuietHours => "quiet_hours",
        }
    }
}

impl Relevance {
    /// How far around an event what was told matters for a rule.
    #[must_use]
    pub fn reach_ms(&self, rule: &Rule, reception: Reception) -> i64 {
        let cap_ms = if self.cap.is_some() { self.cap_window_ms } else { 0 };
        reception.cooldown_ms(rule).max(cap_ms)
    }

    /// `told` is what else the customer was told, within [`Self::reach_ms`] of this event.
    #[must_use]
    pub fn judge(&self, asking: &Asking<'_>, told: &[Told]) -> Verdict {
        let Asking { rule, event_ms, reception, .. } = *asking;
        if reception.refuses(asking.sort) {
            return Verdict::Suppress(Why::Feedback);
        }
        let within = |told: &&Told, span_ms: i64| told.event_ms.abs_diff(event_ms) < span_ms as u64;
        let same_rule = |told: &&Told| !told.same_event && told.rule == rule.id;
        let heard = |span_ms| told.iter().filter(same_rule).any(|told| within(&told, span_ms));
        if heard(rule.cooldown_ms.unwrap_or(0)) {
            return Verdict::Suppress(Why::Cooldown);
        }
        if heard(reception.cooldown_ms(rule)) {
            return Verdict::Suppress(Why::Feedback);
        }
        if asking.sort == Sort::Notice {
            return Verdict::Say;
        }
        if let Some(cap) = self.cap {
            let heard = told.iter().filter(|told| told.counts && within(told, self.cap_window_ms));
            if heard.count() >= cap as usize {
                return Verdict::Suppress(Why::Cap);
            }
        }
        match (rule.quiet, self.quiet_until(asking.now_ms, asking.time_zone)) {
            (Quiet::Wait, Some(until_ms)) if until_ms <= asking.expires_ms => {
                Verdict::Wait { until_ms }
            }
            (Quiet::Wait | Quiet::Drop, Some(_)) => Verdict::Suppress(Why::QuietHours),
            (Quiet::Ignore, _) | (_, None) => Verdict::Say,
        }
    }

    /// When the quiet hours end that hold at `now_ms`. A time zone that nobody knows is UTC.
    #[must_use]
    pub fn quiet_until(&self, now_ms: i64, time_zone: &str) -> Option<i64> {
        let (from, to) = self.quiet_hours?;
        let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
        let now = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(zone.clone());
        let (time, today) = (now.time(), now.date());
        let over_midnight = from > to;
        let quiet = match over_midnight {
            true => time >= from || time < to,
            false => from <= time && time < to,
        };
        let day = match over_midnight && time >= from {
            true => today.tomorrow().ok()?,
            false => today,
        };
        // When the clocks go back there are two such moments: the first may have passed.
        let end = zone.to_ambiguous_zoned(day.to_datetime(to)).later().ok()?;
        quiet.then(|| end.timestamp().as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::{Asking, HOUR_MS, Reception, Relevance, Told, Verdict, Why};
    use crate::rules::RuleSet;
    use proptest::prelude::*;

    const SHIPPED: &str = include_str!("../rules/travel-offer.toml");

    fn rules(keys: &str) -> RuleSet {
        let text = SHIPPED.replace("quiet_hours = \"ignore\"", keys);
        RuleSet::alone("test", &text).unwrap()
    }

    fn ms(time: &str) -> i64 {
        time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn judge(relevance: &Relevance, keys: &str, at: &str, told: &[(&str, i64)]) -> Verdict {
        let rules = rules(keys);
        let now_ms = ms(at);
        let rule = rules.rules().next().unwrap();
        let asking = Asking {
            rule,
            sort: rule.sort,
            event_ms: now_ms,
            expires_ms: now_ms + 12 * HOUR_MS,
            now_ms,
            time_zone: "Europe/Amsterdam",
            reception: Reception::default(),
        };
        let told: Vec<Told> = told
            .iter()
            .map(|(rule, back_h)| Told {
                rule: (*rule).to_owned(),
                event_ms: now_ms - back_h * HOUR_MS,
                counts: true,
                same_event: false,
            })
            .collect();
        relevance.judge(&asking, &told)
    }

    #[test]
    fn quiet_hours_are_those_of_the_customers_day() {
        let usual = Relevance::default();
        let at = |time| usual.quiet_until(ms(time), "Europe/Amsterdam");
        assert_eq!(at("2026-01-15T12:00:00Z"), None);
        assert_eq!(at("2026-01-15T20:59:00Z"), None, "21:59 in Amsterdam");
        assert_eq!(at("2026-01-15T21:00:00Z"), Some(ms("2026-01-16T06:00:00Z")));
        assert_eq!(at("2026-01-16T05:59:59Z"), Some(ms("2026-01-16T06:00:00Z")));
        assert_eq!(at("2026-01-16T06:00:00Z"), None);
        // The night in which the clocks go forward.
        assert_eq!(at("2026-03-28T23:00:00Z"), Some(ms("2026-03-29T05:00:00Z")));
        assert_eq!(
            usual.quiet_until(ms("2026-01-15T22:30:00Z"), "Mars/Olympus"),
            Some(ms("2026-01-16T07:00:00Z"))
        );
    }

    #[test]
    fn a_night_that_ends_in_an_hour_that_comes_twice_or_never_ends() {
        let to = jiff::civil::time(2, 30, 0, 0);
        let from = jiff::civil::time(22, 0, 0, 0);
        let early = Relevance { quiet_hours: Some((from, to)), ..Relevance::default() };
        let until = |time| early.quiet_until(ms(time), "Europe/Amsterdam");
        // 02:10 for the second time.
        assert_eq!(until("2026-10-25T01:10:00Z"), Some(ms("2026-10-25T01:30:00Z")));
        assert_eq!(until("2026-10-25T00:10:00Z"), Some(ms("2026-10-25T01:30:00Z")));
        assert_eq!(until("2026-10-25T01:30:00Z"), None);
        // 02:30 does not come.
        assert_eq!(until("2026-03-29T00:50:00Z"), Some(ms("2026-03-29T01:30:00Z")));
        assert_eq!(until("2026-03-29T01:00:00Z"), None);
    }

    proptest! {
        /// Who waits is not asked to wait until a moment that has passed.
        #[test]
        fn a_wait_always_ends_later(
            minute in 0..1_600_000_i64, from in 0..24_i8, to in 0..24_i8, zone in 0..4_usize,
        ) {
            let zones = ["Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"];
            let time = |hour| jiff::civil::time(hour, 30, 0, 0);
            let quiet = Relevance { quiet_hours: Some((time(from), time(to))), ..Relevance::default() };
            let now_ms = ms("2025-01-01T00:00:00Z") + minute * 60_000;
            if let Some(until_ms) = quiet.quiet_until(now_ms, zones[zone]) {
                prop_assert!(until_ms > now_ms && until_ms - now_ms <= 26 * HOUR_MS);
            }
        }
    }

    #[test]
    fn a_rule_says_what_quiet_hours_do() {
        let night = "2026-01-15T23:00:00Z";
        let usual = Relevance::default();
        let until_ms = ms("2026-01-16T06:00:00Z");
        assert_eq!(judge(&usual, "", night, &[]), Verdict::Wait { until_ms });
        assert_eq!(judge(&usual, "quiet_hours = \"ignore\"", night, &[]), Verdict::Say);
        let dropped = judge(&usual, "quiet_hours = \"drop\"", night, &[]);
        assert_eq!(dropped, Verdict::Suppress(Why::QuietHours));
        assert_eq!(judge(&usual, "sort = \"notice\"", night, &[]), Verdict::Say);
    }

    #[test]
    fn cooldown_is_per_rule_and_the_cap_over_all() {
        let noon = "2026-01-15T12:00:00Z";
        let usual = Relevance::default();
        let capped = Relevance { cap: Some(2), ..usual };
        let cool = "cooldown = \"24h\"";
        assert_eq!(
            judge(&usual, cool, noon, &[("travel-offer", 23)]),
            Verdict::Suppress(Why::Cooldown)
        );
        assert_eq!(judge(&usual, cool, noon, &[("travel-offer", 24), ("other", 1)]), Verdict::Say);
        assert_eq!(judge(&capped, cool, noon, &[("a", 1), ("b", 2)]), Verdict::Suppress(Why::Cap));
        assert_eq!(judge(&capped, cool, noon, &[("a", 1), ("b", 25)]), Verdict::Say);
        let notice = judge(&capped, "sort = \"notice\"", noon, &[("a", 1), ("b", 2)]);
        assert_eq!(notice, Verdict::Say);
    }

    proptest! {
        /// Whatever happened when, and in whatever order it was found out: nowhere does a window
        /// hold more than the cap, and no two lie closer than the cooldown.
        #[test]
        fn no_order_breaks_a_cap(hours in proptest::collection::vec(0..200_i64, 0..60), cap in 1..5_u32) {
            let relevance = Relevance { cap: Some(cap), quiet_hours: None, ..Relevance::default() };
            let rules = rules("cooldown = \"3h\"");
            let rule = rules.rules().next().unwrap();
            let mut told: Vec<Told> = Vec::new();
            for hour in hours {
                let event_ms = hour * HOUR_MS;
                let asking = Asking {
                    rule, sort: rule.sort, event_ms, expires_ms: i64::MAX, now_ms: event_ms, time_zone: "UTC",
                    reception: Reception::default(),
                };
                if relevance.judge(&asking, &told) == Verdict::Say {
                    told.push(Told { rule: rule.id.clone(), event_ms, counts: true, same_event: false });
                }
            }
            told.sort_by_key(|told| told.event_ms);
            for (at, first) in told.iter().enumerate() {
                let window = told[at..].iter().filter(|t| t.event_ms - first.event_ms < 24 * HOUR_MS);
                prop_assert!(window.count() <= cap as usize);
            }
            for pair in told.windows(2) {
                prop_assert!(pair[1].event_ms - pair[0].event_ms >= 3 * HOUR_MS);
            }
        }
    }
}
