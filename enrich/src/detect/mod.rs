//! The detectors, in the order they see a reading.
//!
//! A detector is a file with a `Memory` (small, bounded, comparable), `read` for a reading, and,
//! where something can happen without one, `wait` and `due_ms`. [`crate::DeviceState`] holds the
//! memories and calls the detectors.

pub mod border;
