//! `datanaut webhook`.

use clap::{Args, Subcommand};

use super::Server;

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// List the endpoints, how they are doing, and how much they have before them
    List(Server),
    /// List what an endpoint did not take in the three days it was tried
    Dead(DeadArgs),
    /// Send such messages again
    Resend(ResendArgs),
    /// Go on with an endpoint that said it was gone, or that is given a rest
    Resume(ResumeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DeadArgs {
    /// Of the webhook
    pub(crate) name: String,
    /// Only those behind this position
    #[arg(long, default_value_t = 0)]
    pub(crate) after: i64,
    /// How many, 1 to 500
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("letters").required(true))]
pub(crate) struct ResendArgs {
    /// Of the webhook
    pub(crate) name: String,
    /// By the positions that `dead` shows
    #[arg(group = "letters")]
    pub(crate) positions: Vec<i64>,
    /// All that were given up
    #[arg(long, group = "letters")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Of the webhook
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) server: Server,
}
