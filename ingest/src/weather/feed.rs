//! A feed that is asked over HTTP: a thread of its own, so that a slow one holds up nothing else.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::http::{Got, Http, LARGEST_BODY};
use super::metar::Stations;
use super::{
    Cell, Cost, Dropped, Fault, HOUR_MS, Ledger, Limits, Needs, Next, Parsed, Series, met_norway,
    open_meteo, openweather,
};
use crate::Clock;

/// How long to look away at most: devices move into other cells.
const LOOK: Duration = Duration::from_secs(10);

/// Between two requests: far below the 20 a second that MET Norway allows.
const SPACING: Duration = Duration::from_millis(250);

/// METAR's cache of the world is one answer: this cell stands for all.
const WORLD: Cell = Cell { south: i16::MAX, west: i16::MAX };

/// Unpacked, an answer may be this much: what unpacks to more is no weather.
const LARGEST_UNPACKED: u64 = 4 * LARGEST_BODY;

/// The feeds we speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    OpenMeteo,
    MetNorway,
    Metar,
    OpenWeather,
}

impl Kind {
    /// How much it may be asked unless the operator says otherwise: what its free use allows, and
    /// how long its answers stay good.
    #[must_use]
    pub fn limits(self) -> Limits {
        let minute_ms = 60_000;
        match self {
            // 10,000 places a day; a URL of a hundred places has 2 kB.
            Self::OpenMeteo => Limits {
                cells_a_request: 100,
                a_day: 10_000,
                cost: Cost::OneACell,
                refresh_ms: HOUR_MS,
            },
            // No limit a day, but 20 requests a second and only what has expired.
            Self::MetNorway => Limits {
                cells_a_request: 1,
                a_day: 50_000,
                cost: Cost::OneARequest,
                refresh_ms: HOUR_MS,
            },
            // The cache is made anew each minute; reports come each half hour.
            Self::Metar => Limits {
                cells_a_request: 1,
                a_day: 500,
                cost: Cost::OneARequest,
                refresh_ms: 10 * minute_ms,
            },
            Self::OpenWeather => Limits {
                cells_a_request: 1,
                a_day: 1_000,
                cost: Cost::OneARequest,
                refresh_ms: HOUR_MS,
            },
        }
    }

    /// For which hours it has rows: how far back and ahead of now.
    #[must_use]
    pub fn reach_ms(self) -> (i64, i64) {
        match self {
            Self::OpenMeteo => (92 * 24 * HOUR_MS, (open_meteo::FORECAST_DAYS - 1) * 24 * HOUR_MS),
            Self::MetNorway => (HOUR_MS, 60 * HOUR_MS),
            Self::Metar => (2 * HOUR_MS, HOUR_MS / 2),
            Self::OpenWeather => (HOUR_MS, 47 * HOUR_MS),
        }
    }

    /// Where it is, unless the operator says otherwise.
    #[must_use]
    pub fn url(self) -> &'static str {
        match self {
            Self::OpenMeteo => "https://api.open-meteo.com/v1/forecast",
            Self::MetNorway => "https://api.met.no/weatherapi/locationforecast/2.0/complete",
            Self::Metar => "https://aviationweather.gov/data/cache/metars.cache.csv.gz",
            Self::OpenWeather => "https://api.openweathermap.org/data/3.0/onecall",
        }
    }
}

/// How a feed is asked.
#[derive(Clone, Debug)]
pub struct FeedOptions {
    /// In rows and metrics.
    pub name: Arc<str>,
    pub kind: Kind,
    pub url: String,
    pub user_agent: String,
    pub key: Option<String>,
    pub limits: Limits,
    pub timeout: Duration,
    /// What it remembered, from [`Brought::ledger`]. What cannot be read is begun anew.
    pub ledger: Vec<u8>,
    /// The last [`Brought::whole`].
    pub whole: Vec<u8>,
}

/// What a request brought: rows, or the knowledge that there are none.
#[derive(Clone, Debug)]
pub struct Brought {
    pub series: Vec<Series>,
    pub ledger: Vec<u8>,
    /// METAR's cache as it came, packed: it answers for places that are needed later, also after a
    /// restart.
    pub whole: Option<Vec<u8>>,
}

/// What a feed needs to know, and where it brings things.
pub trait Desk: Send + 'static {
    /// What is needed now.
    fn needs(&self, now_ms: i64) -> Needs;
    /// Takes what was brought; false when nobody takes anything any more.
    fn take(&self, feed: &Arc<str>, brought: Brought) -> bool;
}

/// How a feed fares, in totals since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeedStatus {
    pub requests: u64,
    pub not_modified: u64,
    pub hours: u64,
    /// By [`Fault::name`].
    pub faults: BTreeMap<&'static str, u64>,
    pub dropped: Dropped,
    /// What is left of the day's budget.
    pub budget_left: u32,
}

/// How all feeds fare, by name.
#[derive(Clone, Debug, Default)]
pub struct FeedStatuses(Arc<Mutex<BTreeMap<Arc<str>, FeedStatus>>>);

impl FeedStatuses {
    #[must_use]
    pub fn all(&self) -> BTreeMap<Arc<str>, FeedStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, feed: &Arc<str>, change: impl FnOnce(&mut FeedStatus)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(feed.clone()).or_default());
    }
}

/// A running feed. It ends when this is dropped, after the request under way: nobody waits for
/// that.
#[derive(Debug)]
pub struct FeedThread {
    wake: SyncSender<()>,
}

impl FeedThread {
    /// Starts asking.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(
        options: FeedOptions,
        clock: Clock,
        desk: impl Desk,
        statuses: FeedStatuses,
    ) -> std::io::Result<Self> {
        // One wake-up stands for all that come before it is seen.
        let (wake, wakes) = sync_channel(1);
        let feed = Feed::new(options, clock, desk, statuses);
        let builder = std::thread::Builder::new().name("weather".to_owned());
        builder.spawn(move || feed.run(&wakes))?;
        Ok(Self { wake })
    }

    /// Says that something else is needed than before.
    pub fn wake(&self) {
        // Full: it will look anyway.
        self.wake.try_send(()).ok();
    }
}

struct Feed<D> {
    options: FeedOptions,
    http: Http,
    clock: Clock,
    desk: D,
    statuses: FeedStatuses,
    ledger: Ledger,
    in_trouble: bool,
    /// The last cache of METAR, and which of its reports went to which cell.
    stations: Stations,
    /// As it came, until somebody has taken it.
    whole: Option<Vec<u8>>,
    given: HashMap<Cell, i64>,
}

impl<D: Desk> Feed<D> {
    fn new(options: FeedOptions, clock: Clock, desk: D, statuses: FeedStatuses) -> Self {
        let ledger: Ledger = serde_json::from_slice(&options.ledger).unwrap_or_default();
        let left = options.limits.a_day.saturating_sub(ledger.used(clock.now_ms()));
        statuses.update(&options.name, |status| status.budget_left = left);
        let stations = match options.kind {
            Kind::Metar => known_stations(&options.whole),
            Kind::OpenMeteo | Kind::MetNorway | Kind::OpenWeather => Stations::default(),
        };
        Self {
            http: Http::new(&options.user_agent, options.timeout),
            options,
            clock,
            desk,
            statuses,
            ledger,
            in_trouble: false,
            stations,
            whole: None,
            given: HashMap::new(),
        }
    }

    fn run(mut self, wakes: &Receiver<()>) {
        loop {
            let now_ms = self.clock.now_ms();
            let needs = self.desk.needs(now_ms);
            if !self.give_reports(&needs) {
                return;
            }
            let wait =
                match self.ledger.next(&self.options.limits, &self.asked(needs, now_ms), now_ms) {
                    Next::Ask { cells, from_ms } => {
                        if !self.ask(&cells, from_ms) {
                            return;
                        }
                        SPACING
                    }
                    Next::Wait { until_ms } => {
                        self.clock.real(until_ms - now_ms).clamp(SPACING, LOOK)
                    }
                };
            match wakes.recv_timeout(wait) {
                Err(RecvTimeoutError::Disconnected) => return,
                // Not even what is new is asked faster than that.
                Ok(()) => std::thread::sleep(SPACING.min(wait)),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// METAR's cache has everything or nothing.
    fn asked(&self, needs: Needs, now_ms: i64) -> Needs {
        let world = |needed: bool| needed.then_some(WORLD);
        match self.options.kind {
            Kind::Metar => Needs {
                waiting: world(!needs.waiting.is_empty())
                    .map(|world| (world, now_ms))
                    .into_iter()
                    .collect(),
                ahead: world(!needs.ahead.is_empty()).into_iter().collect(),
            },
            Kind::OpenMeteo | Kind::MetNorway | Kind::OpenWeather => needs,
        }
    }

    /// Hands over what stations said about cells that need it and have not got it.
    fn give_reports(&mut self, needs: &Needs) -> bool {
        if self.stations.is_empty() {
            return true;
        }
        let cells = needs.waiting.iter().map(|(cell, _)| *cell).chain(needs.ahead.iter().copied());
        let mut news = Vec::new();
        for cell in cells {
            let Some(series) = self.stations.series(&self.options.name, cell) else { continue };
            if self.given.insert(cell, series.issued_ms) != Some(series.issued_ms) {
                news.push(series);
            }
        }
        news.is_empty() || self.bring(news)
    }

    /// Makes one request. Returns false when nobody takes what it brings.
    fn ask(&mut self, cells: &[Cell], from_ms: i64) -> bool {
        let asked_ms = self.clock.now_ms();
        self.ledger.asking(&self.options.limits, cells.len(), asked_ms);
        let outcome = self.request(cells, from_ms);
        let now_ms = self.clock.now_ms();
        let left = self.options.limits.a_day.saturating_sub(self.ledger.used(now_ms));
        let mut series = Vec::new();
        self.statuses.update(&self.options.name, |status| {
            status.requests += 1;
            status.budget_left = left;
        });
        match outcome {
            Ok((brought, fresh)) => {
                let limits = self.options.limits;
                self.ledger.answered(&limits, cells, from_ms, &fresh, now_ms, jitter());
                if std::mem::take(&mut self.in_trouble) {
                    tracing::info!(feed = &*self.options.name, "the weather feed answers again");
                }
                series = brought;
            }
            Err(fault) => {
                self.ledger.failed(cells, &fault, now_ms, jitter());
                if !std::mem::replace(&mut self.in_trouble, true) {
                    tracing::warn!(feed = &*self.options.name, fault = fault.name(), "{fault}");
                }
                self.statuses.update(&self.options.name, |status| {
                    *status.faults.entry(fault.name()).or_default() += 1;
                });
            }
        }
        self.bring(series)
    }

    fn bring(&mut self, series: Vec<Series>) -> bool {
        let hours: usize = series.iter().map(|series| series.hours.len()).sum();
        self.statuses.update(&self.options.name, |status| status.hours += hours as u64);
        // A ledger is plain data: it always has JSON.
        let ledger = serde_json::to_vec(&self.ledger).unwrap_or_default();
        let whole = self.whole.take();
        self.desk.take(&self.options.name, Brought { series, ledger, whole })
    }

    fn request(
        &mut self,
        cells: &[Cell],
        from_ms: i64,
    ) -> Result<(Vec<Series>, super::Freshness), Fault> {
        let Some(first) = cells.first().copied() else {
            return Ok((Vec::new(), super::Freshness::default()));
        };
        let FeedOptions { name, kind, url, key, .. } = &self.options;
        let key = key.as_deref();
        let url = match kind {
            Kind::OpenMeteo => {
                let now_ms = self.clock.now_ms();
                open_meteo::url(url, key, cells, past_days(from_ms, now_ms))
            }
            Kind::MetNorway => met_norway::url(url, &first),
            Kind::Metar => url.clone(),
            Kind::OpenWeather => openweather::url(url, key.unwrap_or_default(), &first),
        };
        let last_modified = self.ledger.last_modified(&first, from_ms).filter(|_| cells.len() == 1);
        let got = self.http.get(&url, last_modified).map_err(|fault| without(fault, key))?;
        let now_ms = self.clock.now_ms();
        let packed;
        let (body, fresh) = match got {
            Got::NotModified { fresh } => {
                self.statuses.update(name, |status| status.not_modified += 1);
                return Ok((Vec::new(), fresh));
            }
            Got::Body { bytes, fresh, deprecated } => {
                if deprecated {
                    tracing::warn!(
                        feed = &**name,
                        "the feed's product is deprecated or a trial (HTTP 203)"
                    );
                }
                packed = bytes;
                (unpacked(&packed)?, fresh)
            }
        };
        let parsed = match kind {
            Kind::OpenMeteo => open_meteo::parse(&body, name, cells, now_ms)?,
            Kind::MetNorway => met_norway::parse(&body, name, first)?,
            Kind::OpenWeather => openweather::parse(&body, name, first, now_ms)?,
            Kind::Metar => {
                let mut dropped = Dropped::new();
                self.stations = Stations::parse(&body, &mut dropped)?;
                self.whole = Some(packed);
                Parsed { series: Vec::new(), dropped }
            }
        };
        self.statuses.update(name, |status| {
            for (value, times) in parsed.dropped {
                *status.dropped.entry(value).or_default() += times;
            }
        });
        Ok((parsed.series, fresh))
    }
}

/// Whole days before today, from which there are hours.
fn past_days(from_ms: i64, now_ms: i64) -> i64 {
    let day_ms = 24 * HOUR_MS;
    (now_ms.div_euclid(day_ms) - from_ms.div_euclid(day_ms)).clamp(1, 92)
}

/// A file that is packed by itself, whatever the headers say.
fn unpacked(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Fault> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes.into());
    }
    let mut unpacked = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(bytes).take(LARGEST_UNPACKED + 1);
    reader.read_to_end(&mut unpacked).map_err(|_| Fault::CutShort)?;
    if unpacked.len() as u64 > LARGEST_UNPACKED {
        return Err(Fault::TooLarge(LARGEST_UNPACKED));
    }
    Ok(unpacked.into())
}

/// What was known before a restart; nothing where that cannot be read any more: it is asked for when
/// the last answer has expired.
fn known_stations(whole: &[u8]) -> Stations {
    let body = unpacked(whole).unwrap_or_default();
    Stations::parse(&body, &mut Dropped::new()).unwrap_or_default()
}

/// Keys are in addresses, and addresses in the errors of libraries.
fn without(fault: Fault, key: Option<&str>) -> Fault {
    let hide = |text: String| key.map_or(text.clone(), |key| text.replace(key, "(key)"));
    match fault {
        Fault::Unreachable(text) => Fault::Unreachable(hide(text)),
        Fault::Refused { status, reason } => Fault::Refused { status, reason: hide(reason) },
        fault => fault,
    }
}

/// Between 0 and 1.
fn jitter() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}
