//! Weather feeds over real sockets, and METAR against what others read from it.
#![cfg(feature = "weather")]
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod faults;
mod metar;
mod server;
