//! What can be wrong with a feed: a closed list of names that logs, metrics and docs share.

/// A request that brought no rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("nobody answers: {0}; check the address and the network")]
    Unreachable(String),
    #[error("no answer in time; it is tried again")]
    Timeout,
    #[error("the connection broke before the answer was whole; it is tried again")]
    CutShort,
    #[error("the answer is larger than {0} bytes and was not read: check the address")]
    TooLarge(u64),
    #[error("the answer is not what the feed gives: {0}; check the address")]
    NotUnderstood(String),
    #[error("the feed refuses us (HTTP {0}): check the key, and that user_agent names you")]
    Forbidden(u16),
    #[error("the feed says that we ask too much (HTTP 429); it is asked less")]
    Throttled {
        /// How long it said to wait.
        retry_after_ms: Option<i64>,
    },
    #[error("the feed does not cover the place (HTTP 422)")]
    OutsideCoverage,
    #[error("the feed does not take the request (HTTP {status}): {reason}")]
    Refused { status: u16, reason: String },
    #[error("the feed is in trouble (HTTP {0}); it is tried again")]
    ServerError(u16),
}

impl Fault {
    pub const NAMES: [&str; 10] = [
        "unreachable",
        "timeout",
        "cut_short",
        "too_large",
        "not_understood",
        "forbidden",
        "throttled",
        "outside_coverage",
        "refused",
        "server_error",
    ];

    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Timeout => "timeout",
            Self::CutShort => "cut_short",
            Self::TooLarge(_) => "too_large",
            Self::NotUnderstood(_) => "not_understood",
            Self::Forbidden(_) => "forbidden",
            Self::Throttled { .. } => "throttled",
            Self::OutsideCoverage => "outside_coverage",
            Self::Refused { .. } => "refused",
            Self::ServerError(_) => "server_error",
        }
    }

    pub(crate) fn shape(error: serde_json::Error) -> Self {
        Self::NotUnderstood(error.to_string())
    }
}
