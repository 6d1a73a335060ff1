//! `datanaut quarantine`.

use clap::{Args, Subcommand};

use super::Server;

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List what could not be used, newest first
    List(ListArgs),
    /// Show one row, with all that was kept of what was sent
    Show(ShowArgs),
    /// Try rows again with today's sources, formats, registry and consents
    Retry(RowsArgs),
    /// Let rows go
    Drop(RowsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only what was put away for this reason, as in no_time
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Only what this device sent
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Only older rows than this one
    #[arg(long, value_name = "NUMBER")]
    pub(crate) before: Option<i64>,
    /// How many, 1 to 500
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    pub(crate) number: i64,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub(crate) struct RowsArgs {
    /// Rows, by the numbers that `list` shows
    #[arg(group = "which", conflicts_with_all = ["reason", "device", "all"])]
    pub(crate) numbers: Vec<i64>,
    /// All that was put away for this reason
    #[arg(long, group = "which")]
    pub(crate) reason: Option<String>,
    /// All that this device sent
    #[arg(long, group = "which")]
    pub(crate) device: Option<String>,
    /// All of the quarantine
    #[arg(long, group = "which", conflicts_with_all = ["reason", "device"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn rows_of_the_quarantine_are_meant_in_one_way() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        for line in ["retry 7 8", "retry --all", "drop --reason no_time --device car-1"] {
            assert!(parse(&format!("datanaut quarantine {line}")).is_ok(), "{line}");
        }
        for line in ["retry", "retry 7 --all", "drop --all --reason no_time", "drop 7 --device d"] {
            assert!(parse(&format!("datanaut quarantine {line}")).is_err(), "{line}");
        }
    }
}
