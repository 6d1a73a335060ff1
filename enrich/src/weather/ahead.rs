//! What weather the days after a moment bring.

use ingest::Fix;

use super::{Feed, HOUR_MS};
use crate::fact::Fact;

/// How many hours are looked at: as far as forecasts for a place are worth something when they are
/// made two days before.
const AHEAD_HOURS: i64 = 48;

/// The sums and extremes of the hours that are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ahead {
    /// Of how many the temperature is known.
    pub hours: u32,
    pub lowest_c: f64,
    pub highest_c: f64,
    /// `None` where no hour says it.
    pub precipitation_mm: Option<f64>,
    pub snowfall_cm: Option<f64>,
}

impl Ahead {
    /// Of the 48 hours from `time_ms` on, as they were known at `now_ms`; `None`: of no hour
    /// is the temperature known.
    #[must_use]
    pub fn look(
        feed: &Feed,
        fix: &Fix,
        altitude_m: Option<f64>,
        time_ms: i64,
        now_ms: i64,
    ) -> Option<Self> {
        let mut ahead = Self {
            hours: 0,
            lowest_c: f64::INFINITY,
            highest_c: f64::NEG_INFINITY,
            precipitation_mm: None,
            snowfall_cm: None,
        };
        let add = |sum: &mut Option<f64>, more: Option<f64>| {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0.0) + more);
            }
        };
        for hour in 0..AHEAD_HOURS {
            let at_ms = time_ms + hour * HOUR_MS;
            let Some(joined) = feed.as_of_at(fix, altitude_m, at_ms, now_ms) else { continue };
            let values = &joined.row.values;
            if let Some(temperature_c) = values.temperature_c {
                ahead.hours += 1;
                ahead.lowest_c = ahead.lowest_c.min(temperature_c);
                ahead.highest_c = ahead.highest_c.max(temperature_c);
            }
            add(&mut ahead.precipitation_mm, values.precipitation_mm);
            add(&mut ahead.snowfall_cm, values.snowfall_cm);
        }
        (ahead.hours > 0).then_some(ahead)
    }

    pub(crate) fn fact(&self, name: &str) -> Option<Fact<'static>> {
        match name {
            "hours" => Some(Fact::Number(f64::from(self.hours))),
            "lowest_c" => Some(Fact::Number(self.lowest_c)),
            "highest_c" => Some(Fact::Number(self.highest_c)),
            "precipitation_mm" => self.precipitation_mm.map(tenths),
            "snowfall_cm" => self.snowfall_cm.map(tenths),
            _ => None,
        }
    }
}

/// Hours are known to a tenth, and so is their sum.
fn tenths(sum: f64) -> Fact<'static> {
    Fact::Number((sum * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use ingest::Fix;
    use ingest::weather::{Hour, Series};

    use super::Ahead;
    use crate::weather::{Cell, Feed, HOUR_MS, Reach, Rows, Values};

    #[test]
    fn two_days_are_summed_up_as_far_as_they_are_known() {
        let place = Fix::new(47.27, 11.39, None).unwrap();
        let hour = |hour: i64| Hour {
            valid_ms: hour * HOUR_MS,
            observed: false,
            values: Values {
                temperature_c: (hour != 3).then_some(hour as f64 - 10.0),
                snowfall_cm: (hour < 5).then_some(0.5),
                ..Values::default()
            },
        };
        let series = Series {
            cell: Cell::of(place.lat(), place.lon()),
            source: "test".into(),
            lat: place.lat(),
            lon: place.lon(),
            elevation_m: Some(600.0),
            issued_ms: -HOUR_MS,
            hours: (0..30).map(hour).collect(),
        };
        let mut rows = Rows::new(vec![Reach { source: "test".into(), past_ms: 0, ahead_ms: 0 }]);
        rows.learn(&series, -HOUR_MS);
        let feed = Feed::Rows(rows);
        let look = |altitude_m, time_ms| Ahead::look(&feed, &place, altitude_m, time_ms, 0);
        let ahead = look(None, 0).unwrap();
        assert_eq!((ahead.hours, ahead.lowest_c, ahead.highest_c), (29, -10.0, 19.0));
        assert_eq!((ahead.snowfall_cm, ahead.precipitation_mm), (Some(2.5), None));
        assert_eq!(look(Some(1_600.0), 0).unwrap().lowest_c, -16.5, "a kilometre higher");
        assert_eq!(look(None, 29 * HOUR_MS).unwrap().hours, 1);
        assert_eq!(look(None, 30 * HOUR_MS), None);
    }
}
