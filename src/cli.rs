//! The command line. Without a subcommand, `datanaut` serves.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

use crate::config::Port;

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
    Replay(ReplayArgs),
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
    /// Check, list and try the rules that decide who is told what
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Explain a place: country and how certain, border, region, town, weather, road, tyre law
    ///
    /// Needs no server; the weather is that of the synthetic feed.
    Where(WhereArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// How long each part is under load
    #[arg(long, default_value_t = 10.0, value_parser = bench_seconds)]
    pub(crate) seconds: f64,
    /// Parts to measure; by default all
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Part>,
    /// Connections to the embedded broker
    #[arg(long, default_value_t = 1_000)]
    pub(crate) connections: usize,
    /// Readings a second that are offered where latency is measured
    #[arg(long, default_value_t = 10_000.0, value_parser = bench_rate)]
    pub(crate) rate: f64,
    /// Devices that are known where memory is measured
    #[arg(long, default_value_t = 100_000)]
    pub(crate) devices: usize,
    /// Print the figures as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The journal without MQTT: commits, bytes, opening
    Journal,
    /// The collector against a bare subscriber, on Mosquitto
    Mosquitto,
    /// The embedded broker with many connections and with one
    Embedded,
    /// To PUBACK and to the trigger, at a rate
    Latency,
    /// Resident memory, alone and with many devices
    Memory,
}

impl Part {
    pub(crate) const ALL: [Self; 5] =
        [Self::Journal, Self::Mosquitto, Self::Embedded, Self::Latency, Self::Memory];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Journal => "the journal",
            Self::Mosquitto => "the collector",
            Self::Embedded => "the embedded broker",
            Self::Latency => "latency",
            Self::Memory => "memory",
        }
    }
}

fn bench_seconds(text: &str) -> Result<f64, String> {
    within(text, 0.5..=3_600.0)
}

fn bench_rate(text: &str) -> Result<f64, String> {
    within(text, 1.0..=1e6)
}

fn within(text: &str, range: std::ops::RangeInclusive<f64>) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("give a number from {} to {}", range.start(), range.end()))
}

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

/// Flags of serving; each overrides the configuration file.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// Configuration file; datanaut.toml in the source is one with every key explained
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Run without the simulated fleet
    #[arg(long)]
    pub(crate) no_sim: bool,
    /// MQTT port; `auto` takes the next free one when the usual one is taken, 0 lets the system choose
    #[arg(long, value_name = "PORT|auto")]
    pub(crate) port: Option<Port>,
    /// Address of the page and the HTTP API
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,
    /// Folder of the journal
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Customers, devices, insurers and consents to start from, when the journal is still empty
    #[arg(long, value_name = "FILE")]
    pub(crate) registry: Option<PathBuf>,
    /// What time the server's clock shows at the start, for example 2022-05-28T06:53:52Z
    #[arg(long, value_name = "RFC3339")]
    pub(crate) clock_start: Option<Timestamp>,
    /// How many times as fast as real time the server's clock runs
    #[arg(long, value_name = "X")]
    pub(crate) clock_speed: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    pub(crate) file: PathBuf,
}

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
    /// The moment, for example 2026-01-15T12:00:00Z; by default now
    #[arg(long, value_name = "RFC3339")]
    pub(crate) at: Option<Timestamp>,
    /// Answer in JSON, with every field
    #[arg(long)]
    pub(crate) json: bool,
    /// Configuration file with the weather feed's seed
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The recording
    pub(crate) file: PathBuf,
    /// What the file is; by default told by its ending (.gpx, .rec, .jsonl, .geojson)
    #[arg(long)]
    pub(crate) format: Option<Format>,
    /// Publish this many times as fast as recorded; `max` = as fast as the broker acknowledges
    #[arg(long, value_name = "N|max", default_value = "1")]
    pub(crate) speed: Speed,
    /// The device that sends: a device id of the registry, for OwnTracks also USER/DEVICE
    #[arg(long = "as", value_name = "DEVICE")]
    pub(crate) device: String,
    #[arg(long, value_name = "mqtt://HOST[:PORT]", default_value = "mqtt://127.0.0.1:1883")]
    pub(crate) broker: BrokerUrl,
    /// Login at the broker
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Beware: other users of this machine see it in the list of processes
    #[arg(long, requires = "user")]
    pub(crate) password: Option<String>,
    /// The kind in the topic; by default what DEVICE begins with (car-07 is a car), else tracker
    #[arg(long)]
    pub(crate) kind: Option<Kind>,
    /// Accuracy to report for tracks, which record none
    #[arg(long, value_name = "METRES", default_value_t = 10.0)]
    pub(crate) accuracy_m: f64,
    /// 0, 1 or 2; only from 1 on does the broker acknowledge
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,
    /// `now` shifts all times so that the track ends now; `recorded` leaves them as they are
    #[arg(long, default_value = "now")]
    pub(crate) at: At,
    /// Give up when the broker acknowledges nothing for this long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = crate::config::duration)]
    pub(crate) timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Gpx,
    Owntracks,
    Jsonl,
    Geojson,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum At {
    Now,
    Recorded,
}

/// How many times as fast as recorded; infinite for `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Speed(pub(crate) f64);

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Self(f64::INFINITY)),
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self(times)),
            _ => Err("give a number above 0, or max".to_owned()),
        }
    }
}

/// Where a broker listens, from `mqtt://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerUrl {
    /// A name or address; an IPv6 address in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if url.starts_with("mqtts://") {
            return Err("TLS is not supported here: use mqtt:// through a local broker or tunnel"
                .to_owned());
        }
        let rest = url.strip_prefix("mqtt://").ok_or("begin with mqtt://")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| format!("`{port}` is no port: give 1 to 65535"))?)
            }
            _ => (rest, 1883),
        };
        if host.is_empty() || host.contains(['/', '@', '?']) || port == 0 {
            return Err(
                "give mqtt://HOST:PORT; the login goes into --user and --password".to_owned()
            );
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for BrokerUrl {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "mqtt://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn replay_reads_its_flags() {
        let cli = Cli::parse_from(
            "datanaut replay t.gpx --format gpx --speed 60 --as car-01 --timeout 5m".split(' '),
        );
        let Some(Command::Replay(args)) = cli.command else { panic!("not a replay") };
        assert_eq!((args.speed, args.at, args.qos), (Speed(60.0), At::Now, 1));
        assert_eq!(args.broker.to_string(), "mqtt://127.0.0.1:1883");
        assert_eq!(args.timeout, Duration::from_secs(300));
    }

    #[test]
    fn where_takes_places_south_and_west_of_zero() {
        let cli = Cli::parse_from("datanaut where -33.45 -70.66 --accuracy 50 --json".split(' '));
        let Some(Command::Where(args)) = cli.command else { panic!("not a place") };
        assert_eq!((args.lat, args.lon, args.accuracy, args.json), (-33.45, -70.66, 50.0, true));
    }

    #[test]
    fn speeds_and_brokers_that_make_no_sense_are_refused() {
        for speed in ["0", "-1", "NaN", "inf", "fast"] {
            assert!(speed.parse::<Speed>().is_err(), "{speed}");
        }
        assert_eq!("max".parse(), Ok(Speed(f64::INFINITY)));
        for url in ["127.0.0.1", "mqtts://h", "mqtt://", "mqtt://u:p@h", "mqtt://h:0", "mqtt://h:x"]
        {
            assert!(url.parse::<BrokerUrl>().is_err(), "{url}");
        }
        assert_eq!(
            "mqtt://[::1]:1884".parse(),
            Ok(BrokerUrl { host: "[::1]".to_owned(), port: 1884 })
        );
        assert_eq!("mqtt://[::1]".parse(), Ok(BrokerUrl { host: "[::1]".to_owned(), port: 1883 }));
    }
}
