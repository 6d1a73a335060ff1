//! The collector on a real Mosquitto and on a peer that plays a broker byte by byte.
#![cfg(feature = "collector")]
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod burst;
mod handshake;
mod hostile;
mod order;
mod peer;
mod real;
mod rig;
#[path = "../broker/wire.rs"]
#[allow(dead_code)]
mod wire;
