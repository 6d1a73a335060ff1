//! `datanaut rules`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Say what is wrong in rule files, or in the configured folder
    ///
    /// Exits 0 when all are fine, 1 when something in them is wrong.
    Check {
        /// Rule files or folders; by default the folder of the configuration
        paths: Vec<PathBuf>,
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Show the rules in force with this configuration
    List {
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Say what a rule makes of one event; docs/rules.md has an example of each
    Test {
        /// A rule file, or the id of a rule in force
        rule: String,
        /// The event and what is around it, in JSON
        event: PathBuf,
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Say what a rule would have told whom, by the journal, also while the server runs
    Backtest(BacktestArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BacktestArgs {
    /// A rule file, or the id of a rule in force
    pub(crate) rule: String,
    /// From when on: a duration back from now (30d) or a time
    #[arg(long, value_name = "DURATION|RFC3339", default_value = "30d")]
    pub(crate) since: String,
    /// Folder of the journal; by default the configuration's
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}
