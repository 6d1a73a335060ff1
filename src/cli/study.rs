//! `datanaut study`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;

#[derive(Debug, Subcommand)]
pub(crate) enum StudyCommand {
    /// Claims per million kilometres by tyre and road, and how drivers adapt to snow and ice
    WinterTyres(StudyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StudyArgs {
    /// From when on; by default all that the journal holds
    #[arg(long, value_name = "RFC3339")]
    pub(crate) since: Option<Timestamp>,
    /// Until when
    #[arg(long, value_name = "RFC3339")]
    pub(crate) until: Option<Timestamp>,
    /// Folder of the journal; by default the configuration's
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print every group, by country and month too, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
