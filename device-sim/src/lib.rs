//! A simulated fleet, and a load test for any MQTT broker.
//!
//! It knows nothing of the server it publishes to: it writes the documented wire format.
//!
//! From the ground up: `geo` (positions and paths), `places` and `roads` (where one can
//! go), `motion` (how one gets along), `weather` and `noise`; the devices `car`,
//! `tracker`, `thermostat` and `product`, each a seeded function of time that yields
//! `reading`s, and the `truth` about what happened to it; the `fleet`, which knows who reports
//! when, and the `demo` fleet; and
//! `publish`, which brings a fleet's messages to a broker over `session`s, keeps each in an
//! `outbox` until it is acknowledged, and sums up in a `report`.

mod advice;
mod areas;
mod bench;
mod borders;
mod car;
mod claims;
mod compare;
mod demo;
mod connection;
mod device;
mod faults;
mod fleet;
mod forecast;
mod format;
mod frost;
mod geo;
mod html;
mod listen;
mod merge;
mod motion;
mod noise;
mod options;
mod outbox;
mod outcome;
mod packet;
mod pairs;
mod parts;
mod people;
mod places;
mod product;
mod progress;
mod publish;
mod reading;
mod replay;
mod report;
mod roads;
mod scenario;
mod schedule;
mod score;
mod server;
mod session;
mod setup;
mod stats;
mod surface;
mod thermostat;
mod tracker;
mod transport;
mod trigger;
mod truth;
mod venues;
mod verify;
mod weather;

pub use areas::risk_areas;
pub use bench::{BenchError, Settings, bench};
pub use claims::{ClaimRates, claim_line};
pub use compare::compare;
pub use device::Message;
pub use faults::Faults;
pub use fleet::{Fleet, Rate};
pub use forecast::{Rows, WeatherClock, serve_weather, write_weather};
pub use format::Format;
pub use html::page;
pub use listen::{Heard, listen};
pub use options::{
    Broker, BrokerError, ClockStart, Gate, Login, Mix, MixError, Options, Part, Protocol, Qos,
};
pub use outcome::{Check, Machine, Outcome, ServerSide};
pub use parts::{Processes, part};
pub use progress::Show;
pub use publish::{Run, run, run_in_full};
pub use reading::Kind;
#[cfg(fuzzing)]
pub use replay::fuzz as fuzz_replay;
pub use replay::{ReplayArgs, replay};
pub use report::{Latency, Report};
pub use scenario::{ClockSpec, LimitSpec, Scenario, ScenarioError, names};
pub use server::{Seen, ServerError, Totals, Usage, server_clock};
pub use setup::Setup;
pub use stats::{Quantiles, Second};
pub use transport::{Tls, TlsError};
pub use trigger::Recorded;
pub use truth::{Expect, Line, Truth, What};
pub use verify::{Clock, JUDGEABLE, Limits, Score, Verdict, Wrong, judge};
