//! What is in memory of each device: the open end of its history and the detectors' state.

use enrich::registry::Known;
use enrich::{DeviceState, EnrichedReading, Event, World};
use ingest::Reading;

use crate::rows::Rows;

/// One device's open stretch of history. What came before it is sealed.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// Everything before this moment is sealed, everything from it on is open.
    pub(crate) start_ms: i64,
    pub(crate) open: Rows,
    pub(crate) state: DeviceState,
    /// Whether the log has a state newer than the one the device was sealed with, as when a timer
    /// ran or a late reading changed what is sealed.
    pub(crate) logged: bool,
}

impl Default for History {
    fn default() -> Self {
        let (open, state) = (Rows::default(), DeviceState::default());
        Self { start_ms: i64::MIN, open, state, logged: false }
    }
}

impl History {
    /// Whether a reading comes after all that is known. Devices that stamp whole seconds send
    /// several readings with the same time: the order of history decides between these.
    pub(crate) fn is_before(&self, reading: &Reading) -> bool {
        // A timer that late data took back may have been run, and sealed, after all that is known.
        if reading.time_ms < self.start_ms {
            return false;
        }
        match self.state.seen_until_ms {
            Some(seen_ms) if seen_ms == reading.time_ms => {
                self.open.last().is_some_and(|last| last.history_order(reading).is_lt())
            }
            seen_ms => seen_ms < Some(reading.time_ms),
        }
    }
}

/// The histories by device number.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    devices: Vec<History>,
}

impl Histories {
    pub(crate) fn get(&self, device: u32) -> Option<&History> {
        self.devices.get(device as usize)
    }

    pub(crate) fn entry(&mut self, device: u32) -> &mut History {
        let at = device as usize;
        if self.devices.len() <= at {
            self.devices.resize_with(at + 1, History::default);
        }
        &mut self.devices[at]
    }

    pub(crate) fn len(&self) -> u32 {
        self.devices.len() as u32
    }

    pub(crate) fn apply(&mut self, touched: Touched) {
        let history = self.entry(touched.device);
        touched.open.apply(&mut history.open);
        history.state = touched.state;
        history.logged = true;
    }

    pub(crate) fn seal(&mut self, sealed: Sealed) {
        let history = self.entry(sealed.device);
        history.start_ms = sealed.start_ms;
        history.open = Rows::default();
        history.logged = false;
    }
}

/// What a batch did to one device's history: applied to memory once it is committed.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) device: u32,
    pub(crate) open: Open,
    pub(crate) state: DeviceState,
}

#[derive(Debug)]
pub(crate) enum Open {
    Kept,
    Appended(Rows),
    Replaced(Rows),
}

impl Open {
    pub(crate) fn apply(&self, open: &mut Rows) {
        match self {
            Self::Kept => {}
            Self::Appended(rows) => open.append(rows),
            Self::Replaced(rows) => open.clone_from(rows),
        }
    }
}

/// All of a device's history before this moment is in columns, and the log is not needed for it.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) device: u32,
    pub(crate) start_ms: i64,
}

/// Runs the core over readings of one device, in history order.
pub(crate) fn run<'a>(
    state: &mut DeviceState,
    readings: impl IntoIterator<Item = &'a Reading>,
    device: &Known,
    world: &World,
    events: &mut Vec<Event>,
) {
    for reading in readings {
        // A reading whose owner is not known any more is history, but nobody's business.
        if let Some(owner) = device.owner_at(reading.time_ms) {
            state.read(&EnrichedReading::join(reading, owner, world), world, events);
        }
    }
}
