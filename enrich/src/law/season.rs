//! Between which days of the year a duty holds.

use jiff::ToSpan;
use jiff::civil::{Date, date};
use serde::Deserialize;

/// Both days included; it may run over the new year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Season {
    pub(super) from: Day,
    pub(super) to: Day,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Day {
    Fixed {
        month: i8,
        day: i8,
    },
    /// The first Sunday after Easter Monday.
    AfterEaster,
}

impl Season {
    pub(super) fn holds(&self, on: Date) -> bool {
        let (from, to) = (self.from.of(on.year()), self.to.of(on.year()));
        match from <= to {
            true => from <= on && on <= to,
            false => on <= to || from <= on,
        }
    }

    /// The last day of the season that `on` is in or that ended last before it, or else the next.
    pub(super) fn end_near(&self, on: Date) -> Date {
        let over_new_year = self.from.of(on.year()) > self.to.of(on.year());
        let next = over_new_year && on >= self.from.of(on.year());
        self.to.of(on.year() + i16::from(next))
    }
}

impl Day {
    pub(super) fn of(self, year: i16) -> Date {
        match self {
            Self::Fixed { month, day } => date(year, month, day),
            Self::AfterEaster => easter(year).saturating_add(7.days()),
        }
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "first Sunday after Easter Monday" {
            return Ok(Self::AfterEaster);
        }
        let wrong = || {
            format!(
                "\"{text}\" is no day: write month and day, as in \"11-01\", or \"first Sunday after Easter Monday\""
            )
        };
        let (month, day) = text.split_once('-').ok_or_else(wrong)?;
        let number = |digits: &str| digits.parse::<i8>().map_err(|_| wrong());
        let (month, day) = (number(month)?, number(day)?);
        // In every year, so not on 29 February.
        Date::new(2026, month, day).map_err(|_| wrong())?;
        Ok(Self::Fixed { month, day })
    }
}

/// Easter Sunday in the Gregorian calendar (the anonymous algorithm in Meeus, Astronomical
/// Algorithms, chapter 8).
fn easter(year: i16) -> Date {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - b / 4 - g + 15) % 30;
    let l = (32 + 2 * (b % 4) + 2 * (c / 4) - h - c % 4) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let rest = h + l - 7 * m + 114;
    date(year, (rest / 31) as i8, (rest % 31 + 1) as i8)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::easter;

    #[test]
    fn easter_falls_on_its_days() {
        for day in [
            date(2008, 3, 23),
            date(2011, 4, 24),
            date(2024, 3, 31),
            date(2025, 4, 20),
            date(2026, 4, 5),
            date(2027, 3, 28),
            date(2038, 4, 25),
        ] {
            assert_eq!(easter(day.year()), day);
        }
    }
}
