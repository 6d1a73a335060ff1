//! The fleet as it was last heard of.

use std::collections::BTreeMap;
use std::sync::Arc;

use enrich::registry::Known;
use ingest::{DeviceKind, Reading};

use crate::rows;

/// A device as it was last heard of.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetDevice {
    pub id: Arc<str>,
    pub kind: DeviceKind,
    pub last: Reading,
}

/// Every device's last reading, by number. As bytes: a fleet is large, and few are looked at.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    devices: Vec<Option<Last>>,
}

#[derive(Debug)]
struct Last {
    id: Arc<str>,
    kind: DeviceKind,
    time_ms: i64,
    reading: Box<[u8]>,
}

impl Fleet {
    pub(crate) fn show(&mut self, device: &Known, last: &Reading) {
        let at = device.number as usize;
        if self.devices.len() <= at {
            self.devices.resize_with(at + 1, || None);
        }
        self.devices[at] = Some(Last {
            id: device.device.id.clone(),
            kind: device.device.kind,
            time_ms: last.time_ms,
            reading: encoded(last),
        });
    }

    /// Takes the place of what was last heard; nothing for a device that nothing was heard of.
    pub(crate) fn show_again(&mut self, device: u32, last: Option<Reading>) {
        let Some(shown) = self.devices.get_mut(device as usize) else { return };
        match (last, shown.as_mut()) {
            (Some(last), Some(shown)) => {
                (shown.time_ms, shown.reading) = (last.time_ms, encoded(&last));
            }
            _ => *shown = None,
        }
    }

    pub(crate) fn forget(&mut self, device: u32) {
        self.show_again(device, None);
    }

    pub(crate) fn last(&self, device: u32) -> Option<Reading> {
        self.get(device)?.reading()
    }

    pub(crate) fn last_ms(&self, device: u32) -> Option<i64> {
        Some(self.get(device)?.time_ms)
    }

    /// The time of the newest reading of all.
    pub(crate) fn newest_ms(&self) -> Option<i64> {
        self.devices.iter().flatten().map(|last| last.time_ms).max()
    }

    /// Whether a reading comes after all that was heard of its device.
    pub(crate) fn is_news(&self, device: u32, reading: &Reading) -> bool {
        match self.get(device) {
            None => true,
            Some(last) if last.time_ms == reading.time_ms => {
                last.reading().is_none_or(|last| last.history_order(reading).is_lt())
            }
            Some(last) => last.time_ms < reading.time_ms,
        }
    }

    pub(crate) fn devices(&self) -> impl Iterator<Item = FleetDevice> {
        self.devices.iter().flatten().filter_map(|device| {
            Some(FleetDevice { id: device.id.clone(), kind: device.kind, last: device.reading()? })
        })
    }

    /// The last readings from then on.
    pub(crate) fn heard_of(&self, since_ms: i64) -> impl Iterator<Item = Reading> {
        let heard = self.devices.iter().flatten().filter(move |last| last.time_ms >= since_ms);
        heard.filter_map(Last::reading)
    }

    pub(crate) fn by_kind(&self) -> BTreeMap<&'static str, usize> {
        let mut by_kind = BTreeMap::new();
        for device in self.devices.iter().flatten() {
            *by_kind.entry(device.kind.name()).or_default() += 1;
        }
        by_kind
    }

    fn get(&self, device: u32) -> Option<&Last> {
        self.devices.get(device as usize)?.as_ref()
    }
}

impl Last {
    fn reading(&self) -> Option<Reading> {
        rows::decode(&mut &*self.reading)
    }
}

fn encoded(reading: &Reading) -> Box<[u8]> {
    let mut bytes = Vec::new();
    rows::encode(reading, &mut bytes);
    bytes.into()
}
