//! `datanaut trigger`.

use clap::Subcommand;

use super::Server;

#[derive(Debug, Subcommand)]
pub(crate) enum TriggerCommand {
    /// Send a trigger about nobody, marked as a test, the way every trigger goes
    Test {
        /// To whom, by its id in the registry
        #[arg(long)]
        insurer: String,
        /// On which product's topic, as in travel or pay_as_you_drive
        #[arg(long, default_value = "travel")]
        product: String,
        #[command(flatten)]
        server: Server,
    },
}
