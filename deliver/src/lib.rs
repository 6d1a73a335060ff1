//! What goes out: triggers to insurers, answers to what they ask for, explanations to devices,
//! readings to InfluxDB.
//!
//! [`triggers`] reads the journal's outbox from a cursor of its own and publishes on
//! `triggers/{insurer}/{product}/{subject}`; [`requests`] answers who asks for what it missed;
//! [`notices`] limits what goes to `errors/{device}`. [`webhooks`] posts triggers to insurers'
//! endpoints, each with a cursor of its own. [`influx`] reads the journal's log from another. What
//! is slow or dead delays nobody else: its cursor waits and catches up.

pub mod influx;
mod notices;
pub mod requests;
mod triggers;
pub mod webhooks;

pub use triggers::{Options, Resend, run};
