//! Weather as the configuration wants it: what the core looks rows up in, and what asks for them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use enrich::trigger::sha256_hex;
use enrich::weather::{Feed, Reach, Rows, Synthetic};
use ingest::Clock;
use ingest::weather::{
    Brought, Cell, Desk, FeedOptions, FeedStatuses, FeedThread, HOUR_MS, Kind, Needs, file,
};
use journal::{Journal, WeatherAnswer};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, Feeds, WeatherFeed};

/// Weather is asked ahead of need where a device was heard of this long ago.
const HEARD_MS: i64 = HOUR_MS;

const TIMEOUT: Duration = Duration::from_secs(10);

/// What the core looks rows up in, and its name in what is recorded. Files are read whole here:
/// they are as fixed as the rules, and named by their content.
pub(crate) fn feed(config: &Config) -> Result<(Feed, String)> {
    let feeds = match &config.weather.feed {
        Feeds::Synthetic => {
            let seed = config.weather.seed;
            return Ok((Feed::Synthetic(Synthetic::new(seed)), format!("synthetic {seed}")));
        }
        Feeds::None => return Ok((Feed::None, "none".to_owned())),
        Feeds::Named(feeds) => feeds,
    };
    let reach = |feed: &WeatherFeed| {
        let (past_ms, ahead_ms) = feed.kind.live().map_or((0, 0), Kind::reach_ms);
        Reach { source: feed.name().into(), past_ms, ahead_ms }
    };
    let mut rows = Rows::new(feeds.iter().map(reach).collect());
    let mut names = Vec::new();
    for feed in feeds {
        match &feed.path {
            Some(path) if feed.kind.live().is_none() => {
                let shown = path.display();
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the weather file {shown}"))?;
                let parsed = file::parse(&text, feed.name())
                    .with_context(|| format!("the weather file {shown}"))?;
                if !parsed.dropped.is_empty() {
                    let dropped = format!("{:?}", parsed.dropped);
                    tracing::warn!(file = %shown, dropped, "left out values that cannot be");
                }
                // What was forecast was known from its issue on, what was observed always.
                for series in &parsed.series {
                    let observed = series.hours.iter().all(|hour| hour.observed);
                    rows.learn(series, if observed { i64::MIN } else { series.issued_ms });
                }
                names.push(format!("{} {}", feed.name(), &sha256_hex(text.as_bytes())[..16]));
            }
            _ => names.push(feed.name().to_owned()),
        }
    }
    Ok((Feed::Rows(rows), names.join(", ")))
}

/// The feeds that are being asked; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) statuses: FeedStatuses,
    waker: JoinHandle<()>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.waker.abort();
    }
}

/// Starts to ask the live feeds for what is needed.
pub(crate) fn ask(config: &Config, journal: &Journal, clock: &Clock) -> Result<Asking> {
    let statuses = FeedStatuses::default();
    let mut threads = Vec::new();
    if let Feeds::Named(feeds) = &config.weather.feed {
        for feed in feeds {
            let Some(kind) = feed.kind.live() else { continue };
            let options = options(feed, kind, journal)?;
            let (past_ms, ahead_ms) = kind.reach_ms();
            let wanted = journal.live().weather_wanted();
            let counter = Counter { journal: journal.clone(), wanted, past_ms, ahead_ms };
            let thread = FeedThread::start(options, clock.clone(), counter, statuses.clone());
            threads.push(thread.context("no thread is left for a weather feed")?);
        }
    }
    let mut wanted = journal.live().weather_wanted();
    let waker = tokio::spawn(async move {
        while wanted.changed().await.is_ok() {
            threads.iter().for_each(FeedThread::wake);
        }
    });
    Ok(Asking { statuses, waker })
}

fn options(feed: &WeatherFeed, kind: Kind, journal: &Journal) -> Result<FeedOptions> {
    let key = match &feed.key_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the key of {}", feed.name()))?;
            Some(text.lines().next().unwrap_or_default().trim().to_owned())
        }
    };
    let mut limits = kind.limits();
    limits.a_day = feed.requests_a_day.unwrap_or(limits.a_day);
    if let Some(refresh) = feed.refresh {
        limits.refresh_ms = refresh.as_millis() as i64;
    }
    let ours = || concat!("datanaut/", env!("CARGO_PKG_VERSION")).to_owned();
    let ledger = journal.reader().weather_ledger(feed.name());
    let whole = journal.reader().weather_answer(feed.name());
    Ok(FeedOptions {
        name: feed.name().into(),
        kind,
        url: feed.url.clone().unwrap_or_else(|| kind.url().to_owned()),
        user_agent: feed.user_agent.clone().unwrap_or_else(ours),
        key,
        limits,
        timeout: feed.timeout.unwrap_or(TIMEOUT),
        ledger: ledger.context("what the weather feeds had asked")?.unwrap_or_default(),
        whole: whole.context("what the weather feeds had answered")?.unwrap_or_default(),
    })
}

/// Where feeds hear what is needed and hand in what they got: the journal.
struct Counter {
    journal: Journal,
    wanted: watch::Receiver<Vec<(Cell, i64)>>,
    past_ms: i64,
    ahead_ms: i64,
}

impl Desk for Counter {
    fn needs(&self, now_ms: i64) -> Needs {
        let reach = now_ms - self.past_ms..=now_ms + self.ahead_ms;
        let wanted = self.wanted.borrow();
        let waiting = wanted.iter().filter(|(_, time_ms)| reach.contains(time_ms)).copied();
        Needs {
            waiting: waiting.collect(),
            ahead: self.journal.live().cells_heard_of(now_ms - HEARD_MS),
        }
    }

    fn take(&self, feed: &Arc<str>, brought: Brought) -> bool {
        let Brought { series, ledger, whole } = brought;
        let answer = WeatherAnswer { feed: feed.clone(), series, ledger, whole };
        self.journal.blocking_weather(answer).is_ok()
    }
}
