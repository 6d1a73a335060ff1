//! One run out of what several processes counted: sums, and percentiles of all their latencies
//! together.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::report::{Report, Run, latency};
use crate::said::{Counted, Sparse};
use crate::stats::{MOST_SECONDS, Quantiles, Second, histogram};

/// So many seconds wait for the slowest process; a whole histogram takes 190 kB. Who is silent for
/// longer is not waited for.
const MOST_OPEN: usize = 60;

/// Latencies of the seconds of a run, from all processes.
pub(crate) struct SecondBySecond {
    processes: usize,
    /// Those that not all processes have told of yet, and how many have.
    open: BTreeMap<u64, (usize, Histogram<u64>)>,
    closed: BTreeMap<u64, Quantiles>,
}

impl SecondBySecond {
    /// From so many processes.
    pub(crate) fn of(processes: usize) -> Self {
        Self { processes, open: BTreeMap::new(), closed: BTreeMap::new() }
    }

    /// What one process measured in the second that ended so many seconds after the start.
    pub(crate) fn add(&mut self, second: u64, latency_us: &Sparse) {
        if self.closed.contains_key(&second) || second > MOST_SECONDS as u64 {
            return;
        }
        let (told, us) = self.open.entry(second).or_insert_with(|| (0, histogram()));
        *told += 1;
        record(us, latency_us);
        if *told == self.processes {
            self.close(second);
        } else if self.open.len() > MOST_OPEN
            && let Some(&oldest) = self.open.keys().next()
        {
            self.close(oldest);
        }
    }

    fn close(&mut self, second: u64) {
        if let Some((_, us)) = self.open.remove(&second) {
            self.closed.insert(second, Quantiles::of(&us));
        }
    }

    /// Writes what was measured into the seconds of a run.
    fn fill(mut self, seconds: &mut [Second]) {
        for second in self.open.keys().copied().collect::<Vec<_>>() {
            self.close(second);
        }
        for (index, second) in seconds.iter_mut().enumerate() {
            if let Some(&quantiles) = self.closed.get(&(index as u64 + 1)) {
                second.latency = quantiles;
            }
        }
    }
}

/// `None` without any part.
pub(crate) fn merged(parts: Vec<Counted>, mut latencies: SecondBySecond) -> Option<Run> {
    for part in &parts {
        latencies.add(part.seconds.len() as u64, &part.last_us);
    }
    let mut parts = parts.into_iter();
    let first = parts.next()?;
    let mut run = Run {
        latency_us: filled(&first.latency_us),
        lag_us: filled(&first.lag_us),
        last_us: filled(&first.last_us),
        report: first.report,
        seconds: first.seconds,
        truths: first.truths,
        clock: first.clock,
        seen: first.seen,
    };
    for part in parts {
        add_report(&mut run.report, part.report);
        add_seconds(&mut run.seconds, part.seconds);
        run.truths.extend(part.truths);
        run.seen.add(part.seen);
        record(&mut run.latency_us, &part.latency_us);
        record(&mut run.lag_us, &part.lag_us);
    }
    latencies.fill(&mut run.seconds);
    run.report.latency = latency(&run.latency_us);
    run.report.lag = latency(&run.lag_us);
    Some(run)
}

fn filled(counts: &Sparse) -> Histogram<u64> {
    let mut us = histogram();
    record(&mut us, counts);
    us
}

fn record(us: &mut Histogram<u64>, counts: &Sparse) {
    for &(value, count) in counts {
        us.saturating_record_n(value, count);
    }
}

fn add_report(sum: &mut Report, part: Report) {
    sum.devices += part.devices;
    sum.connections += part.connections;
    sum.seconds = sum.seconds.max(part.seconds);
    sum.offered += part.offered;
    sum.offered_per_s += part.offered_per_s;
    sum.acknowledged += part.acknowledged;
    let seconds = sum.seconds.max(f64::MIN_POSITIVE);
    sum.acknowledged_per_s = sum.acknowledged as f64 / seconds;
    sum.readings += part.readings;
    sum.extra += part.extra;
    sum.extra_answered += part.extra_answered;
    sum.refused += part.refused;
    sum.unacknowledged += part.unacknowledged;
    sum.unsent += part.unsent;
    sum.dropped += part.dropped;
    sum.connects += part.connects;
    sum.refused_connects += part.refused_connects;
    sum.failed_connects += part.failed_connects;
    sum.lost_connections += part.lost_connections;
    sum.cut_connections += part.cut_connections;
    sum.unwritten += part.unwritten;
    sum.last_error = sum.last_error.take().or(part.last_error);
}

/// What can be added up.
fn add_seconds(sum: &mut Vec<Second>, part: Vec<Second>) {
    if sum.len() < part.len() {
        sum.resize(part.len(), Second::default());
    }
    for (sum, part) in sum.iter_mut().zip(part) {
        sum.offered += part.offered;
        sum.acknowledged += part.acknowledged;
        sum.in_flight += part.in_flight;
        sum.errors += part.errors;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MOST_OPEN, Quantiles, Second, SecondBySecond, record};
    use crate::said::sparse;
    use crate::stats::histogram;

    fn told(values_us: &[u64]) -> Vec<(u64, u64)> {
        let mut us = histogram();
        values_us.iter().for_each(|&value| us.saturating_record(value));
        sparse(&us)
    }

    proptest! {
        /// However latencies are spread over processes, a second's percentiles are those of all.
        #[test]
        fn percentiles_are_those_of_one_process_that_did_it_all(
            parts in prop::collection::vec(prop::collection::vec(1u64..5_000_000, 0..80), 1..5),
        ) {
            let mut merging = SecondBySecond::of(parts.len());
            parts.iter().for_each(|part| merging.add(1, &told(part)));
            prop_assert!(merging.open.is_empty());
            let mut seconds = [Second::default()];
            merging.fill(&mut seconds);
            let mut all = histogram();
            parts.iter().for_each(|part| record(&mut all, &told(part)));
            prop_assert_eq!(seconds[0].latency, Quantiles::of(&all));
        }
    }

    #[test]
    fn a_process_that_falls_silent_costs_no_memory() {
        let mut merging = SecondBySecond::of(2);
        for second in 1..=1_000 {
            merging.add(second, &told(&[1_000]));
            assert!(merging.open.len() <= MOST_OPEN);
        }
        let mut seconds = vec![Second::default(); 1_000];
        merging.fill(&mut seconds);
        assert!(seconds.iter().all(|second| second.latency.max_ms >= 1.0));
    }
}
