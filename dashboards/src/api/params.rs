//! What is asked for behind the `?`: checked, and wrong in words.

use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::asked;
use crate::problem::Problem;

/// The parameters of a request; unknown ones are an error, as they would silently mean nothing.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(wrong) => Err(Problem::bad_request(
                wrong.body_text().replace("Failed to deserialize query string: ", ""),
                "see docs/http.md for the parameters and their form",
            )),
        }
    }
}

/// A bound on a list: `usual` unless asked for, between 1 and `most`.
pub(crate) fn limit(asked: Option<usize>, usual: usize, most: usize) -> Result<usize, Problem> {
    match asked {
        None => Ok(usual),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(limit) => Err(Problem::bad_request(
            format!("limit is {limit}"),
            format!("ask for 1 to {most} at a time"),
        )),
    }
}

/// A time to wait: seconds, with or without their `s`; nothing unless asked for.
pub(crate) fn seconds(name: &str, text: Option<&str>, most: Duration) -> Result<Duration, Problem> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    asked::seconds(text).filter(|seconds| *seconds <= most).ok_or_else(|| {
        Problem::bad_request(
            format!("{name} is \"{text}\""),
            format!("write seconds, as in 30s; {} at most", most.as_secs()),
        )
    })
}

/// A moment: RFC 3339, or milliseconds since 1970.
pub(crate) fn moment_ms(name: &str, text: &str) -> Result<i64, Problem> {
    asked::moment_ms(text).ok_or_else(|| {
        Problem::bad_request(
            format!("{name} is \"{text}\""),
            "write a moment as 2026-09-21T16:13:20+02:00 or as milliseconds since 1970",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{limit, moment_ms, seconds};

    #[test]
    fn a_wait_is_given_in_seconds_and_has_an_end() {
        let most = Duration::from_secs(55);
        for (text, expected) in [(None, 0), (Some("30s"), 30), (Some("55"), 55), (Some("0"), 0)] {
            assert_eq!(seconds("wait", text, most).unwrap(), Duration::from_secs(expected));
        }
        for text in ["56s", "-1", "1m", "", "s"] {
            assert!(seconds("wait", Some(text), most).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_read_in_both_forms_also_with_the_plus_of_an_unescaped_offset() {
        let half_past = 1_790_000_000_500;
        for text in ["1790000000500", "2026-09-21T14:13:20.5Z", "2026-09-21T16:13:20.5 02:00"] {
            assert_eq!(moment_ms("from", text).unwrap(), half_past, "{text}");
        }
        for text in ["yesterday", "", "2026-09-21", "99999999999999999", "9223372036854775807"] {
            assert!(moment_ms("from", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_is_never_without_bound() {
        assert_eq!(limit(None, 50, 1_000).unwrap(), 50);
        assert_eq!(limit(Some(1_000), 50, 1_000).unwrap(), 1_000);
        assert!(limit(Some(0), 50, 1_000).is_err());
        assert!(limit(Some(1_001), 50, 1_000).is_err());
    }
}
