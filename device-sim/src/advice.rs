//! When a car's insurer ought to hear that its tyres do not fit the road.
//!
//! Follows the documented rules, with the weather that a server is told: a car is looked at once an
//! hour while it drives, and when its country changes; the same finding is news again after a day; and
//! a customer hears of it at most once in three days. Where a look leaves room for doubt, so does all
//! that depends on whether the customer was told then.

use crate::geo::Position;
use crate::places::Country;
use crate::surface::wintry_ahead;
use crate::truth::{Expect, Found, What};
use crate::weather::HOUR_MS;

/// Below this a winter tyre is none on snow.
const LEAST_TREAD_MM: f64 = 4.0;
/// The rule `winter-tyres` is silent for so long after it spoke.
const COOLDOWN_MS: i64 = 72 * HOUR_MS;
/// The same finding is news again after this.
const NEWS_AGAIN_MS: i64 = 24 * HOUR_MS;

/// A fix may lie so far off, in another cell of the weather.
const FIX_DOUBT_M: f64 = 60.0;
const BORDER_DOUBT_M: f64 = 5_000.0;

/// What a car reports of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Position,
    pub(crate) altitude_m: f64,
    pub(crate) country: Option<Country>,
    pub(crate) drives: bool,
    pub(crate) tyre: &'static str,
    /// As it is reported.
    pub(crate) tread_mm: f64,
}

/// What the customer was told.
#[derive(Clone, Copy, Debug, Default)]
enum Told {
    #[default]
    Nothing,
    At(i64),
    /// Nobody can say.
    Perhaps,
}

/// Follows one car, report by report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Advice {
    country: Option<Country>,
    hour: Option<i64>,
    told: Told,
}

impl Advice {
    pub(crate) fn report(&mut self, now_ms: i64, seen: Seen) -> Option<Found> {
        let hour = now_ms.div_euclid(HOUR_MS);
        let country = seen.country.or(self.country);
        let (changed, first) = (country != self.country, self.country.is_none());
        self.country = country;
        country?;
        if !changed && (self.hour == Some(hour) || !seen.drives) {
            return None;
        }
        self.hour = Some(hour);
        if seen.tyre != "summer" && seen.tread_mm >= LEAST_TREAD_MM {
            return None;
        }
        // A server knows of another country some reports later than the car is in it.
        let doubt_m = if changed && !first { BORDER_DOUBT_M } else { FIX_DOUBT_M };
        let (surely, perhaps) = wintry_ahead(seen.at, doubt_m, seen.altitude_m, now_ms);
        if !perhaps {
            return None;
        }
        let expect = self.expect(now_ms, surely)?;
        let fitted = seen.tyre.to_owned();
        let what = What::TyresUnfit { fitted, tread_mm: seen.tread_mm };
        Some(Found { at_ms: now_ms, place: Some(seen.at), what, expect, unseen_ms: 0 })
    }

    /// What a server ought to make of tyres that are, or may be, unfit now; `None` when it has to be
    /// silent.
    fn expect(&mut self, now_ms: i64, surely: bool) -> Option<Expect> {
        let (expect, told) = match self.told {
            Told::At(at_ms) if now_ms < at_ms + COOLDOWN_MS => return None,
            // It may have been found while the rule was silent, and then is no news yet.
            Told::At(at_ms) if now_ms < at_ms + COOLDOWN_MS + NEWS_AGAIN_MS => {
                (Expect::Either, Told::Perhaps)
            }
            Told::Nothing | Told::At(_) if surely => (Expect::Trigger, Told::At(now_ms)),
            Told::Nothing | Told::At(_) | Told::Perhaps => (Expect::Either, Told::Perhaps),
        };
        self.told = told;
        Some(expect)
    }
}

#[cfg(test)]
mod tests {
    use super::{Advice, Seen};
    use crate::geo::Position;
    use crate::places::Country;
    use crate::surface::wintry_ahead;
    use crate::truth::Expect;

    const JANUARY_MS: i64 = 1_768_867_200_000;
    const MINUTE_MS: i64 = 60_000;
    const SUMMER: Seen = Seen {
        at: Position::new(47.01, 11.48),
        altitude_m: 1_374.0,
        country: Some(Country::At),
        drives: true,
        tyre: "summer",
        tread_mm: 6.0,
    };

    /// Expected triggers in a week, and the moments of those that are sure.
    fn week(seen: Seen) -> Vec<(i64, Expect)> {
        let mut advice = Advice::default();
        let minutes = (0..7 * 1_440).map(|minute| JANUARY_MS + minute * MINUTE_MS);
        let found = minutes.filter_map(|now_ms| advice.report(now_ms, seen));
        found.map(|found| (found.at_ms, found.expect)).collect()
    }

    #[test]
    fn summer_tyres_on_a_pass_are_told_of_once_and_then_not_for_three_days() {
        let found = week(SUMMER);
        let sure: Vec<_> = found.iter().filter(|(_, expect)| *expect == Expect::Trigger).collect();
        assert_eq!(sure.len(), 1, "{found:?}");
        let (first_ms, _) = found[0];
        assert!(wintry_ahead(SUMMER.at, 60.0, SUMMER.altitude_m, first_ms).1);
        let silent =
            found.iter().filter(|(at_ms, _)| (1..259_200_000).contains(&(at_ms - sure[0].0)));
        assert_eq!(silent.count(), 0);
    }

    #[test]
    fn nobody_hears_of_good_tyres_a_parked_car_or_one_that_may_be_anywhere() {
        assert_eq!(week(Seen { tyre: "winter", ..SUMMER }), []);
        assert_eq!(week(Seen { country: None, ..SUMMER }), []);
        assert!(week(Seen { drives: false, ..SUMMER }).len() <= 1, "only when first heard of");
        assert!(!week(Seen { tyre: "winter", tread_mm: 3.9, ..SUMMER }).is_empty());
    }
}
