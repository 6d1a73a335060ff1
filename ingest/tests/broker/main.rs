//! The embedded broker over real sockets.
#![cfg(feature = "broker")]
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod access;
mod acknowledgement;
mod clients;
mod hostile;
mod matrix;
mod rig;
mod stall;
mod wills;
mod wire;
