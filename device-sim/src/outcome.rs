//! All that a scenario's run showed: what is printed, kept as JSON and drawn as a page.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::report::{Latency, Report};
use crate::scenario::LimitSpec;
use crate::server::{Totals, Usage};
use crate::setup::Setup;
use crate::stats::Second;
use crate::verify::Verdict;

/// A run of a scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    pub scenario: String,
    pub about: String,
    pub passed: bool,
    pub checks: Vec<Check>,
    pub warnings: Vec<String>,
    pub started_at: Timestamp,
    pub seed: u64,
    pub scale: f64,
    /// Repeats the run.
    pub command: String,
    pub machine: Machine,
    /// Nothing in reports of older versions.
    #[serde(default)]
    pub setup: Option<Setup>,
    pub warm_up_s: f64,
    pub report: Report,
    pub verdict: Option<Verdict>,
    pub server: Option<ServerSide>,
    pub seconds: Vec<Second>,
    /// The simulator's own cost, second by second, over all its processes.
    pub own_usage: Vec<Usage>,
    /// Memory that a connection with its device took, the run's own books included.
    #[serde(default)]
    pub own_kb_per_connection: Option<f64>,
}

/// What the server says, and costs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ServerSide {
    /// What came in during the run, if it has `/metrics`.
    pub totals: Option<Totals>,
    /// Whether all it ever received has its outcome.
    pub balanced: Option<bool>,
    /// Empty where its process cannot be seen.
    pub usage: Vec<Usage>,
    /// Memory that a connection took, with all that the server remembers of its device.
    #[serde(default)]
    pub kb_per_connection: Option<f64>,
}

/// Where the run took place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub os: String,
    pub cpu: String,
    pub cores: usize,
    pub memory_gb: f64,
    pub version: String,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kb = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        let release = read("/proc/sys/kernel/osrelease");
        Self {
            os: format!("{} {}", std::env::consts::OS, release.trim()).trim().to_owned(),
            cpu: field(&read("/proc/cpuinfo"), "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            memory_gb: (kb.unwrap_or_default() / 1024.0 / 1024.0 * 10.0).round() / 10.0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { os, cpu, cores, memory_gb, .. } = self;
        write!(f, "{cpu}, {cores} cores, {memory_gb} GB, {os}")
    }
}

/// Something that had to hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub what: String,
    pub value: String,
    pub limit: String,
    pub passed: bool,
}

impl Check {
    fn at_most(what: &str, value: f64, limit: f64, unit: &str) -> Self {
        Self {
            what: what.into(),
            value: format!("{}{unit}", figure(value)),
            limit: format!("at most {}{unit}", figure(limit)),
            passed: value <= limit,
        }
    }

    fn at_least(what: &str, value: f64, limit: f64) -> Self {
        Self {
            what: what.into(),
            value: figure(value),
            limit: format!("at least {}", figure(limit)),
            passed: value >= limit,
        }
    }

    fn holds(what: &str, passed: bool, value: String) -> Self {
        Self { what: what.into(), value, limit: "must hold".into(), passed }
    }
}

/// Without decimals that say nothing.
pub(crate) fn figure(value: f64) -> String {
    let text = if value.abs() >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.4}") };
    let trimmed =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    trimmed.to_owned()
}

/// Messages were made so late at the 99th percentile: the latencies are the simulator's as well.
const LAG_LIMIT_MS: f64 = 10.0;
/// With fewer, what a process takes anyway would be most of what a connection seems to take.
const MANY_CONNECTIONS: u64 = 1_000;
/// Share of all processors beyond which the simulator has little left.
const BUSY_SHARE: f64 = 0.9;

impl Outcome {
    /// Compares the run with what had to hold.
    pub(crate) fn judge(&mut self, limits: &LimitSpec) {
        self.checks = self.checks_of(limits);
        self.warnings = self.warnings_of();
        self.passed = self.checks.iter().all(|check| check.passed);
    }

    fn checks_of(&self, limits: &LimitSpec) -> Vec<Check> {
        let report = &self.report;
        let mut checks = vec![Check::holds(
            "connected to the broker",
            report.connects > 0,
            format!("{} times", report.connects),
        )];
        if let Some(limit) = limits.acknowledged {
            let share = report.acknowledged as f64 / report.offered.max(1) as f64;
            checks.push(Check::at_least("share of messages acknowledged", share, limit));
        }
        if let Some(limit) = limits.lost_connections {
            let lost = report.lost_connections as f64;
            checks.push(Check::at_most("connections lost", lost, limit as f64, ""));
        }
        let p99_ms = |latency: &Option<Latency>| latency.map_or(f64::INFINITY, |l| l.p99_ms);
        if let Some(limit) = limits.puback_p99_ms {
            let value = p99_ms(&report.latency);
            checks.push(Check::at_most("PUBACK, 99th percentile", value, limit, " ms"));
        }
        if let Some(verdict) = &self.verdict {
            for (product, score) in &verdict.products {
                if let (Some(limit), Some(latency)) = (limits.trigger_p99_ms, score.latency) {
                    let what = format!("publish to trigger, {product}, 99th percentile");
                    checks.push(Check::at_most(&what, latency.p99_ms, limit, " ms"));
                }
                let what = |name: &str| format!("{name}, {product}");
                if let Some(limit) = limits.precision {
                    checks.push(Check::at_least(&what("precision"), score.precision, limit));
                }
                if let Some(limit) = limits.recall {
                    checks.push(Check::at_least(&what("recall"), score.recall, limit));
                }
                let doubled = score.doubled as f64;
                checks.push(Check::at_most(&what("told under two ids"), doubled, 0.0, ""));
            }
            let wrong = verdict.unreadable + verdict.contradictory;
            checks.push(Check::at_most("messages not as documented", wrong as f64, 0.0, ""));
        }
        if let Some(server) = &self.server {
            checks.extend(server.checks(report));
        }
        checks
    }

    /// How late one in a hundred messages was made at least, where that is too late to believe the latencies.
    pub(crate) fn limited_by_itself(&self) -> Option<f64> {
        self.report.lag.map(|lag| lag.p99_ms).filter(|p99_ms| *p99_ms > LAG_LIMIT_MS)
    }

    fn warnings_of(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(late_ms) = self.limited_by_itself() {
            warnings.push(format!(
                "the simulator itself was the limit: 1 % of messages were made {late_ms:.0} ms late or \
                 more, so latencies are too high; use more processes, or another machine"
            ));
        }
        let cores = self.machine.cores as f64;
        let server = self.server.iter().flat_map(|server| &server.usage);
        let all: Vec<_> = self
            .own_usage
            .iter()
            .zip(server.chain(std::iter::repeat(&Usage::default())))
            .map(|(own, server)| own.cpu_pct + server.cpu_pct)
            .collect();
        let busy = all.iter().filter(|pct| **pct > BUSY_SHARE * 100.0 * cores).count();
        if busy * 10 > all.len() && !all.is_empty() {
            warnings.push(format!(
                "simulator and server took more than {:.0} % of this machine's processors in {busy} \
                 of {} seconds: they slow each other down",
                BUSY_SHARE * 100.0,
                all.len()
            ));
        }
        if self.report.unwritten > 0 {
            warnings.push("the file of acknowledged messages has holes".into());
        }
        warnings
    }
}

impl ServerSide {
    fn checks(&self, report: &Report) -> Vec<Check> {
        let mut checks = Vec::new();
        if let Some(balanced) = self.balanced {
            let value = if balanced { "yes" } else { "no" };
            let what = "received = stored + duplicate + quarantined + refused";
            checks.push(Check::holds(what, balanced, value.into()));
        }
        if let Some(totals) = self.totals {
            let what = "readings acknowledged that the server has";
            let there = (totals.stored + totals.duplicate).min(report.readings as f64);
            let value = format!("{} of {}", figure(there), report.readings);
            checks.push(Check::holds(what, totals.has(report.readings), value));
        }
        checks
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "scenario        {} (seed {}, scale {})",
            self.scenario, self.seed, self.scale
        )?;
        writeln!(f, "machine         {}", self.machine)?;
        write!(f, "{}", self.report)?;
        if let Some(verdict) = &self.verdict {
            write!(f, "{verdict}")?;
        }
        if let Some(server) = &self.server {
            if let Some(t) = server.totals {
                writeln!(
                    f,
                    "server          {} received = {} stored + {} duplicate + {} quarantined + {} \
                     refused",
                    t.received, t.stored, t.duplicate, t.quarantined, t.refused
                )?;
            }
            if let Some((cpu_pct, resident_mb)) = mean_and_most(&server.usage) {
                writeln!(f, "                {cpu_pct:.0} % of a processor, {resident_mb:.0} MB")?;
            }
        }
        if self.report.connections >= MANY_CONNECTIONS {
            let server_kb = self.server.as_ref().and_then(|server| server.kb_per_connection);
            for (who, kb) in [("simulator", self.own_kb_per_connection), ("server", server_kb)] {
                if let Some(kb) = kb {
                    writeln!(f, "{who:<16}{kb:.1} kB a connection")?;
                }
            }
        }
        for check in &self.checks {
            let sign = if check.passed { "ok  " } else { "FAIL" };
            writeln!(f, "{sign} {}: {} ({})", check.what, check.value, check.limit)?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        writeln!(f, "repeat with     {}", self.command)?;
        writeln!(f, "{}", if self.passed { "passed" } else { "FAILED" })
    }
}

/// Mean processor use, and the most memory.
pub(crate) fn mean_and_most(usage: &[Usage]) -> Option<(f64, f64)> {
    let mean = usage.iter().map(|u| u.cpu_pct).sum::<f64>() / usage.len() as f64;
    let most = usage.iter().map(|u| u.resident_mb).fold(0.0, f64::max);
    (!usage.is_empty()).then_some((mean, most))
}

#[cfg(test)]
mod tests;
