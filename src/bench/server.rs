//! The server under test: this program, as a process of its own with made-up devices.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What the servers' clocks show when they start: the figures do not depend on the hour of the
/// day.
pub(super) const NOON: &str = "2026-03-02T12:00:00Z";
pub(super) const NOON_MS: i64 = 1_772_452_800_000;

/// How long a start may take: a large registry is checked and written the first time.
const START: Duration = Duration::from_secs(120);

/// Ticks of `/proc/PID/stat` a second, on every Linux.
const TICKS: f64 = 100.0;

pub(super) struct Server {
    child: Child,
    http: SocketAddr,
    /// Where devices publish.
    pub(super) mqtt: SocketAddr,
}

/// Cars of this many customers with a travel policy; `prefix` and six digits each.
pub(super) fn registry(fleets: &[(&str, usize)]) -> String {
    let mut text = "[[insurer]]\nid = \"bench\"\nname = \"Bench\"\n".to_owned();
    for (prefix, count) in fleets {
        text += &format!(
            "[[fleet]]\nprefix = \"{prefix}\"\nkind = \"car\"\ncount = {count}\ndigits = 6\n\
             insurer = \"bench\"\nproducts = [\"travel\"]\nsince = \"2020-01-01T00:00:00Z\"\n\
             home = \"NL\"\nwording = \"1\"\n"
        );
    }
    text
}

impl Server {
    /// With an embedded broker, or with a collector on another one.
    pub(super) fn start(
        dir: &Path,
        fleets: &[(&str, usize)],
        collect_from: Option<SocketAddr>,
    ) -> Result<Self> {
        let registry_file = dir.join("registry.toml");
        std::fs::write(&registry_file, registry(fleets))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--no-sim", "--http", "127.0.0.1:0", "--log", "error"]);
        command.args(["--clock-start", NOON]).arg("--registry").arg(registry_file);
        command.arg("--data").arg(dir.join("data"));
        match collect_from {
            Some(broker) => {
                let config = dir.join("datanaut.toml");
                let text = format!(
                    "[mqtt]\nembedded = false\n[[collector]]\nurl = \"mqtt://{broker}\"\n\
                     client_id = \"{COLLECTOR}\"\n"
                );
                std::fs::write(&config, text)?;
                command.arg("--config").arg(config)
            }
            None => command.args(["--port", "0"]),
        };
        let child = command.current_dir(dir).stdout(Stdio::piped()).spawn()?;
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self { child, http: nowhere, mqtt: collect_from.unwrap_or(nowhere) };
        server.read_banner()?;
        server.wait_until_ready()?;
        Ok(server)
    }

    fn read_banner(&mut self) -> Result<()> {
        let out = self.child.stdout.take().context("the server's output")?;
        for line in BufReader::new(out).lines() {
            let line = line?;
            let after = |word: &str| Some(line.split_once(word)?.1.split(' ').next()?.parse());
            if let Some(http) = after("http://") {
                self.http = http.context("the address of the page")?;
            } else if let Some(mqtt) = line.contains("  MQTT ").then(|| after("mqtt://")).flatten()
            {
                self.mqtt = mqtt.context("the address of the broker")?;
            }
            if line.starts_with("Ctrl-C") {
                return Ok(());
            }
        }
        bail!("the server ended before it was up")
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + START;
        let url = format!("http://{}/readyz", self.http);
        while ureq::get(&url).call().is_err() {
            if Instant::now() > deadline {
                bail!("the server was not ready within {} s", START.as_secs());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(super) fn stored(&self) -> Result<u64> {
        let url = format!("http://{}/v1/status", self.http);
        let status: serde_json::Value = ureq::get(&url).call()?.body_mut().read_json()?;
        status["counts"]["stored"].as_u64().context("the totals in /v1/status")
    }

    /// In order, so that what it has acknowledged is known to its broker.
    pub(super) fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().context("cannot run `kill`")?;
        self.child.wait()?;
        Ok(())
    }

    /// Processor time so far, in seconds.
    pub(super) fn processor_s(&self) -> Result<f64> {
        processor_s(self.child.id())
    }

    pub(super) fn resident_mb(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kib.context("the resident size in /proc")? * 1_024.0 / 1e6)
    }
}

/// The name of the session at another broker.
pub(super) const COLLECTOR: &str = "datanaut-bench";

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(super) fn processor_s(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may have blanks.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<f64>).sum();
    Ok(ticks / TICKS)
}

#[cfg(test)]
mod tests {
    use super::{NOON, NOON_MS, processor_s, registry};

    #[test]
    fn noon_is_noon_and_the_made_up_devices_are_known() {
        assert_eq!(NOON.parse::<jiff::Timestamp>().unwrap().as_millisecond(), NOON_MS);
        let entries = enrich::registry::RegistryFile::parse(&registry(&[("car-", 3)])).unwrap();
        let device = |entry: &enrich::registry::Entry| entry.key() == "device/car-000002";
        assert!(entries.iter().any(device));
        assert!(processor_s(std::process::id()).unwrap() >= 0.0);
    }
}
