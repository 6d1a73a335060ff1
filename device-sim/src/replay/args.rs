//! The flags of a replay, for whichever command line has one.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::SignedDuration;

use crate::broker::Broker;
use crate::options::Protocol;
use crate::reading::Kind;

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The recording
    pub(super) file: PathBuf,
    /// What the file is; by default told by its ending (.gpx, .rec, .csv, .jsonl, .geojson)
    #[arg(long)]
    pub(super) format: Option<Format>,
    /// Publish this many times as fast as recorded; `max` = as fast as the broker acknowledges
    #[arg(long, value_name = "N|max", default_value = "1")]
    pub(super) speed: Speed,
    /// The device that sends: a device id of the registry, for OwnTracks also USER/DEVICE
    #[arg(long = "as", value_name = "DEVICE")]
    pub(super) device: String,
    /// The broker, as mqtt://host:port, or mqtts://host:port with TLS
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883")]
    pub(super) broker: Broker,
    /// Trust the authorities in this file (PEM) instead of those that browsers trust
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// The version of MQTT: 3.1.1 or 5
    #[arg(long, default_value = "3.1.1")]
    pub(super) mqtt: Protocol,
    /// Login at the broker
    #[arg(long)]
    pub(super) user: Option<String>,
    /// Beware: other users of this machine see it in the list of processes
    #[arg(long, requires = "user")]
    pub(super) password: Option<String>,
    /// The kind in the topic; by default what DEVICE begins with (car-07 is a car), else tracker
    #[arg(long)]
    pub(super) kind: Option<Kind>,
    /// Accuracy to report for tracks, which record none
    #[arg(long, value_name = "METRES", default_value_t = 10.0)]
    pub(super) accuracy_m: f64,
    /// 0, 1 or 2; only from 1 on does the broker acknowledge
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(super) qos: u8,
    /// `now` shifts all times so that the track ends now; `recorded` leaves them as they are
    #[arg(long, default_value = "now")]
    pub(super) at: At,
    /// Give up when the broker acknowledges nothing for this long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(super) timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Gpx,
    Owntracks,
    Csv,
    Jsonl,
    Geojson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum At {
    Now,
    Recorded,
}

/// How many times as fast as recorded; infinite for `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Speed(pub(super) f64);

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

fn duration(text: &str) -> Result<Duration, String> {
    let advice = || format!("`{text}` is no duration: give for example 90s, 15m or 2h");
    let signed: SignedDuration = text.parse().map_err(|_| advice())?;
    Duration::try_from(signed).map_err(|_| advice())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{At, Speed};
    use crate::options::Protocol;
    use crate::replay::tests::{args, try_args};

    #[test]
    fn the_flags_are_read() {
        let args = args("t.gpx --format gpx --speed 60 --as car-01 --timeout 5m --mqtt 5");
        assert_eq!((args.speed, args.at, args.qos), (Speed(60.0), At::Now, 1));
        assert_eq!(args.broker.to_string(), "mqtt://127.0.0.1:1883");
        assert_eq!((args.timeout, args.mqtt), (Duration::from_secs(300), Protocol::V5));
    }

    #[test]
    fn flags_that_make_no_sense_are_refused() {
        for speed in ["0", "-1", "NaN", "inf", "fast"] {
            assert!(speed.parse::<Speed>().is_err(), "{speed}");
        }
        assert_eq!("max".parse(), Ok(Speed(f64::INFINITY)));
        for flags in ["--timeout soon", "--mqtt 5=1,3.1.1=1", "--broker 127.0.0.1", "--qos 3"] {
            assert!(try_args(&format!("t.gpx --as car-01 {flags}")).is_err(), "{flags}");
        }
    }
}
