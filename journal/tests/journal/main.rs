//! The journal from outside: what goes in as arrivals comes out as history, events and triggers.

mod delivery_order;
mod restart;
mod support;
mod triggers;
