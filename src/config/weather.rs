//! `[weather]`: made up, or from feeds in order of preference.

use std::path::PathBuf;
use std::time::Duration;

use ingest::weather::Kind as Live;
use serde::de::{self, Deserialize, Deserializer, SeqAccess};

use super::validate::{Wrong, wrong};
use super::{Config, duration_text, some_duration};

/// A day's work for an insurer's trigger to wait is too long; and what waits is looked at again
/// with each answer.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(2);
const SHORTEST_REFRESH: Duration = Duration::from_mins(1);
/// Every join looks at all of them.
const MOST_FEEDS: usize = 16;

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Weather {
    pub(crate) feed: Feeds,
    /// Of the synthetic feed.
    pub(crate) seed: u64,
    /// How long a trigger waits for weather that a feed may still give.
    #[serde(deserialize_with = "duration_text")]
    pub(crate) wait: Duration,
}

impl Default for Weather {
    fn default() -> Self {
        Self { feed: Feeds::Synthetic, seed: 1, wait: Duration::from_secs(5) }
    }
}

impl Weather {
    pub(crate) fn summary(&self) -> String {
        match &self.feed {
            Feeds::Synthetic => format!("synthetic, seed {}", self.seed),
            Feeds::None => "none".to_owned(),
            Feeds::Named(feeds) => {
                let names: Vec<&str> = feeds.iter().map(Feed::name).collect();
                format!("{}; triggers wait up to {:?}", names.join(", "), self.wait)
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Feeds {
    Synthetic,
    None,
    /// In order of preference.
    Named(Vec<Feed>),
}

impl<'de> Deserialize<'de> for Feeds {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct FeedsVisitor;

        impl<'de> de::Visitor<'de> for FeedsVisitor {
            type Value = Feeds;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("\"synthetic\", \"none\", or [[weather.feed]] tables")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Feeds, E> {
                match text {
                    "synthetic" => Ok(Feeds::Synthetic),
                    "none" => Ok(Feeds::None),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut tables: A) -> Result<Feeds, A::Error> {
                let mut feeds = Vec::new();
                while let Some(feed) = tables.next_element()? {
                    feeds.push(feed);
                }
                Ok(Feeds::Named(feeds))
            }
        }

        input.deserialize_any(FeedsVisitor)
    }
}

/// One feed. Which keys it takes depends on its kind.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Feed {
    pub(crate) kind: Kind,
    name: Option<String>,
    /// Of a file.
    pub(crate) path: Option<PathBuf>,
    pub(crate) url: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) key_file: Option<PathBuf>,
    /// What may be asked from midnight to midnight UTC.
    pub(crate) requests_a_day: Option<u32>,
    #[serde(default, deserialize_with = "some_duration")]
    pub(crate) refresh: Option<Duration>,
    #[serde(default, deserialize_with = "some_duration")]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    OpenMeteo,
    MetNorway,
    Metar,
    Openweather,
    File,
}

impl Kind {
    /// What is asked over the network.
    pub(crate) fn live(self) -> Option<Live> {
        match self {
            Self::OpenMeteo => Some(Live::OpenMeteo),
            Self::MetNorway => Some(Live::MetNorway),
            Self::Metar => Some(Live::Metar),
            Self::Openweather => Some(Live::OpenWeather),
            Self::File => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::OpenMeteo => "open-meteo",
            Self::MetNorway => "met-norway",
            Self::Metar => "metar",
            Self::Openweather => "openweather",
            Self::File => "file",
        }
    }
}

impl Feed {
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.kind.name())
    }
}

impl Config {
    pub(super) fn validate_weather(&self) -> Result<(), Wrong> {
        let weather = &self.weather;
        if weather.wait > LONGEST_WAIT {
            return wrong("weather.wait", "must be at most 10m");
        }
        let Feeds::Named(feeds) = &weather.feed else { return Ok(()) };
        if feeds.is_empty() || feeds.len() > MOST_FEEDS {
            return wrong(
                "weather.feed",
                format!("must be \"synthetic\", \"none\", or 1 to {MOST_FEEDS} tables"),
            );
        }
        for (at, feed) in feeds.iter().enumerate() {
            let wrong = |key: &str, what: String| wrong(format!("weather.feed[{at}].{key}"), what);
            let name = feed.name();
            let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
            if name.is_empty() || !name.chars().all(fits) {
                return wrong("name", format!("`{name}`: use letters, digits, - and _"));
            }
            if feeds[..at].iter().any(|other| other.name() == name) {
                return wrong("name", format!("`{name}` is there already: give another name"));
            }
            match feed.kind.live() {
                None => validate_file(feed, wrong)?,
                Some(_) if self.clock.speed != 1.0 => {
                    let what = "cannot be asked by a clock that runs at another speed: its \
                                budget is one of real days; use a file, or remove clock.speed";
                    return wrong("kind", what.to_owned());
                }
                Some(kind) => validate_live(feed, kind, wrong)?,
            }
        }
        Ok(())
    }
}

fn validate_file(
    feed: &Feed,
    wrong: impl Fn(&str, String) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    let of_others = [
        ("url", feed.url.is_some()),
        ("user_agent", feed.user_agent.is_some()),
        ("key_file", feed.key_file.is_some()),
        ("requests_a_day", feed.requests_a_day.is_some()),
        ("refresh", feed.refresh.is_some()),
        ("timeout", feed.timeout.is_some()),
    ];
    if let Some((key, _)) = of_others.iter().find(|(_, set)| *set) {
        return wrong(key, "is of no use to a file: remove it".to_owned());
    }
    match &feed.path {
        Some(_) => Ok(()),
        None => wrong("path", "is needed: name the file with the rows".to_owned()),
    }
}

fn validate_live(
    feed: &Feed,
    kind: Live,
    wrong: impl Fn(&str, String) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    if feed.path.is_some() {
        return wrong("path", "is for files: give url, or remove it".to_owned());
    }
    if let Some(url) = &feed.url
        && !(url.starts_with("https://") || url.starts_with("http://"))
    {
        return wrong("url", format!("`{url}` does not begin with https:// or http://"));
    }
    if let Some(agent) = &feed.user_agent
        && agent.chars().any(|letter| !letter.is_ascii() || letter.is_ascii_control())
    {
        return wrong("user_agent", "must be plain ASCII in one line".to_owned());
    }
    let reachable = |agent: &String| agent.contains('@') || agent.contains("://");
    if kind == Live::MetNorway && !feed.user_agent.as_ref().is_some_and(reachable) {
        let what = "is needed: MET Norway wants to know who asks and how to reach you, as in \
                    \"acme-insurance ops@acme.example\"";
        return wrong("user_agent", what.to_owned());
    }
    if kind == Live::OpenWeather && feed.key_file.is_none() {
        let what = "is needed: name the file whose first line is the API key";
        return wrong("key_file", what.to_owned());
    }
    if feed.requests_a_day == Some(0) {
        return wrong("requests_a_day", "must be at least 1; or remove the feed".to_owned());
    }
    if feed.refresh.is_some_and(|refresh| refresh < SHORTEST_REFRESH) {
        return wrong("refresh", "must be at least 1m".to_owned());
    }
    if feed.timeout.is_some_and(|timeout| !TIMEOUT.contains(&timeout)) {
        return wrong("timeout", "must be from 1s to 2m".to_owned());
    }
    Ok(())
}
