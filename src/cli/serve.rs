//! Serving and `datanaut check`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use crate::config::Port;

/// Flags of serving; each overrides the configuration file.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// Configuration file; datanaut.toml in the source is one with every key explained
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Run without the simulated fleet
    #[arg(long)]
    pub(crate) no_sim: bool,
    /// MQTT port; `auto` takes the next free one when the usual one is taken, 0 lets the system choose
    #[arg(long, value_name = "PORT|auto")]
    pub(crate) port: Option<Port>,
    /// Address of the page and the HTTP API
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,
    /// Folder of the journal
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Customers, devices, insurers and consents to start from, when the journal is still empty
    #[arg(long, value_name = "FILE")]
    pub(crate) registry: Option<PathBuf>,
    /// What time the server's clock shows at the start, for example 2022-05-28T06:53:52Z
    #[arg(long, value_name = "RFC3339")]
    pub(crate) clock_start: Option<Timestamp>,
    /// How many times as fast as real time the server's clock runs
    #[arg(long, value_name = "X")]
    pub(crate) clock_speed: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    pub(crate) file: PathBuf,
}
