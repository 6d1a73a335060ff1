//! `[retention]`: how long each kind of thing is kept.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::validate::{Wrong, wrong};
use super::{duration_text, some_duration};

const fn days(days: u64) -> Duration {
    Duration::from_hours(24 * days)
}

/// What others are computed from must be there for as long as these look back.
const SHORTEST: Duration = Duration::from_millis(journal::SHORTEST_MS as u64);
/// Long enough to look at it once, not so long that it becomes a second archive of people's data.
const QUARANTINE: RangeInclusive<Duration> = Duration::from_hours(1)..=days(30);
/// Each hour of each cell takes 80 bytes of memory.
const WEATHER: RangeInclusive<Duration> = days(1)..=days(90);

/// What goes is looked for once a day; who sets ten years believes every clock.
const CLOCK_JUMP: RangeInclusive<Duration> = days(2)..=days(3_650);

/// `None`: for ever.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retention {
    /// By their own time.
    #[serde(deserialize_with = "some_duration")]
    pub(crate) readings: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub(crate) events: Option<Duration>,
    /// Their content; their places and numbers stay.
    #[serde(deserialize_with = "some_duration")]
    pub(crate) triggers: Option<Duration>,
    /// What insurers report.
    #[serde(deserialize_with = "some_duration")]
    pub(crate) reports: Option<Duration>,
    /// What could not be used.
    #[serde(deserialize_with = "duration_text")]
    pub(crate) quarantine: Duration,
    /// Rows of weather, after their hour.
    #[serde(deserialize_with = "duration_text")]
    pub(crate) weather: Duration,
    /// How far the clock may jump and still be believed.
    #[serde(deserialize_with = "duration_text")]
    pub(crate) clock_jump: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            readings: None,
            events: None,
            triggers: None,
            reports: None,
            quarantine: days(7),
            weather: days(7),
            clock_jump: days(7),
        }
    }
}

impl Retention {
    pub(super) fn validate(&self) -> Result<(), Wrong> {
        for (kind, keep) in self.ends() {
            if keep.is_some_and(|keep| keep < SHORTEST) {
                return wrong(
                    format!("retention.{kind}"),
                    "must be at least 31d: late readings and claims are answered with what there \
                     was up to 30 days before; leave it out to keep them for ever",
                );
            }
        }
        if !QUARANTINE.contains(&self.quarantine) {
            return wrong("retention.quarantine", "must be from 1h to 30d");
        }
        if !WEATHER.contains(&self.weather) {
            return wrong("retention.weather", "must be from 1d to 90d");
        }
        if !CLOCK_JUMP.contains(&self.clock_jump) {
            return wrong("retention.clock_jump", "must be from 2d to 3650d");
        }
        Ok(())
    }

    /// What is kept for ever unless it is said here.
    fn ends(&self) -> [(&'static str, Option<Duration>); 4] {
        [
            ("readings", self.readings),
            ("events", self.events),
            ("triggers", self.triggers),
            ("reports", self.reports),
        ]
    }

    /// In a line, for people.
    pub(crate) fn summary(&self) -> String {
        let kept = |keep: Duration| jiff::SignedDuration::try_from(keep).unwrap_or_default();
        let ends = self.ends().map(|(kind, keep)| match keep {
            Some(keep) => format!("{kind} {:#}", kept(keep)),
            None => format!("{kind} for ever"),
        });
        let (quarantine, weather) = (kept(self.quarantine), kept(self.weather));
        let (ends, jump) = (ends.join(", "), kept(self.clock_jump));
        format!(
            "keeps    {ends}, quarantine {quarantine:#}, weather {weather:#}; a clock may jump {jump:#}"
        )
    }

    /// As the journal takes it.
    pub(crate) fn parsed(&self) -> journal::Retention {
        let ms = |keep: Duration| i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        journal::Retention {
            readings_ms: self.readings.map(ms),
            events_ms: self.events.map(ms),
            triggers_ms: self.triggers.map(ms),
            reports_ms: self.reports.map(ms),
            quarantine_ms: ms(self.quarantine),
            weather_ms: ms(self.weather),
            clock_jump_ms: ms(self.clock_jump),
        }
    }
}
