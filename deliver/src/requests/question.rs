//! What insurers ask for, as they write it. Only read here, so that it can be fuzzed alone.

use enrich::registry::Product;
use serde::Deserialize;

const USUAL: usize = 50;
pub(super) const MOST: usize = 200;

/// Why a request for triggers gets none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not what a request looks like: why.
    Unreadable(String),
    /// There is no such product.
    UnknownProduct(String),
    /// It wants none, or too many at once.
    BadLimit(usize),
    /// The answer would go where others could read it, or nobody: there is none.
    NoReplyTopic,
    /// Too many wait already: there is no answer.
    TooMany,
    /// The journal could not be read.
    Unavailable,
}

impl Refused {
    /// What it is counted under; every one of [`Self::name`].
    pub const NAMES: [&'static str; 6] =
        ["unreadable", "unknown_product", "bad_limit", "no_reply_topic", "too_many", "unavailable"];

    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::UnknownProduct(_) => "unknown_product",
            Self::BadLimit(_) => "bad_limit",
            Self::NoReplyTopic => "no_reply_topic",
            Self::TooMany => "too_many",
            Self::Unavailable => "unavailable",
        }
    }

    /// What is wrong, in words.
    #[must_use]
    pub fn error(&self) -> String {
        match self {
            Self::Unreadable(why) => why.clone(),
            Self::UnknownProduct(name) => format!("there is no product \"{name}\""),
            Self::BadLimit(limit) => format!("limit is {limit}"),
            Self::NoReplyTopic => "the response topic is not one of the insurer's own".to_owned(),
            Self::TooMany => "too many requests wait".to_owned(),
            Self::Unavailable => "the journal could not be read".to_owned(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Unreadable(_) => "send {\"product\": …, \"after\": …, \"limit\": …}".to_owned(),
            Self::UnknownProduct(_) => {
                let names = Product::ALL.map(Product::name);
                format!("ask for one of {}", names.join(", "))
            }
            Self::BadLimit(_) => format!("ask for 1 to {MOST} at a time"),
            Self::NoReplyTopic => "name one below replies/{insurer}/, or none".to_owned(),
            Self::TooMany | Self::Unavailable => "ask again".to_owned(),
        }
    }
}

/// Of which product, after which sequence number, and how many at most.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) product: Product,
    pub(super) after: i64,
    pub(super) limit: usize,
}

impl Question {
    /// Reads the payload of a request.
    pub(super) fn read(payload: &[u8]) -> Result<Self, Refused> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            product: String,
            #[serde(default)]
            after: i64,
            limit: Option<usize>,
        }

        let Written { product, after, limit } = serde_json::from_slice(payload)
            .map_err(|error| Refused::Unreadable(error.to_string()))?;
        let limit = limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            return Err(Refused::BadLimit(limit));
        }
        let known = Product::named(&product);
        let product = known.ok_or_else(|| Refused::UnknownProduct(shortened(&product)))?;
        Ok(Self { product, after, limit })
    }
}

/// Who asks, by the topic, and where the answer goes. `None` when that is where others could read
/// it, or nowhere.
pub(super) fn addressed(topic: &str, response_topic: Option<&str>) -> Option<(String, String)> {
    let insurer = topic.strip_prefix("requests/")?.strip_suffix("/triggers")?;
    let own = format!("replies/{insurer}/");
    let reply_to = match response_topic {
        Some(asked) => asked.to_owned(),
        // MQTT 3.1.1 has no response topic.
        None => format!("{own}triggers"),
    };
    let usable = |c: char| !matches!(c, '+' | '#') && !c.is_control();
    let fits = reply_to.starts_with(&own) && reply_to.chars().all(usable);
    fits.then(|| (insurer.to_owned(), reply_to))
}

/// A product's name has at most as many letters: an answer does not repeat a long text.
fn shortened(name: &str) -> String {
    const LETTERS: usize = 32;
    match name.char_indices().nth(LETTERS) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.to_owned(),
    }
}
