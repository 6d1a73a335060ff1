//! How a scenario is run, and why it could not be.

use std::fs::File;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::broker::Broker;
use crate::options::{ClockStart, Mix, Options, Protocol, Qos};
use crate::scenario::{ClockSpec, Scenario, ScenarioError};
use crate::server::{Server, ServerError};

/// How a scenario is run.
#[derive(Debug)]
pub struct Settings {
    /// By which name it was asked for.
    pub name: String,
    /// Times as many devices, at times the load.
    pub scale: f64,
    /// In the place of the scenario's.
    pub seed: Option<u64>,
    pub seconds: Option<Duration>,
    pub protocol: Option<Mix<Protocol>>,
    pub qos: Option<Mix<Qos>>,
    pub window: Option<u16>,
    pub connect_rate: Option<f64>,
    /// The server's HTTP side, for its totals and its clock.
    pub http: Option<String>,
    /// How long to wait for triggers that are missing.
    pub grace: Duration,
    /// Repeats the run.
    pub command: String,
    /// Keep the triggers that come.
    pub record: Option<File>,
    /// Write down the claims that insurers report, one message a line.
    pub claims: Option<File>,
    /// Publish from so many processes; one is this one.
    pub processes: usize,
}

/// Why a scenario could not be run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("{0}")]
    Scenario(#[from] ScenarioError),
    #[error("{0}")]
    Server(#[from] ServerError),
    #[error("the scenario goes by the server's clock: say where that is with --http")]
    NoHttp,
    #[error(
        "the server's clock runs {0:.0} times as fast, so that a greeting at a venue is of no use before it \
         arrives: start it with --clock-speed {MOST_SPEED_OF_VENUES} or less"
    )]
    TooFast(f64),
    #[error("cannot listen to triggers: {0}")]
    Listen(#[from] std::io::Error),
    #[error(
        "no broker at {0} let us listen to triggers within {1:?}: start it, or see the log for why"
    )]
    NoBroker(Broker, Duration),
    #[error("cannot write the claims: {0}")]
    Claims(std::io::Error),
    #[error("cannot report the claims or trips: {0:#}")]
    Report(anyhow::Error),
    #[error("a process of the simulator {0}")]
    Process(String),
    #[error("a task of the simulator failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// With a fast clock the fleet's stays so much behind the server's, so that nothing seems to come
/// from the future.
const BEHIND: Duration = Duration::from_secs(3);

/// A greeting is of use for half an hour of the fleet's time: of the 18 s on the wall that this is then,
/// [`BEHIND`] takes three.
const MOST_SPEED_OF_VENUES: f64 = 100.0;

impl Settings {
    /// Fills in what scenario and settings say about how to publish.
    pub(crate) async fn fill(
        &self,
        scenario: &Scenario,
        options: &mut Options,
    ) -> Result<(), BenchError> {
        scenario.apply(options)?;
        options.seed = self.seed.unwrap_or(scenario.seed);
        if let Some(protocol) = &self.protocol {
            options.protocol = protocol.clone();
        }
        if let Some(qos) = &self.qos {
            options.qos = qos.clone();
        }
        options.window = self.window.unwrap_or(options.window);
        options.connect_rate = self.connect_rate.unwrap_or(options.connect_rate);
        if let Some(seconds) = self.seconds {
            options.duration = Some(seconds);
        }
        options.keep_truths = scenario.verify || scenario.claims.is_some();
        if scenario.clock == ClockSpec::Server {
            let server = Server::new(self.http.as_deref().ok_or(BenchError::NoHttp)?);
            let (at, speed) = spawn_blocking(move || server.clock()).await??;
            let behind_ms = if speed > 1.0 { BEHIND.as_secs_f64() * 1e3 * speed } else { 0.0 };
            options.clock_start = Some(ClockStart { ms: at.ms - behind_ms as i64, ..at });
            options.clock_speed = speed;
            if scenario.venues_are_told && speed > MOST_SPEED_OF_VENUES {
                return Err(BenchError::TooFast(speed));
            }
            tracing::info!(speed, "going by the server's clock");
        }
        Ok(())
    }
}
