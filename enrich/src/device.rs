//! What is remembered of a device between readings.

use serde::{Deserialize, Serialize};

use crate::detect::tyres::Tyre;
use crate::detect::{Detector, Memories};
use crate::{EnrichedReading, Event, World};

/// The detectors' memory of one device: bounded, and equal for equal histories.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceState {
    /// Whose device it was at the last reading; a new owner starts with a blank memory.
    owner: Option<u32>,
    /// Up to when the history has been looked at.
    pub seen_until_ms: Option<i64>,
    memories: Memories,
}

impl DeviceState {
    /// Takes the next reading of the device's history. Timers due before it run first.
    pub fn read(&mut self, seen: &EnrichedReading<'_>, world: &World, events: &mut Vec<Event>) {
        self.wait_until(seen.reading.time_ms, world, events);
        if self.owner != Some(seen.owner) {
            self.memories = Memories::default();
            self.owner = Some(seen.owner);
        }
        self.seen_until_ms = self.seen_until_ms.max(Some(seen.reading.time_ms));
        self.memories.read(seen, world, events);
    }

    /// Lets time pass without a reading: runs the timers due up to and including `until_ms`.
    pub fn wait_until(&mut self, until_ms: i64, world: &World, events: &mut Vec<Event>) {
        while let Some(due_ms) = self.next_due_ms().filter(|due_ms| *due_ms <= until_ms) {
            self.seen_until_ms = self.seen_until_ms.max(Some(due_ms));
            self.memories.wait(due_ms, world, events);
        }
    }

    /// Whose device it was at the last reading that was looked at.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        self.owner
    }

    /// The tyres and tread that a car has said it has.
    #[must_use]
    pub fn fitted(&self) -> (Option<Tyre>, Option<f64>) {
        self.memories.fitted()
    }

    /// When something happens next if no reading comes.
    #[must_use]
    pub fn next_due_ms(&self) -> Option<i64> {
        self.memories.due_ms()
    }
}
