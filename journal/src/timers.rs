//! When devices want to be woken.

use std::collections::{BTreeSet, HashMap};

/// Most timers run in one transaction; the rest follow in the next.
const WOKEN: usize = 4_096;

/// When devices want to be woken, both ways round.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(i64, u32)>,
    pub(crate) by_device: HashMap<u32, i64>,
}

impl Timers {
    pub(crate) fn set(&mut self, device: u32, wake_ms: Option<i64>) {
        let before = match wake_ms {
            Some(wake_ms) => self.by_device.insert(device, wake_ms),
            None => self.by_device.remove(&device),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, device));
        }
        if let Some(wake_ms) = wake_ms {
            self.by_time.insert((wake_ms, device));
        }
    }

    /// When the first of them is to be woken.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.by_time.first().map(|(wake_ms, _)| *wake_ms)
    }

    pub(crate) fn due(&self, now_ms: i64) -> Vec<u32> {
        self.by_time.range(..=(now_ms, u32::MAX)).take(WOKEN).map(|(_, device)| *device).collect()
    }
}
