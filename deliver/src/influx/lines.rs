//! What goes into a request: lines, and whose they are.

use std::io::Write as _;
use std::ops::Range;

use bytes::Bytes;
use enrich::registry::{Known, Registry};
use flate2::Compression;
use flate2::write::GzEncoder;
use ingest::Reading;

use super::line::write_line;

/// Most text in a request before it is compressed, whatever the number of lines.
const MOST_BYTES: usize = 8 << 20;

/// Lines in the order of the log.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    text: String,
    ends: Vec<End>,
    pub(crate) counts: LineCounts,
    /// Everything up to this batch is in here.
    pub(crate) upto: i64,
    /// When the oldest of it was committed.
    pub(crate) oldest_ms: Option<i64>,
}

/// The end of a line, and the reading in it.
#[derive(Debug)]
struct End {
    at: usize,
    device: u32,
    time_ms: i64,
}

/// What became of the readings that were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LineCounts {
    pub(crate) readings: usize,
    /// Not written, since nobody consents to them any more.
    pub(crate) withheld: u64,
    /// Values that have no form in a line.
    pub(crate) left_out: u64,
}

impl Lines {
    /// Adds a reading, unless it may not be kept any more.
    pub(crate) fn push(
        &mut self,
        registry: &Registry,
        now_ms: i64,
        (number, reading): (u32, &Reading),
    ) {
        self.counts.readings += 1;
        let Some(known) = known(registry, now_ms, number, reading.time_ms) else {
            self.counts.withheld += 1;
            return;
        };
        let before = self.text.len();
        let device = &known.device;
        self.counts.left_out += write_line(device.kind, &device.id, reading, &mut self.text);
        if self.text.len() > before {
            let (at, time_ms) = (self.text.len(), reading.time_ms);
            self.ends.push(End { at, device: number, time_ms });
        }
    }

    pub(crate) fn is_full(&self, most: usize) -> bool {
        self.counts.readings >= most || self.text.len() >= MOST_BYTES
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn text(&self, lines: Range<usize>) -> &str {
        let end =
            |line: usize| line.checked_sub(1).and_then(|at| self.ends.get(at)).map(|end| end.at);
        let (from, to) = (end(lines.start).unwrap_or(0), end(lines.end).unwrap_or(0));
        self.text.get(from..to).unwrap_or_default()
    }

    /// The device whose line this is.
    pub(crate) fn device(&self, line: usize) -> u32 {
        self.ends.get(line).map_or(0, |end| end.device)
    }

    /// The lines that may still be kept: one may have waited for long.
    pub(crate) fn kept(
        &self,
        lines: Range<usize>,
        registry: &Registry,
        now_ms: i64,
    ) -> impl Iterator<Item = usize> {
        lines.filter(move |line| {
            let end = self.ends.get(*line);
            end.is_some_and(|end| known(registry, now_ms, end.device, end.time_ms).is_some())
        })
    }

    /// A request's body, and how many lines are in it.
    pub(crate) fn compressed(
        &self,
        lines: Range<usize>,
        registry: &Registry,
        now_ms: i64,
    ) -> std::io::Result<(Bytes, usize)> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let mut count = 0;
        for line in self.kept(lines, registry, now_ms) {
            gzip.write_all(self.text(line..line + 1).as_bytes())?;
            count += 1;
        }
        Ok((gzip.finish()?.into(), count))
    }
}

/// The device of a reading that may be kept.
fn known(registry: &Registry, now_ms: i64, device: u32, time_ms: i64) -> Option<&Known> {
    let known = registry.device_by_number(device)?;
    let owner = known.owner_at(time_ms)?;
    registry.may_keep(owner, time_ms, now_ms).then_some(known)
}
