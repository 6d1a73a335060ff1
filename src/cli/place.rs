//! `datanaut where`.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

#[derive(Debug, Args)]
pub(crate) struct WhereArgs {
    /// Degrees north
    #[arg(allow_negative_numbers = true)]
    pub(crate) lat: f64,
    /// Degrees east
    #[arg(allow_negative_numbers = true)]
    pub(crate) lon: f64,
    /// Accuracy of the fix
    #[arg(long, value_name = "METRES", default_value_t = 10.0)]
    pub(crate) accuracy: f32,
    /// Height above the sea, to correct temperatures by
    #[arg(long, value_name = "METRES", allow_negative_numbers = true)]
    pub(crate) altitude: Option<f64>,
    /// The moment, for example 2026-01-15T12:00:00Z; by default now
    #[arg(long, value_name = "RFC3339")]
    pub(crate) at: Option<Timestamp>,
    /// Answer in JSON, with every field
    #[arg(long)]
    pub(crate) json: bool,
    /// Configuration file with the weather feeds
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Data directory with what live feeds have answered; by default that of the configuration, if
    /// it is there
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Cli, Command};

    #[test]
    fn where_takes_places_south_and_west_of_zero() {
        let cli = Cli::parse_from("datanaut where -33.45 -70.66 --accuracy 50 --json".split(' '));
        let Some(Command::Where(args)) = cli.command else { panic!("not a place") };
        assert_eq!((args.lat, args.lon, args.accuracy, args.json), (-33.45, -70.66, 50.0, true));
    }
}
