//! A device's idea of the time: read, then disbelieved where clocks are known to go wrong.

use super::draft::Problem;
use super::scalar::Scalar;
use crate::Reason;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A clock may run ahead by this much before its readings are refused.
pub(super) const MAX_AHEAD_MS: i64 = 5 * MINUTE_MS;

/// GPS counts weeks modulo 1024; a receiver that misses the wrap is this far back.
const GPS_WEEKS_MS: i64 = 1024 * 7 * DAY_MS;

/// How old a reading can be and still be recognised as one that is 1024 weeks back.
const ROLLOVER_WINDOW_MS: i64 = 30 * DAY_MS;

/// 2000-01-01T00:00:00Z: no connected device is older, a clock that was never set is.
const YEAR_2000_MS: i64 = 946_684_800_000;

/// Epoch numbers below this are seconds (until the year 5138), others milliseconds (from 1973).
const SECONDS_BELOW: f64 = 1e11;

/// Milliseconds since the Unix epoch of an RFC 3339 time with offset, or of seconds or
/// milliseconds since 1970 as a number or a text. `name` is the field's.
pub(super) fn parse(name: &str, value: &Scalar) -> Result<i64, Problem> {
    match value {
        Scalar::Whole(whole) => Some(from_whole(*whole)),
        Scalar::Number(number) => from_number(*number),
        Scalar::Text(text) => from_text(text),
        Scalar::Null | Scalar::Flag(_) | Scalar::Composite => None,
    }
    .ok_or_else(|| Problem::new(Reason::NoTime, format!("{name}: {value} is not a time")))
}

fn from_text(text: &str) -> Option<i64> {
    // A calendar time is the common case, and has its first '-' after the year.
    if text.as_bytes().get(4) == Some(&b'-') {
        return text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond());
    }
    match text.parse() {
        Ok(whole) => Some(from_whole(whole)),
        Err(_) => from_number(text.parse().ok()?),
    }
}

fn from_whole(whole: u64) -> i64 {
    let whole = i64::try_from(whole).unwrap_or(i64::MAX);
    if (whole as f64) < SECONDS_BELOW { whole * 1000 } else { whole }
}

fn from_number(number: f64) -> Option<i64> {
    let ms = if number < SECONDS_BELOW { number * 1e3 } else { number };
    number.is_finite().then_some(ms.round() as i64)
}

/// Refuses the times that clocks show when they are wrong.
pub(super) fn plausible(time_ms: i64, now_ms: i64) -> Result<(), Problem> {
    let latest = now_ms.saturating_add(MAX_AHEAD_MS);
    let wrapped = time_ms.saturating_add(GPS_WEEKS_MS);
    // Before "unset": in 2026 the two cannot be confused, but a rollover may lie before 2000.
    let reason = if (now_ms.saturating_sub(ROLLOVER_WINDOW_MS)..=latest).contains(&wrapped) {
        Reason::GpsWeekRollover
    } else if time_ms < YEAR_2000_MS {
        Reason::ClockUnset
    } else if time_ms > latest {
        Reason::ClockAhead
    } else {
        return Ok(());
    };
    Err(Problem::new(reason, format!("the time is {}, now is {}", shown(time_ms), shown(now_ms))))
}

fn shown(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => format!("{time:.0}"),
        Err(_) => format!("{ms} ms since 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        DAY_MS, GPS_WEEKS_MS, MAX_AHEAD_MS, ROLLOVER_WINDOW_MS, YEAR_2000_MS, parse, plausible,
    };
    use crate::Reason;
    use crate::formats::scalar::Scalar;

    const NOW: i64 = 1_790_000_000_000;

    #[track_caller]
    fn check_time(value: Scalar, expected: Option<i64>) {
        assert_eq!(parse("ts", &value).ok(), expected, "{value}");
    }

    #[test]
    fn times_are_read_in_every_documented_form() {
        check_time(Scalar::Whole(1_790_000_000), Some(NOW));
        check_time(Scalar::Whole(1_790_000_000_123), Some(NOW + 123));
        check_time(Scalar::Number(1_790_000_000.123), Some(NOW + 123));
        check_time(Scalar::Text("1790000000".into()), Some(NOW));
        check_time(Scalar::Text("1790000000.5".into()), Some(NOW + 500));
        check_time(Scalar::Text("2026-09-21T14:13:20Z".into()), Some(NOW));
        check_time(Scalar::Text("2026-09-21T16:13:20.123+02:00".into()), Some(NOW + 123));
        check_time(Scalar::Whole(u64::MAX), Some(i64::MAX));
    }

    #[test]
    fn what_names_no_instant_is_no_time() {
        for text in ["", "now", "nan", "2026-09-21T14:13:20", "2026-09-21", "14:13:20Z"] {
            check_time(Scalar::Text(text.into()), None);
        }
        check_time(Scalar::Flag(true), None);
        check_time(Scalar::Composite, None);
        check_time(Scalar::Number(f64::NAN), None);
    }

    #[test]
    fn wrong_clocks_are_named_at_their_limits() {
        let reason = |time| plausible(time, NOW).err().map(|problem| problem.reason);
        assert_eq!(reason(NOW + MAX_AHEAD_MS), None);
        assert_eq!(reason(NOW + MAX_AHEAD_MS + 1), Some(Reason::ClockAhead));
        assert_eq!(reason(i64::MAX), Some(Reason::ClockAhead));
        assert_eq!(reason(NOW - 10 * DAY_MS), None, "late is normal");
        assert_eq!(reason(YEAR_2000_MS), None);
        assert_eq!(reason(YEAR_2000_MS - 1), Some(Reason::ClockUnset));
        assert_eq!(reason(0), Some(Reason::ClockUnset));
        assert_eq!(reason(i64::MIN), Some(Reason::ClockUnset));
        let back = NOW - GPS_WEEKS_MS;
        assert_eq!(reason(back + MAX_AHEAD_MS), Some(Reason::GpsWeekRollover));
        assert_eq!(reason(back + MAX_AHEAD_MS + 1), None);
        assert_eq!(reason(back - ROLLOVER_WINDOW_MS), Some(Reason::GpsWeekRollover));
        assert_eq!(reason(back - ROLLOVER_WINDOW_MS - 1), None);
    }
}
