//! What goes out: triggers to insurers, answers to what they ask for, explanations to devices.
//!
//! [`triggers`] reads the journal's outbox from a cursor of its own and publishes on
//! `triggers/{insurer}/{product}/{subject}`; [`requests`] answers who asks for what it missed;
//! [`notices`] limits what goes to `errors/{device}`. A slow or dead broker delays nobody else: the
//! cursor waits and catches up.

mod notices;
pub mod requests;
mod triggers;

pub use triggers::{Options, Resend, run};
