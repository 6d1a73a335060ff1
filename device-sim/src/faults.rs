//! Faults on purpose: what goes wrong with devices, networks and clocks in the field.
//!
//! Each has a rate and follows from the seed. Faults of messages add messages, or send them in
//! another order: what a device had to say is always said as well, so the ledger stays true.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// Which faults, and how often. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Share of messages that are sent twice.
    pub duplicates: f64,
    /// Share of messages that are overtaken by the next of their connection.
    pub reordered: f64,
    /// For so many messages, as a share, there is another one that breaks off in the middle,
    pub malformed: f64,
    /// that is larger than 64 KiB,
    pub oversized: f64,
    /// or that goes to a topic nobody knows.
    pub wrong_topic: f64,
    /// Share of devices whose clock is up to two minutes off,
    pub clock_skew: f64,
    /// an hour ahead,
    pub clock_ahead: f64,
    /// was never set,
    pub clock_unset: f64,
    /// or counts GPS weeks in ten bits.
    pub gps_rollover: f64,
    /// How likely a connection is to be gone each minute, for `offline_s`. What its devices
    /// measure meanwhile they keep.
    pub offline: f64,
    pub offline_s: f64,
    /// Every so many seconds all connections are cut at once, and all come back at once.
    pub storm_every_s: f64,
    /// Share of those who are cut or gone that leave a connection behind which the broker
    /// believes in.
    pub half_open: f64,
    /// How likely a connection is each minute to stop reading for `slow_reader_s`.
    pub slow_reader: f64,
    pub slow_reader_s: f64,
    /// Connections have a will, which the broker publishes when they are cut.
    pub wills: bool,
}

/// What is wrong with a device's clock for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockFault {
    /// Off by so many milliseconds, still plausible.
    Skewed(i64),
    /// By so many milliseconds, which nobody believes.
    Ahead(i64),
    Unset,
    GpsRollover,
}

const HOUR_MS: i64 = 3_600_000;
const SKEW_MS: i64 = 120_000;
const ROLLOVER_MS: i64 = 1_024 * 7 * 24 * HOUR_MS;

impl ClockFault {
    /// What the device shows when it is `now_ms`.
    pub(crate) fn shown_ms(self, now_ms: i64, start_ms: i64) -> i64 {
        match self {
            Self::Skewed(by_ms) => now_ms + by_ms,
            Self::Ahead(by_ms) => now_ms + by_ms,
            // It counts from the epoch since it was switched on.
            Self::Unset => (now_ms - start_ms).max(0),
            Self::GpsRollover => now_ms - ROLLOVER_MS,
        }
    }
}

/// A message that is added or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageFault {
    Duplicate,
    Overtaken,
    Malformed,
    Oversized,
    WrongTopic,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trouble {
    /// Cut off, and back at once.
    Cut { half_open: bool },
    /// Gone for so long.
    Offline { lasts: Duration, half_open: bool },
    /// Hears nothing for so long.
    Deaf { lasts: Duration },
}

impl Faults {
    /// The clock of a device in a fleet whose time goes `speed` times as fast as on the wall: who is an
    /// hour ahead is so by the wall, or it would be right when what it kept is sent.
    pub(crate) fn of_clock(&self, speed: f64, rng: &mut Rng) -> Option<ClockFault> {
        let mut at = rng.f64();
        let skew_ms = rng.i64(-SKEW_MS..=SKEW_MS);
        let faults = [
            (self.clock_skew, ClockFault::Skewed(skew_ms)),
            (self.clock_ahead, ClockFault::Ahead((HOUR_MS as f64 * speed) as i64)),
            (self.clock_unset, ClockFault::Unset),
            (self.gps_rollover, ClockFault::GpsRollover),
        ];
        for (share, fault) in faults {
            if at < share {
                return Some(fault);
            }
            at -= share;
        }
        None
    }

    /// What goes wrong with one message.
    pub(crate) fn of_message(&self, rng: &mut Rng) -> Vec<MessageFault> {
        let faults = [
            (self.duplicates, MessageFault::Duplicate),
            (self.reordered, MessageFault::Overtaken),
            (self.malformed, MessageFault::Malformed),
            (self.oversized, MessageFault::Oversized),
            (self.wrong_topic, MessageFault::WrongTopic),
        ];
        let faults = faults.into_iter().filter(|&(share, _)| share > 0.0 && rng.f64() < share);
        faults.map(|(_, fault)| fault).collect()
    }

    /// The next trouble of a connection after `now_s` seconds since the start, and when.
    pub(crate) fn next_trouble(&self, now_s: f64, rng: &mut Rng) -> Option<(f64, Trouble)> {
        let storm_s = (self.storm_every_s > 0.0)
            .then(|| ((now_s / self.storm_every_s).floor() + 1.0) * self.storm_every_s);
        let mut waits = |a_minute: f64| {
            // Without memory: the time to the next is exponential.
            (a_minute > 0.0).then(|| now_s - (1.0 - rng.f64()).ln() * 60.0 / a_minute)
        };
        let (offline_s, deaf_s) = (waits(self.offline), waits(self.slow_reader));
        let half_open = rng.f64() < self.half_open;
        let lasts = |seconds: f64| Duration::from_secs_f64(seconds.clamp(0.1, 86_400.0));
        let troubles = [
            storm_s.map(|at| (at, Trouble::Cut { half_open })),
            offline_s.map(|at| (at, Trouble::Offline { lasts: lasts(self.offline_s), half_open })),
            deaf_s.map(|at| (at, Trouble::Deaf { lasts: lasts(self.slow_reader_s) })),
        ];
        troubles.into_iter().flatten().min_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// Larger than any message may be.
const OVERSIZED_BYTES: usize = 70_000;

/// The bytes of a message that nobody can use, in the place of `payload`.
pub(crate) fn spoilt(fault: MessageFault, payload: &Bytes) -> Bytes {
    match fault {
        MessageFault::Malformed => payload.slice(..payload.len() * 2 / 3),
        MessageFault::Oversized => {
            let mut bytes = payload.to_vec();
            // White space after a JSON value would be harmless, were it not for its length.
            bytes.resize(OVERSIZED_BYTES, b' ');
            bytes.into()
        }
        MessageFault::Duplicate | MessageFault::Overtaken | MessageFault::WrongTopic => {
            payload.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ClockFault, Faults, MessageFault, Trouble};

    #[test]
    fn faults_come_at_their_rate_and_the_same_seed_gives_the_same() {
        let faults = Faults { duplicates: 0.1, malformed: 0.02, ..Faults::default() };
        let draw = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            (0..10_000).map(|_| faults.of_message(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        let drawn: Vec<_> = draw(1).into_iter().flatten().collect();
        let count = |fault| drawn.iter().filter(|&&one| one == fault).count();
        assert!((900..1_100).contains(&count(MessageFault::Duplicate)));
        assert!((150..250).contains(&count(MessageFault::Malformed)));
        assert_eq!(count(MessageFault::Oversized), 0);
    }

    #[test]
    fn storms_hit_all_at_once_and_others_at_random() {
        let faults =
            Faults { storm_every_s: 15.0, offline: 0.5, offline_s: 20.0, ..Faults::default() };
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut now_s, mut storms, mut offline) = (0.0, 0, 0);
        while let Some((at_s, trouble)) = faults.next_trouble(now_s, &mut rng)
            && at_s < 6_000.0
        {
            assert!(at_s > now_s);
            now_s = at_s;
            match trouble {
                Trouble::Cut { .. } => {
                    assert_eq!(at_s % 15.0, 0.0);
                    storms += 1;
                }
                Trouble::Offline { .. } => offline += 1,
                Trouble::Deaf { .. } => panic!("nobody is deaf"),
            }
        }
        assert_eq!(storms, 399);
        assert!((30..70).contains(&offline), "{offline}");
    }

    #[test]
    fn who_is_an_hour_ahead_is_so_by_the_clock_on_the_wall() {
        let faults = Faults { clock_ahead: 1.0, ..Faults::default() };
        let clock = faults.of_clock(10.0, &mut fastrand::Rng::with_seed(1)).unwrap();
        assert_eq!(clock.shown_ms(5, 0), 5 + 36_000_000);
    }

    #[test]
    fn a_receiver_that_counts_weeks_in_ten_bits_is_twenty_years_back() {
        let now_ms = 1_768_867_200_000;
        let shown_ms = ClockFault::GpsRollover.shown_ms(now_ms, now_ms);
        assert_eq!((now_ms - shown_ms) / 86_400_000, 7_168);
        assert_eq!(ClockFault::Unset.shown_ms(now_ms + 5, now_ms), 5);
    }
}
