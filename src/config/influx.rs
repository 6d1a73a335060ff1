//! The output of readings to an InfluxDB 2.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use deliver::influx::{InfluxOptions, InfluxUrl};

use super::validate::{Wrong, wrong};
use super::{Config, duration_text, from_text};

const LARGEST_BATCH: usize = 50_000;
const LONGEST_AGE: Duration = Duration::from_mins(10);
const TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_mins(10);

/// The `[influx]` table.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Influx {
    #[serde(deserialize_with = "from_text")]
    url: InfluxUrl,
    org: String,
    bucket: String,
    /// `None`: no token is sent.
    #[serde(default)]
    pub(crate) token_file: Option<PathBuf>,
    #[serde(default = "default_batch_readings")]
    batch_readings: usize,
    /// How long a reading waits for others.
    #[serde(default = "default_batch_age", deserialize_with = "duration_text")]
    batch_age: Duration,
    #[serde(default = "default_timeout", deserialize_with = "duration_text")]
    timeout: Duration,
    /// Most that is kept while it is away, in 1,000,000 bytes.
    #[serde(default = "default_backlog_mb")]
    backlog_mb: u64,
    /// Whether it is asked to delete what may not be kept any more.
    #[serde(default = "default_delete")]
    pub(crate) delete: bool,
}

/// What InfluxData recommends.
fn default_batch_readings() -> usize {
    5_000
}

fn default_batch_age() -> Duration {
    Duration::from_secs(1)
}

fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

fn default_backlog_mb() -> u64 {
    4_000
}

fn default_delete() -> bool {
    true
}

impl Influx {
    /// # Errors
    /// When the token cannot be read.
    pub(crate) fn options(&self) -> Result<InfluxOptions> {
        let token = match &self.token_file {
            Some(file) => {
                let name = file.display();
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("cannot read the token in {name}"))?;
                match text.lines().next().map(str::trim) {
                    Some(token) if !token.is_empty() => token.to_owned(),
                    _ => bail!("{name}: its first line has no token"),
                }
            }
            None => String::new(),
        };
        Ok(InfluxOptions {
            url: self.url.clone(),
            org: self.org.clone(),
            bucket: self.bucket.clone(),
            token,
            batch_readings: self.batch_readings,
            batch_age: self.batch_age,
            timeout: self.timeout,
            delete: self.delete,
        })
    }

    pub(crate) fn backlog_bytes(&self) -> u64 {
        self.backlog_mb.saturating_mul(1_000_000)
    }

    pub(super) fn validate(&self) -> Result<(), Wrong> {
        for (key, name) in [("influx.org", &self.org), ("influx.bucket", &self.bucket)] {
            if name.trim().is_empty() {
                return wrong(key, "is empty: give the name it has in InfluxDB");
            }
        }
        if !(1..=LARGEST_BATCH).contains(&self.batch_readings) {
            return wrong("influx.batch_readings", format!("must be from 1 to {LARGEST_BATCH}"));
        }
        if self.batch_age > LONGEST_AGE {
            return wrong("influx.batch_age", "must be at most 10m");
        }
        if !TIMEOUT.contains(&self.timeout) {
            return wrong("influx.timeout", "must be from 1s to 10m");
        }
        if self.backlog_mb == 0 {
            return wrong("influx.backlog_mb", "0 would keep nothing while InfluxDB is away");
        }
        Ok(())
    }
}

/// What `datanaut check` says.
pub(crate) fn summary(config: &Config) -> Option<String> {
    let Influx { url, org, bucket, batch_readings, batch_age, backlog_mb, .. } =
        config.influx.as_ref()?;
    Some(format!(
        "influx   {url}, bucket {bucket} of {org}, {batch_readings} readings or {batch_age:?} a \
         request, at most {backlog_mb} MB kept for it"
    ))
}
