//! What goes into a request: lines, and whose they are.

use std::io::Write as _;
use std::ops::Range;

use bytes::Bytes;
use enrich::registry::Registry;
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
    /// Where each line ends, and the number of its device.
    ends: Vec<(usize, u32)>,
    pub(crate) counts: LineCounts,
    /// Everything up to this batch is in here.
    pub(crate) upto: i64,
    /// When the oldest of it was committed.
    pub(crate) oldest_ms: Option<i64>,
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
        let kept = registry.device_by_number(number).filter(|known| {
            let owner = known.owner_at(reading.time_ms);
            owner.is_some_and(|owner| registry.may_keep(owner, reading.time_ms, now_ms))
        });
        let Some(known) = kept else {
            self.counts.withheld += 1;
            return;
        };
        let before = self.text.len();
        let device = &known.device;
        self.counts.left_out += write_line(device.kind, &device.id, reading, &mut self.text);
        if self.text.len() > before {
            self.ends.push((self.text.len(), number));
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
            |line: usize| line.checked_sub(1).and_then(|at| self.ends.get(at)).map(|end| end.0);
        let (from, to) = (end(lines.start).unwrap_or(0), end(lines.end).unwrap_or(0));
        self.text.get(from..to).unwrap_or_default()
    }

    /// The device whose line this is.
    pub(crate) fn device(&self, line: usize) -> u32 {
        self.ends.get(line).map_or(0, |(_, device)| *device)
    }

    /// A request's body.
    pub(crate) fn compressed(&self, lines: Range<usize>) -> std::io::Result<Bytes> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(self.text(lines).as_bytes())?;
        Ok(gzip.finish()?.into())
    }
}
