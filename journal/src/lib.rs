//! The durable log and embedded time-series store, and everything that commits with it.
//!
//! In the order a batch of arrivals takes: [`writer`](Journal) collects what is waiting → `sort`
//! decides what is kept, quarantined or refused → `history` puts each kept reading where it
//! belongs and runs the pure core over it, again over what came after when it is `late` →
//! `outbox` turns what changed into triggers → one transaction commits all of it (`store`) and
//! moves a slice of the log into columns (`seal`, `chunk`) → the acknowledgements fire. Readers
//! have connections of their own ([`Reader`]).

mod archive;
mod batch;
mod cause;
mod change;
mod chunk;
mod claims;
mod counts;
mod feedback;
mod fleet;
mod follow;
mod handle;
mod history;
mod late;
mod link;
mod live;
mod log;
mod message;
mod outbox;
mod pseudonym;
mod place;
mod purge;
mod quarantine;
mod reader;
mod recover;
mod rehearsal;
mod registry;
mod report;
mod retention;
mod rows;
mod said;
mod seal;
mod sort;
mod store;
mod test_trigger;
mod timers;
mod trips;
mod waiting;
mod weather;
#[cfg(test)]
mod trial;
mod webhook;
mod withhold;
mod writer;

pub use archive::{Archive, Found};
pub use change::{Change, ChangeError, Changed, NewDevice};
pub use counts::{Aged, Counts};
pub use fleet::FleetDevice;
pub use follow::LogBatch;
pub use handle::{Closed, Journal, Options, PutAway, Started};
pub use link::Links;
pub use live::{Health, Live, Notice};
pub use log::Followers;
pub use place::Place;
pub use pseudonym::Subjects;
pub use purge::{Due, Elsewhere, Receipt, Why};
pub use quarantine::{
    CannotRetry, Decode, NotCommitted, Quarantine, QuarantineFilter, QuarantineRow,
};
pub use reader::{EventRow, ReadError, Reader, TriggerRow};
pub use registry::SharedRegistry;
pub use rehearsal::{Rehearsal, Rehearsed};
pub use report::ReportRow;
pub use retention::{Retention, SHORTEST_MS};
pub use seal::LOG_READINGS;
pub use store::OpenError;
pub use test_trigger::TestTrigger;
pub use weather::{RecordedFeed, WeatherAnswer, read_weather, recorded_feed};
pub use webhook::{Backlog, Circuit, EndpointState, Letter, Progress};
