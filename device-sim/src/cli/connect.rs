//! What all commands that talk to a broker have in common.

use std::fs::{File, OpenOptions};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use device_sim::{Broker, Login, Mix, Options, Protocol, Qos, Report, Tls};

#[derive(Args)]
pub(crate) struct Connect {
    /// The broker, as mqtt://host:port, or mqtts://host:port with TLS
    #[arg(long, default_value = "mqtt://127.0.0.1:1883")]
    pub(crate) broker: Broker,
    /// Trust the authorities in this file (PEM) instead of those that browsers trust
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The version of MQTT: 5, 3.1.1, or both by their shares as in 5=3,3.1.1=1
    /// [default: 5]
    #[arg(long)]
    pub(crate) mqtt: Option<Mix<Protocol>>,
    /// 0, 1, 2, or several by their shares as in 0=1,1=8,2=1
    /// [default: 1]
    #[arg(long)]
    pub(crate) qos: Option<Mix<Qos>>,
    /// Connect from these addresses in turn, as in 127.0.0.2,127.0.0.3
    #[arg(long, value_delimiter = ',', value_name = "ADDRESSES")]
    pub(crate) sources: Vec<IpAddr>,
    /// The same seed gives the same devices, and the same faults [default: 1]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Log in as this user on all connections; without it, each with its device's id as username
    #[arg(long, conflicts_with = "anonymous")]
    pub(crate) username: Option<String>,
    /// The password that goes with the username or, without one, with every device id
    #[arg(long, conflicts_with = "anonymous")]
    pub(crate) password: Option<String>,
    /// Log in without a username
    #[arg(long)]
    pub(crate) anonymous: bool,
    /// Unacknowledged messages a connection may have, 1 to 100 [default: 50]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) window: Option<u16>,
    /// New connections a second while they come up [default: 350]
    #[arg(long, value_parser = parse_connect_rate, value_name = "RATE")]
    pub(crate) connect_rate: Option<f64>,
}

fn parse_connect_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.1..=1e6).contains(rate));
    rate.ok_or_else(|| "give 0.1 to 1000000 connections a second".into())
}

impl Connect {
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or(1)
    }

    pub(crate) fn options(&self) -> Result<Options> {
        let mut options = Options::new(self.broker.clone());
        options.tls = match self.broker.tls {
            true => Some(Tls::new(self.ca_file.as_deref())?),
            false => None,
        };
        if let Some(protocol) = &self.mqtt {
            options.protocol = protocol.clone();
        }
        if let Some(qos) = &self.qos {
            options.qos = qos.clone();
        }
        options.sources = self.sources.clone();
        options.window = self.window.unwrap_or(options.window);
        options.connect_rate = self.connect_rate.unwrap_or(options.connect_rate);
        options.seed = self.seed();
        options.login = match (&self.username, &self.password) {
            _ if self.anonymous => Login::Anonymous,
            (None, password) => Login::Device { password: password.clone() },
            (Some(name), Some(password)) => {
                Login::User { name: name.clone(), password: password.clone() }
            }
            (Some(_), None) => bail!("--username needs --password"),
        };
        Ok(options)
    }
}

pub(crate) fn seconds(seconds: f64) -> Result<Duration> {
    ensure!((0.0..=3.2e7).contains(&seconds), "{seconds} seconds: give 0 to 32000000 (a year)");
    Ok(Duration::from_secs_f64(seconds))
}

pub(crate) fn append_to(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| format!("cannot append to {}", path.display()))
}

pub(crate) fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

pub(crate) fn ensure_connected(report: &Report) -> Result<()> {
    if report.connects == 0 {
        let error = report.last_error.as_deref().unwrap_or("no connection was up in time");
        bail!("never connected to the broker: {error}");
    }
    Ok(())
}

/// Completes when the process is asked to stop.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without signals, the process just ends.
    tokio::signal::ctrl_c().await.ok();
}
