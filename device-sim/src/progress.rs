//! How a run goes, told while it goes: a bar on a terminal, plain lines elsewhere.

use std::fmt;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Who is told how a run goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    #[default]
    Nobody,
    /// Who watches: every second on a terminal, else this often in the log.
    People { every: Duration },
    /// The process that started this one, on standard output.
    Parent,
}

/// Up to the end of a second of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) second: u64,
    /// How long it is to last.
    pub(crate) of_s: Option<f64>,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// Acknowledged in that second.
    pub(crate) per_s: u64,
    pub(crate) in_flight: u64,
    pub(crate) p99_ms: f64,
    /// Connections lost and not made, so far.
    pub(crate) errors: u64,
}

/// Characters of the bar.
const WIDTH: usize = 30;

impl Show {
    pub(crate) fn tell(self, progress: &Progress) {
        match self {
            Self::Nobody | Self::Parent => {}
            // The cursor goes back to the beginning: a line of the log writes over the bar.
            Self::People { .. } if stderr().is_terminal() => {
                write!(stderr(), "\x1b[2K{progress}\r").and_then(|()| stderr().flush()).ok();
            }
            Self::People { every } if progress.second.is_multiple_of(every.as_secs().max(1)) => {
                tracing::info!(
                    seconds = progress.second,
                    sent = progress.sent,
                    acknowledged = progress.acknowledged,
                    per_s = progress.per_s,
                    in_flight = progress.in_flight,
                    p99_ms = progress.p99_ms,
                    errors = progress.errors,
                    "progress"
                );
            }
            Self::People { .. } => {}
        }
    }

    /// Leaves the bar as it was last.
    pub(crate) fn end(self) {
        if matches!(self, Self::People { .. }) && stderr().is_terminal() {
            writeln!(stderr()).ok();
        }
    }
}

impl Progress {
    /// Of several processes together.
    pub(crate) fn sum(parts: &[Self]) -> Self {
        let mut sum = Self::default();
        for part in parts {
            sum.second = sum.second.max(part.second);
            sum.of_s = sum.of_s.or(part.of_s);
            sum.sent += part.sent;
            sum.acknowledged += part.acknowledged;
            sum.per_s += part.per_s;
            sum.in_flight += part.in_flight;
            sum.p99_ms = sum.p99_ms.max(part.p99_ms);
            sum.errors += part.errors;
        }
        sum
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(of_s) = self.of_s {
            let share = (self.second as f64 / of_s.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
            let done = (share * WIDTH as f64) as usize;
            write!(f, "[{}{}] ", "=".repeat(done), " ".repeat(WIDTH - done))?;
        }
        write!(f, "{} s", self.second)?;
        if let Some(of_s) = self.of_s {
            write!(f, " of {of_s:.0}")?;
        }
        write!(
            f,
            ", {}/s, {} acknowledged, {} in flight, p99 {:.1} ms, {} errors",
            self.per_s, self.acknowledged, self.in_flight, self.p99_ms, self.errors
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Progress;

    #[test]
    fn a_bar_fills_and_ends_full_also_when_a_run_takes_longer() {
        let at = |second| Progress { second, of_s: Some(60.0), per_s: 10, ..Progress::default() };
        let bar = |second| at(second).to_string().chars().filter(|&c| c == '=').count();
        assert_eq!((bar(0), bar(30), bar(60), bar(90)), (0, 15, 30, 30));
        assert!(at(30).to_string().contains("] 30 s of 60, 10/s, "));
        assert!(Progress::default().to_string().starts_with("0 s, "));
    }

    #[test]
    fn processes_count_together_and_the_slowest_says_how_slow() {
        let one = Progress { second: 5, sent: 10, per_s: 2, p99_ms: 3.0, ..Progress::default() };
        let other = Progress { second: 6, sent: 20, per_s: 4, p99_ms: 1.0, ..Progress::default() };
        let sum = Progress::sum(&[one, other]);
        assert_eq!((sum.second, sum.sent, sum.per_s, sum.p99_ms), (6, 30, 6, 3.0));
    }
}
