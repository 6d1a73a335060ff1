//! The command line, a file a group of commands. Without a subcommand, `datanaut` serves.

mod acl;
mod bench;
mod people;
mod place;
mod quarantine;
mod rules;
mod serve;
mod study;
mod subject;
mod trigger;
mod webhook;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use acl::{AclArgs, OtherBroker};
pub(crate) use bench::{BenchArgs, Part};
pub(crate) use people::{
    ConsentCommand, CustomerCommand, DeviceCommand, NewDeviceArgs, RegistryCommand,
};
pub(crate) use place::WhereArgs;
pub(crate) use quarantine::{ListArgs, QuarantineCommand, RowsArgs, ShowArgs};
pub(crate) use rules::{BacktestArgs, RulesCommand};
pub(crate) use serve::{CheckArgs, ServeArgs};
pub(crate) use study::{StudyArgs, StudyCommand};
pub(crate) use subject::SubjectCommand;
pub(crate) use trigger::TriggerCommand;
pub(crate) use webhook::{DeadArgs, ResendArgs, ResumeArgs, WebhookCommand};

/// Collects what connected things report, joins weather and place, and tells the companies people
/// allowed, at the moment it matters.
///
/// Without a subcommand it serves: MQTT broker, journal, synthetic weather, a simulated fleet and
/// the page, all in this process.
#[derive(Debug, Parser)]
#[command(name = "datanaut", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// What to log, for example `info` or `datanaut=debug,ingest=trace`
    #[arg(long, global = true, value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a configuration file and show what it sets
    ///
    /// Exits 0 when it is fine, 1 when something in it is wrong, 2 when it cannot be read.
    Check(CheckArgs),
    /// Publish a recorded track through any MQTT broker, as if a device sent it now
    ///
    /// Exits 0 when everything was acknowledged.
    Replay(device_sim::ReplayArgs),
    /// Look at what could not be used; try it again, or let it go
    ///
    /// Asks the running server. Exits 0 when all that was asked for was done; 1 when some of it
    /// could not be used again, or the server could not be asked.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Measure how fast this machine makes it, beside the figures to reach
    ///
    /// Starts servers of its own on free ports, with data in a temporary folder, and makes the load
    /// itself. Nothing else should run meanwhile. Exits 0 when all was measured, whatever came out.
    #[command(after_help = "Examples:\n  \
        datanaut bench\n  \
        datanaut bench --only latency --rate 5000 --seconds 60 --json")]
    Bench(BenchArgs),
    /// Show, export or erase a customer
    ///
    /// Asks the running server, as do the following.
    #[command(subcommand)]
    Customer(CustomerCommand),
    /// Make a token for somebody who may use the page and the API of a server that others can reach
    Token,
    /// List, give or withdraw what customers consented to
    #[command(subcommand)]
    Consent(ConsentCommand),
    /// Add devices, give them new tokens, or another owner
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Add what a registry file has and the server has not
    #[command(subcommand)]
    Registry(RegistryCommand),
    /// See how insurers' endpoints are doing; send again what they did not take
    ///
    /// Asks the running server.
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Send an insurer a test through its MQTT topic and its webhooks
    ///
    /// Asks the running server, as does the following.
    #[command(subcommand)]
    Trigger(TriggerCommand),
    /// Say by which names insurers know customers; give all of them new ones
    #[command(subcommand)]
    Subject(SubjectCommand),
    /// Check, list and try the rules that decide who is told what
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Find out from the journal whether drivers with winter tyres drive and crash otherwise
    ///
    /// Reads the journal, also while the server runs.
    #[command(subcommand)]
    Study(StudyCommand),
    /// Write Datanaut's access rules for another broker
    ///
    /// Needs no server. Who may publish and subscribe to what, as the embedded broker has it.
    Acl(AclArgs),
    /// Explain a place: country and how certain, border, region, town, weather, road, tyre law
    ///
    /// Needs no server; the weather is synthetic, or that of --config and of the journal in --data.
    Where(WhereArgs),
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The running server: the address of its page; where it wants to know who asks, the token is
    /// taken from DATANAUT_TOKEN
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) server: String,
    /// Print the server's answers as they are, in JSON, one a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Thermostat,
    Car,
    Tracker,
    Product,
}

impl Kind {
    /// As it stands in the topic.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Thermostat => "thermostat",
            Self::Car => "car",
            Self::Tracker => "tracker",
            Self::Product => "product",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Port;

    #[test]
    fn the_definitions_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_subcommand_it_serves() {
        let cli = Cli::parse_from(["datanaut", "--no-sim", "--port", "auto", "--log", "debug"]);
        assert!(cli.command.is_none());
        assert!(cli.serve.no_sim);
        assert_eq!(cli.serve.port, Some(Port::Auto));
        assert_eq!(cli.log, "debug");
    }
}
