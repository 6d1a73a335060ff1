//! What one of several processes says to the one that started it, a line at a time.

use std::io::Write;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::progress::Progress;
use crate::report::Report;
use crate::server::Seen;
use crate::stats::Second;
use crate::truth::Truth;

/// A line of a process, after it was ready.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// How it goes, and the latencies of the second that is over.
    Progress(Progress, Sparse),
    Counted(Box<Counted>),
}

/// What one process counted.
#[derive(Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) report: Report,
    pub(crate) seconds: Vec<Second>,
    pub(crate) truths: Vec<Truth>,
    pub(crate) clock: Clock,
    pub(crate) latency_us: Sparse,
    pub(crate) lag_us: Sparse,
    /// Of the last of its seconds, which it has not told of yet.
    pub(crate) last_us: Sparse,
    pub(crate) seen: Seen,
}

/// A histogram as the values that occur, with how often each does.
pub(crate) type Sparse = Vec<(u64, u64)>;

pub(crate) fn sparse(us: &Histogram<u64>) -> Sparse {
    us.iter_recorded().map(|at| (at.value_iterated_to(), at.count_at_value())).collect()
}

pub(crate) fn say(said: &Said) -> std::io::Result<()> {
    write_line(&serde_json::to_vec(said).map_err(std::io::Error::other)?)
}

pub(crate) fn write_line(line: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(line)?;
    out.write_all(b"\n")?;
    out.flush()
}
