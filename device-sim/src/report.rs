//! What came of it: counts, rates and latencies.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::server::Seen;
use crate::stats::{Second, Stats, lock};
use crate::truth::Truth;

/// From when a message was due until its acknowledgement (at QoS 0: until it was written).
///
/// Counting from the schedule and not from the actual send shows what a device would feel: a
/// server that stalls makes all that was due meanwhile late.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:.2} ms, p90 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2}",
            self.p50_ms, self.p90_ms, self.p99_ms, self.p999_ms, self.max_ms
        )
    }
}

/// The sum of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub devices: u64,
    pub connections: u64,
    /// From the start of the schedule to the last acknowledgement.
    pub seconds: f64,
    /// Messages the schedule asked for.
    pub offered: u64,
    pub offered_per_s: f64,
    /// Messages acknowledged (QoS 0: written).
    pub acknowledged: u64,
    pub acknowledged_per_s: f64,
    /// Usable readings acknowledged at QoS 1 or 2.
    pub readings: u64,
    /// Messages that faults added, and how many of them were answered.
    pub extra: u64,
    pub extra_answered: u64,
    /// Answered by the broker with a failure (MQTT 5 only; 3.1.1 has no way to say so).
    pub refused: u64,
    /// Sent, but not acknowledged when time was up.
    pub unacknowledged: u64,
    /// Due, but never sent: the broker was too slow or away.
    pub unsent: u64,
    /// Given up because they were too old when the broker was back; only without an end.
    pub dropped: u64,
    pub connects: u64,
    /// Turned away by a broker that was there, and tried again.
    #[serde(default)]
    pub refused_connects: u64,
    pub failed_connects: u64,
    pub lost_connections: u64,
    /// Cut on purpose.
    pub cut_connections: u64,
    pub last_error: Option<String>,
    /// Acknowledged messages whose line could not be written to the file of acknowledged ones.
    pub unwritten: u64,
    /// `None` when nothing was acknowledged.
    pub latency: Option<Latency>,
    /// How late messages were made although there was room for them: the simulator's own doing.
    pub lag: Option<Latency>,
}

/// All that is known of a run.
#[derive(Clone, Debug)]
pub struct Run {
    pub report: Report,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// What happened, if it was to be kept.
    pub truths: Vec<Truth>,
    /// How the fleet's clock went.
    pub clock: Clock,
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) lag_us: Histogram<u64>,
    /// Latencies of the last of its seconds.
    pub(crate) last_us: Histogram<u64>,
    /// What processes of their own used, if it took several.
    pub(crate) seen: Seen,
}

/// The sum of `stats`, for a run of so many `devices` that was to last for `planned` after
/// `started`.
pub(crate) fn report(
    stats: &Stats,
    devices: usize,
    connections: usize,
    started: Option<Instant>,
    planned: Option<Duration>,
) -> Report {
    let [offered, generated, acknowledged, refused] =
        [&stats.offered, &stats.generated, &stats.acknowledged, &stats.refused]
            .map(|counter| counter.load(Relaxed));
    let last_ack = *lock(&stats.last_ack);
    let since = |until: Instant| {
        started.map_or(0.0, |started| until.saturating_duration_since(started).as_secs_f64())
    };
    let seconds = last_ack.map_or(0.0, since);
    let asked_s = planned.map_or_else(|| since(Instant::now()), |d| d.as_secs_f64());
    let rate = |count: u64, seconds: f64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    Report {
        devices: devices as u64,
        connections: connections as u64,
        seconds,
        offered,
        offered_per_s: rate(offered, asked_s),
        acknowledged,
        acknowledged_per_s: rate(acknowledged, seconds),
        readings: stats.readings.load(Relaxed),
        extra: stats.extra.load(Relaxed),
        extra_answered: stats.extra_answered.load(Relaxed),
        refused,
        unacknowledged: generated.saturating_sub(acknowledged + refused),
        unsent: offered.saturating_sub(generated),
        dropped: stats.dropped.load(Relaxed),
        connects: stats.connects.load(Relaxed),
        refused_connects: stats.refused_connects.load(Relaxed),
        failed_connects: stats.failed_connects.load(Relaxed),
        lost_connections: stats.lost_connections.load(Relaxed),
        cut_connections: stats.cut_connections.load(Relaxed),
        last_error: stats.last_error(),
        unwritten: stats.unwritten.load(Relaxed),
        latency: latency(&lock(&stats.latency_us)),
        lag: latency(&lock(&stats.lag_us)),
    }
}

pub(crate) fn latency(us: &Histogram<u64>) -> Option<Latency> {
    let at = |quantile: f64| us.value_at_quantile(quantile) as f64 / 1e3;
    (!us.is_empty()).then(|| Latency {
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        p999_ms: at(0.999),
        max_ms: us.max() as f64 / 1e3,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "devices         {} on {} connections", self.devices, self.connections)?;
        writeln!(f, "offered         {} ({:.0}/s)", self.offered, self.offered_per_s)?;
        writeln!(
            f,
            "acknowledged    {} ({:.0}/s over {:.1} s)",
            self.acknowledged, self.acknowledged_per_s, self.seconds
        )?;
        for (name, count) in [
            ("refused", self.refused),
            ("unacknowledged", self.unacknowledged),
            ("unsent", self.unsent),
            ("dropped", self.dropped),
            ("added by faults", self.extra),
            ("turned away", self.refused_connects),
            ("failed connects", self.failed_connects),
            ("lost connects", self.lost_connections),
            ("cut on purpose", self.cut_connections),
            ("unwritten", self.unwritten),
        ] {
            if count > 0 {
                writeln!(f, "{name:<16}{count}")?;
            }
        }
        if let Some(latency) = &self.latency {
            writeln!(f, "latency         {latency}")?;
        }
        if let Some(error) = &self.last_error {
            writeln!(f, "last error      {error}")?;
        }
        Ok(())
    }
}
