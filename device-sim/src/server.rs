//! The server's own word: its totals and clock over HTTP, and what it costs where it can be seen.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::forecast::WeatherClock;
use crate::options::ClockStart;

/// Why the server's word could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{url}: {error}")]
    Http { url: String, error: Box<ureq::Error> },
    #[error("{0} does not say what its clock shows")]
    NoClock(String),
    #[error("{0} does not say who it is at /v1/status: give the HTTP side of a Datanaut server")]
    NoIdentity(String),
    #[error("{0} has no datanaut_readings_received_total")]
    NoTotals(String),
}

/// Totals in readings, from `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    pub received: f64,
    pub stored: f64,
    pub duplicate: f64,
    pub quarantined: f64,
    pub refused: f64,
}

impl Totals {
    /// What came in since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            received: self.received - before.received,
            stored: self.stored - before.stored,
            duplicate: self.duplicate - before.duplicate,
            quarantined: self.quarantined - before.quarantined,
            refused: self.refused - before.refused,
        }
    }

    /// So many readings are there.
    pub(crate) fn has(self, readings: u64) -> bool {
        self.stored + self.duplicate >= readings as f64
    }

    /// Every reading received has its outcome.
    pub(crate) fn balanced(self) -> bool {
        self.received == self.stored + self.duplicate + self.quarantined + self.refused
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server's clock is watched to learn how fast it goes.
const WATCH: Duration = Duration::from_secs(2);

/// A server's HTTP side, such as `http://127.0.0.1:8080`. Its calls block.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    base: String,
}

#[derive(Deserialize)]
struct Status {
    now: Timestamp,
}

/// Who the server is.
#[derive(Deserialize)]
pub(crate) struct Identity {
    pub(crate) version: String,
    /// Where its own broker listens.
    pub(crate) mqtt: SocketAddr,
}

impl Server {
    pub(crate) fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned() }
    }

    fn get(&self, path: &str) -> Result<String, ServerError> {
        let url = format!("{}{path}", self.base);
        let request = ureq::get(&url).config().timeout_global(Some(TIMEOUT)).build();
        let answer = request.call().and_then(|mut answer| answer.body_mut().read_to_string());
        answer.map_err(|error| ServerError::Http { url, error: Box::new(error) })
    }

    pub(crate) fn totals(&self) -> Result<Totals, ServerError> {
        let text = self.get("/metrics")?;
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for line in text.lines() {
            if let Some((sample, value)) = line.rsplit_once(' ')
                && let Ok(value) = value.parse::<f64>()
            {
                let name = sample.split('{').next().unwrap_or(sample);
                *sums.entry(name).or_default() += value;
            }
        }
        let sum = |what: &str| sums.get(&*format!("datanaut_readings_{what}_total")).copied();
        Ok(Totals {
            received: sum("received").ok_or_else(|| ServerError::NoTotals(self.base.clone()))?,
            stored: sum("stored").unwrap_or_default(),
            duplicate: sum("duplicate").unwrap_or_default(),
            quarantined: sum("quarantined").unwrap_or_default(),
            refused: sum("refused").unwrap_or_default(),
        })
    }

    /// What the server's clock shows, and how fast it runs.
    pub(crate) fn clock(&self) -> Result<(ClockStart, f64), ServerError> {
        let first = self.now()?;
        std::thread::sleep(WATCH);
        let second = self.now()?;
        let ms = (second.ms - first.ms) as f64;
        let speed = ms / 1e3 / (second.instant - first.instant).as_secs_f64();
        // Nobody sets a clock to run 1.003 times as fast.
        let whole = speed.round().max(1.0);
        Ok((second, if (speed / whole - 1.0).abs() < 0.02 { whole } else { speed }))
    }

    pub(crate) fn identity(&self) -> Result<Identity, ServerError> {
        serde_json::from_str(&self.get("/v1/status")?)
            .map_err(|_| ServerError::NoIdentity(self.base.clone()))
    }

    fn now(&self) -> Result<ClockStart, ServerError> {
        let status: Status = serde_json::from_str(&self.get("/v1/status")?)
            .map_err(|_| ServerError::NoClock(self.base.clone()))?;
        Ok(ClockStart { ms: status.now.as_millisecond(), instant: Instant::now() })
    }
}

/// The clock of the server whose HTTP side is at `url`. Takes two seconds, and blocks.
///
/// # Errors
/// When it does not answer.
pub fn server_clock(url: &str) -> Result<WeatherClock, ServerError> {
    let (at, speed) = Server::new(url).clock()?;
    Ok(WeatherClock { at, speed })
}

/// What a process was seen to use during a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Before anything happened.
    pub at_start_mb: f64,
    /// Second by second.
    pub usage: Vec<Usage>,
}

impl Seen {
    /// Another process that did the same.
    pub(crate) fn add(&mut self, other: Self) {
        self.at_start_mb += other.at_start_mb;
        if self.usage.len() < other.usage.len() {
            self.usage.resize(other.usage.len(), Usage::default());
        }
        for (sum, part) in self.usage.iter_mut().zip(other.usage) {
            sum.cpu_pct += part.cpu_pct;
            sum.resident_mb += part.resident_mb;
        }
    }

    /// By how much it grew, for each of so many connections.
    pub(crate) fn kb_per_connection(&self, connections: u64) -> Option<f64> {
        let most_mb = self.usage.iter().map(|usage| usage.resident_mb).fold(0.0, f64::max);
        let grown_kb = (most_mb - self.at_start_mb) * 1024.0;
        (!self.usage.is_empty()).then(|| grown_kb / connections.max(1) as f64)
    }
}

/// What a process used in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Of one processor, in per cent.
    pub cpu_pct: f64,
    pub resident_mb: f64,
}

/// A process of this machine, looked at through `/proc` (Linux).
#[derive(Debug)]
pub(crate) struct Process {
    folder: PathBuf,
    before: Option<(Instant, f64)>,
}

/// The unit of processor times in `/proc`, fixed for user space.
const TICKS_PER_S: f64 = 100.0;

impl Process {
    pub(crate) fn own() -> Self {
        Self { folder: "/proc/self".into(), before: None }
    }

    /// The process that listens on this port, if it is ours to see.
    pub(crate) fn listening_on(port: u16) -> Option<Self> {
        let inode = listening_inode(port)?;
        let wanted = format!("socket:[{inode}]");
        for folder in std::fs::read_dir("/proc").ok()?.flatten() {
            let Ok(files) = std::fs::read_dir(folder.path().join("fd")) else { continue };
            for file in files.flatten() {
                if std::fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == &*wanted) {
                    return Some(Self { folder: folder.path(), before: None });
                }
            }
        }
        None
    }

    /// The memory it has now.
    pub(crate) fn resident_mb(&self) -> Option<f64> {
        let status = std::fs::read_to_string(self.folder.join("status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(resident.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
    }

    /// What it has used since the last call.
    pub(crate) fn usage(&mut self) -> Option<Usage> {
        let stat = std::fs::read_to_string(self.folder.join("stat")).ok()?;
        // The name, in parentheses, may hold anything; user and system time are the 12th and 13th
        // words after it.
        let mut words = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || words.next()?.parse::<f64>().ok();
        let cpu_s = (ticks()? + ticks()?) / TICKS_PER_S;
        let resident_mb = self.resident_mb()?;
        let now = Instant::now();
        let before = self.before.replace((now, cpu_s));
        let (then, before_s) = before?;
        let seconds = (now - then).as_secs_f64().max(1e-3);
        Some(Usage { cpu_pct: (cpu_s - before_s) / seconds * 100.0, resident_mb })
    }
}

/// The inode of the socket that listens on a port.
fn listening_inode(port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            let [_, local, _, state, _, _, _, _, _, inode, ..] = words[..] else { continue };
            let its_port =
                local.rsplit_once(':').and_then(|(_, p)| u16::from_str_radix(p, 16).ok());
            if state == LISTEN && its_port == Some(port) {
                return inode.parse().ok();
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn who_listens_on_a_port_is_found_and_measured() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut found = Process::listening_on(listener.local_addr().unwrap().port()).unwrap();
        assert!(found.usage().is_none(), "nothing to compare with yet");
        let usage = found.usage().unwrap();
        assert!(usage.resident_mb > 0.5 && usage.cpu_pct >= 0.0);
    }
}
