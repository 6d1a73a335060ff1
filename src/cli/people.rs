//! `datanaut customer|consent|device|registry`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Kind, Server};

#[derive(Debug, Subcommand)]
pub(crate) enum CustomerCommand {
    /// Show who a customer is here, in JSON
    Show {
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Write all that is known of a customer into one ZIP
    Export {
        id: String,
        /// Where to write it; by default ID.zip
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        server: Server,
    },
    /// Make a link to the customer's own page, where they see what is known and decide about it
    Link {
        id: String,
        /// How long it is good
        #[arg(long, default_value_t = 7)]
        days: u16,
        #[command(flatten)]
        server: Server,
    },
    /// Erase a customer, and all that leads to them; prints a receipt when nothing is left
    Erase {
        id: String,
        /// The id once more: what is erased does not come back
        #[arg(long, value_name = "ID")]
        confirm: String,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConsentCommand {
    /// List what a customer consented to, ever
    List {
        customer: String,
        #[command(flatten)]
        server: Server,
    },
    /// Note that a customer consents
    Give {
        #[command(flatten)]
        which: WhichConsent,
        /// The version of the wording that they agreed to
        #[arg(long)]
        wording: String,
        #[command(flatten)]
        server: Server,
    },
    /// Note that a customer consents no more; prints a receipt when nothing is left
    Withdraw {
        #[command(flatten)]
        which: WhichConsent,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WhichConsent {
    pub(crate) customer: String,
    pub(crate) insurer: String,
    /// What for, as in travel or pay_as_you_drive
    pub(crate) purpose: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Add a device; prints its token, which is not kept
    Add(NewDeviceArgs),
    /// Add the devices of a file with a line ID,KIND[,OWNER] for each; prints ID,TOKEN for each
    Import {
        file: PathBuf,
        #[command(flatten)]
        server: Server,
    },
    /// Give a device a new token; whoever is connected with the old one is dropped
    Rotate {
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Give a device to another customer, who sees nothing of what came before
    Transfer {
        id: String,
        #[arg(long, value_name = "CUSTOMER")]
        to: String,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewDeviceArgs {
    pub(crate) id: String,
    #[arg(long)]
    pub(crate) kind: Kind,
    /// The customer whose it is
    #[arg(long, value_name = "CUSTOMER")]
    pub(crate) owner: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// Add the entries of a file that are not there yet; changes none that are
    Import {
        file: PathBuf,
        #[command(flatten)]
        server: Server,
    },
}
