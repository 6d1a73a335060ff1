//! `datanaut bench`.

use clap::{Args, ValueEnum};

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
