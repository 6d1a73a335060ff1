//! `datanaut replay`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Kind;

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
    use std::time::Duration;

    use clap::Parser;

    use super::{At, BrokerUrl, Speed};
    use crate::cli::{Cli, Command};

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
