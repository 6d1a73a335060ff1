//! `datanaut acl`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct AclArgs {
    /// The broker to write for
    #[arg(long = "for", value_name = "BROKER")]
    pub(crate) broker: OtherBroker,
    /// Whose sources and login hold; without it, the defaults
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Lines ID,TOKEN as `datanaut device import` prints them: for NATS all users, `datanaut` among
    /// them; for the others those whose app publishes OwnTracks
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OtherBroker {
    /// An acl_file
    Mosquitto,
    /// An acl.conf
    Emqx,
    /// The authorization block of the server's configuration
    Nats,
}
