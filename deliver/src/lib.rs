//! What goes out: triggers to insurers, explanations to devices.
//!
//! [`triggers`] reads the journal's outbox from a cursor of its own and publishes on
//! `triggers/{insurer}/{product}/{subject}`; [`notices`] limits what goes to `errors/{device}`.
//! A slow or dead broker delays nobody else: the cursor waits and catches up.

mod notices;
mod triggers;

pub use triggers::{Options, Resend, run};
