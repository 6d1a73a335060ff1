//! The journal from outside: what goes in as arrivals comes out as history, events and triggers.

#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod delivery_order;
mod restart;
mod support;
mod triggers;
mod weather;
