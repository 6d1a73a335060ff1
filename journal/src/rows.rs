//! Readings as rows of bytes: what the log holds, and what is open in memory.

use ingest::Reading;

/// Some readings of one device, encoded one after the other in history order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows {
    bytes: Vec<u8>,
    count: u32,
    /// Where the last one begins.
    last_at: u32,
}

impl Rows {
    pub(crate) fn of<'a>(readings: impl IntoIterator<Item = &'a Reading>) -> Self {
        let mut rows = Self::default();
        readings.into_iter().for_each(|reading| rows.push(reading));
        rows
    }

    pub(crate) fn push(&mut self, reading: &Reading) {
        self.last_at = self.bytes.len() as u32;
        encode(reading, &mut self.bytes);
        self.count += 1;
    }

    pub(crate) fn append(&mut self, other: &Self) {
        if other.count > 0 {
            self.last_at = self.bytes.len() as u32 + other.last_at;
        }
        self.bytes.extend_from_slice(&other.bytes);
        self.count += other.count;
    }

    pub(crate) fn first(&self) -> Option<Reading> {
        decode(&mut self.bytes.as_slice())
    }

    /// The last one in history order.
    pub(crate) fn last(&self) -> Option<Reading> {
        decode(&mut self.bytes.get(self.last_at as usize..)?)
    }

    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    /// The readings, as they were pushed. Bytes that are none end the list: they come from
    /// memory, or from a blob whose checksum held.
    pub(crate) fn readings(&self) -> Vec<Reading> {
        let mut bytes = self.bytes.as_slice();
        let mut readings = Vec::with_capacity(self.count());
        while let Some(reading) = decode(&mut bytes) {
            readings.push(reading);
        }
        readings
    }
}

/// Appends the bytes of one reading.
pub(crate) fn encode(reading: &Reading, bytes: &mut Vec<u8>) {
    // Writing into memory cannot fail, and every reading has a form.
    match postcard::to_extend(reading, std::mem::take(bytes)) {
        Ok(grown) => *bytes = grown,
        Err(error) => tracing::error!(%error, "a reading could not be encoded"),
    }
}

/// Takes one reading off the front.
pub(crate) fn decode(bytes: &mut &[u8]) -> Option<Reading> {
    if bytes.is_empty() {
        return None;
    }
    let (reading, rest) = postcard::take_from_bytes(bytes).ok()?;
    *bytes = rest;
    Some(reading)
}

pub(crate) fn log_row(log: &mut Vec<u8>, device: u32, reading: &Reading) {
    log.extend_from_slice(&device.to_le_bytes());
    encode(reading, log);
}

pub(crate) fn take_log_row(log: &mut &[u8]) -> Option<(u32, Reading)> {
    let (device, rest) = log.split_first_chunk::<4>()?;
    *log = rest;
    Some((u32::from_le_bytes(*device), decode(log)?))
}

pub(crate) fn put_blob(bytes: &mut Vec<u8>, device: u32, blob: &[u8]) {
    bytes.extend_from_slice(&device.to_le_bytes());
    bytes.extend_from_slice(&(blob.len() as u32).to_le_bytes());
    bytes.extend_from_slice(blob);
}

pub(crate) fn take_blob<'a>(bytes: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let (device, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (blob, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some((u32::from_le_bytes(*device), blob))
}
