//! `datanaut subject`.

use clap::Subcommand;

use super::Server;

#[derive(Debug, Subcommand)]
pub(crate) enum SubjectCommand {
    /// Show by which names an insurer knows the customer behind a policy
    Show {
        /// The policy's id in the registry
        policy: String,
        #[command(flatten)]
        server: Server,
    },
    /// Make a new key of pseudonyms: from now on every customer has a new name at every insurer
    Rotate {
        /// Every insurer has to look its policies up again: say that this is meant
        #[arg(long, required = true)]
        yes: bool,
        #[command(flatten)]
        server: Server,
    },
}
