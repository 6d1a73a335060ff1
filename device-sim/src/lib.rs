//! A simulated fleet, and a load test for any MQTT broker.
//!
//! It knows nothing of the server it publishes to: it writes the documented wire format.
//!
//! From the ground up: `geo` (positions and paths), `places` and `roads` (where one can
//! go), `motion` (how one gets along), `weather` and `noise`; the devices `car`,
//! `tracker`, `thermostat` and `product`, each a seeded function of time that yields
//! `reading`s, and the `truth` about what happened to it; the `fleet`, which knows who reports
//! when, and the `demo` fleet; and
//! `publish`, which brings a fleet's messages to a broker over `connection`s and their `session`s,
//! keeps each in an `outbox` until it is acknowledged, and sums up in a `report`. `parts` does so
//! from several processes, and `merge` makes one run of them; `verify` says what an insurer was
//! told of it, by the `score` of each product; `bench` runs a whole scenario, and `outcome` is what
//! that showed. No two modules need each other.

mod advice;
mod areas;
mod bench;
mod borders;
mod broker;
mod car;
mod claims;
mod clock;
mod compare;
mod connection;
mod demo;
mod device;
mod faults;
mod fleet;
mod forecast;
mod format;
mod frost;
mod geo;
mod html;
mod limits;
mod listen;
mod merge;
mod motion;
mod newcomers;
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
mod said;
mod scenario;
mod schedule;
mod score;
mod server;
mod session;
mod settings;
mod setup;
mod shared;
mod stats;
mod surface;
mod thermostat;
mod tracker;
mod transport;
mod trigger;
mod trips;
mod truth;
mod venues;
mod verify;
mod watcher;
mod weather;

pub use areas::risk_areas;
pub use bench::bench;
pub use broker::{Broker, BrokerError};
pub use claims::{ClaimRates, claim_line};
pub use clock::Clock;
pub use compare::compare;
pub use device::Message;
pub use faults::Faults;
pub use fleet::{Fleet, Rate};
pub use forecast::{Rows, WeatherClock, serve_weather, write_weather};
pub use format::Format;
pub use html::page;
pub use limits::Limits;
pub use listen::{Heard, listen};
pub use options::{ClockStart, Gate, Login, Mix, MixError, Options, Part, Protocol, Qos};
pub use outcome::{Check, Machine, Outcome, ServerSide};
pub use parts::part;
pub use progress::Show;
pub use publish::{run, run_in_full};
pub use reading::Kind;
#[cfg(fuzzing)]
pub use replay::fuzz as fuzz_replay;
pub use replay::{ReplayArgs, replay};
pub use report::{Latency, Report, Run};
pub use scenario::{ClockSpec, LimitSpec, Scenario, ScenarioError, names};
pub use score::{Score, Wrong};
pub use server::{Seen, ServerError, Totals, Usage, server_clock};
pub use settings::{BenchError, Settings};
pub use setup::Setup;
pub use stats::{Quantiles, Second};
pub use transport::{Tls, TlsError};
pub use trigger::Recorded;
pub use truth::{Expect, Line, Truth, What};
pub use verify::{JUDGEABLE, Verdict, judge};
