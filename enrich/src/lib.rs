//! The pure core: a reading and what is known around it become events, and events become firings.
//!
//! No I/O, no clock, no randomness: `(state, input, context, now) → (state, events, timers)`, so
//! that everything can be replayed, backtested and tested with random input. In the order a
//! reading walks: [`registry`] (whose is it, who may see it) → [`places`] and [`weather`] (where
//! and in what conditions, joined into an [`EnrichedReading`]) → [`detect`] (what happened) →
//! [`rules`] (who should hear of it) → [`trigger`] (the message), or [`privacy`] (that there is no
//! more to say), or [`sample`] (a test about nobody).

pub mod claim;
mod country;
pub mod detect;
mod device;
mod enriched;
mod event;
mod here;
pub mod law;
mod fact;
pub mod feedback;
pub mod places;
pub mod privacy;
pub mod registry;
pub mod rehearsal;
pub mod relevance;
pub mod road;
pub mod rules;
pub mod study;
pub mod sample;
pub mod trigger;
mod trip;
pub mod weather;

pub use country::Country;
pub use detect::Happening;
pub use device::DeviceState;
pub use enriched::{EnrichedReading, World};
pub use event::{BorderCrossed, Cause, Change, Event, Happened, compare};
pub use fact::{Fact, Field, Type};
pub use here::{Certainty, Here, Risk};
pub use trip::{Booked, TripAhead};
