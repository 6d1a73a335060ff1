//! What comes in: MQTT packets become typed [`Reading`]s.
//!
//! In the order a message takes:
//! [`broker`] (the embedded MQTT broker) or [`collector`] (a client of any other) holds the PUBACK
//! and hands each publish over as an [`Arrival`]; [`source`] says what its [`topic`] means;
//! [`formats`] decode the payload into [`Reading`]s of named [`measure`]s; [`Reason`] names what
//! could not be used. Insurers have topics of their own, and a [`report`] each. [`access`] says who
//! may do what. What becomes of an arrival (stored, quarantined, refused, duplicate) is
//! decided where the journal commits, and travels back through its [`Acknowledgement`].

#[cfg(feature = "broker")]
pub mod broker;
#[cfg(feature = "collector")]
pub mod collector;
pub mod access;
#[cfg(feature = "tls")]
pub mod tls;
pub mod topic;
pub mod source;
pub mod formats;
mod arrival;
mod clock;
pub mod measure;
mod reading;
mod reason;
pub mod report;
pub mod weather;

pub use arrival::{Acknowledgement, Arrival, Decoded, Message, Sender};
pub use clock::Clock;
pub use measure::{Measure, Shape, Value};
pub use reading::{DeviceKind, Fix, Reading};
pub use reason::{Reason, Rejected};
