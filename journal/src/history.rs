//! What is in memory of each device: the open end of its history and the detectors' state.

use std::borrow::Cow;

use enrich::registry::Known;
use enrich::{DeviceState, EnrichedReading, Event, World};
use ingest::Reading;

use crate::rows::Rows;
use crate::seal::{decode_state, encode_state};

/// One device's open stretch of history. What came before it is sealed.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// Everything before this moment is sealed, everything from it on is open.
    pub(crate) start_ms: i64,
    pub(crate) open: Rows,
    state: Packed,
    /// Whether the log has a state newer than the one the device was sealed with, as when a timer
    /// ran or a late reading changed what is sealed.
    pub(crate) logged: bool,
}

impl Default for History {
    fn default() -> Self {
        let (open, state) = (Rows::default(), Packed::default());
        Self { start_ms: i64::MIN, open, state, logged: false }
    }
}

/// What the detectors know of one device, as bytes: of a large fleet few devices are read at a time,
/// and as bytes they take a quarter of the memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Packed {
    seen_until_ms: Option<i64>,
    /// Empty: nothing.
    bytes: Box<[u8]>,
}

impl Packed {
    pub(crate) fn of(state: &DeviceState) -> Self {
        Self { seen_until_ms: state.seen_until_ms, bytes: encode_state(state).into() }
    }
}

impl History {
    /// What the detectors know. What was encoded here can be decoded here.
    pub(crate) fn state(&self) -> DeviceState {
        match &*self.state.bytes {
            [] => DeviceState::default(),
            bytes => decode_state(bytes).unwrap_or_default(),
        }
    }

    /// The same, as it is written down.
    pub(crate) fn state_bytes(&self) -> Cow<'_, [u8]> {
        match &*self.state.bytes {
            [] => encode_state(&DeviceState::default()).into(),
            bytes => bytes.into(),
        }
    }

    pub(crate) fn keep(&mut self, state: &DeviceState) {
        self.state = Packed::of(state);
    }

    pub(crate) fn seen_until_ms(&self) -> Option<i64> {
        self.state.seen_until_ms
    }

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
        history.state = touched.packed;
        history.logged = true;
    }

    pub(crate) fn seal(&mut self, sealed: Sealed) {
        let history = self.entry(sealed.device);
        history.start_ms = sealed.start_ms;
        history.open = Rows::default();
        history.logged = false;
    }
}

impl Touched {
    pub(crate) fn new(device: u32, open: Open, state: DeviceState) -> Self {
        Self { device, open, state, packed: Packed::default() }
    }

    /// The state's bytes, for the log and then for memory.
    pub(crate) fn pack(&mut self) -> &[u8] {
        self.packed = Packed::of(&self.state);
        &self.packed.bytes
    }
}

/// What a batch did to one device's history: applied to memory once it is committed.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) device: u32,
    pub(crate) open: Open,
    pub(crate) state: DeviceState,
    /// The state as the log has it.
    packed: Packed,
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
