//! One attempt: a signed POST, and what its answer means.

use std::time::Duration;

use ingest::Clock;
use journal::TriggerRow;
use ureq::Agent;
use ureq::http::header::RETRY_AFTER;
use ureq::http::{HeaderMap, StatusCode};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;

use super::address::PublicOnly;
use super::{Endpoint, Secrets};

/// The specification advises 15 to 30 seconds.
const PATIENCE: Duration = Duration::from_secs(20);

const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    /// 410: nothing more is wanted here.
    Gone,
    Failed {
        error: String,
        /// The endpoint asks for a rest; of that many seconds, if it says so.
        rest: Option<Option<u64>>,
    },
}

/// What posts. It follows no redirect and no proxy of the environment: a message goes to the
/// address that was configured, or nowhere.
pub(super) fn agent(endpoint: &Endpoint) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(PATIENCE))
        .user_agent(concat!("datanaut/", env!("CARGO_PKG_VERSION")))
        .build();
    let connector = DefaultConnector::default();
    match endpoint.allow_private {
        true => Agent::with_parts(config, connector, DefaultResolver::default()),
        false => Agent::with_parts(config, connector, PublicOnly(DefaultResolver::default())),
    }
}

/// Blocks until there is an answer, at most [`PATIENCE`].
pub(super) fn post(agent: &Agent, endpoint: &Endpoint, row: &TriggerRow) -> Outcome {
    let failed = |error: String| Outcome::Failed { error, rest: None };
    let secrets = match std::fs::read_to_string(&endpoint.secret_file) {
        Ok(text) => Secrets::parse(&text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let secrets = match secrets {
        Ok(secrets) => secrets,
        Err(error) => return failed(format!("{}: {error}", endpoint.secret_file.display())),
    };
    let Ok(body) = serde_json::to_vec(&row.body) else {
        return failed("the message cannot be written as JSON".to_owned());
    };
    let id = message_id(row);
    // The receiver compares it with its own clock, so it is never the pipeline's.
    let timestamp_s = Clock::system().now_ms() / 1_000;
    let answer = agent
        .post(&endpoint.url)
        .header("content-type", CONTENT_TYPE)
        .header("webhook-id", &id)
        .header("webhook-timestamp", timestamp_s.to_string())
        .header("webhook-signature", secrets.sign(&id, timestamp_s, &body))
        .send(&body[..]);
    match answer {
        Ok(answer) => meaning(answer.status(), answer.headers()),
        Err(error) => failed(error.to_string()),
    }
}

/// The same for every attempt at one message, and another for a revision of it.
fn message_id(row: &TriggerRow) -> String {
    format!("{}-{}", row.body.id, row.body.revision)
}

fn meaning(status: StatusCode, headers: &HeaderMap) -> Outcome {
    let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let rest = match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Some(after),
        _ => None,
    };
    match status {
        status if status.is_success() => Outcome::Taken,
        StatusCode::GONE => Outcome::Gone,
        status if status.is_redirection() => {
            let error = format!("it answered {}, and redirects are not followed", status.as_u16());
            Outcome::Failed { error, rest }
        }
        status => Outcome::Failed { error: format!("it answered {}", status.as_u16()), rest },
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, meaning};
    use ureq::http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};

    #[test]
    fn an_answer_means_what_the_specification_says() {
        let check = |status: u16, after: Option<&'static str>| {
            let after = after.map(|after| (RETRY_AFTER, HeaderValue::from_static(after)));
            meaning(StatusCode::from_u16(status).unwrap(), &HeaderMap::from_iter(after))
        };
        for taken in [200, 201, 202, 204, 299] {
            assert_eq!(check(taken, None), Outcome::Taken);
        }
        assert_eq!(check(410, None), Outcome::Gone);
        let rest = |status, after| match check(status, after) {
            Outcome::Failed { rest, .. } => rest,
            outcome => panic!("{status}: {outcome:?}"),
        };
        assert_eq!(rest(429, Some("120")), Some(Some(120)));
        assert_eq!(rest(503, Some("soon")), Some(None));
        assert_eq!(rest(502, None), Some(None));
        for failed in [301, 307, 400, 401, 404, 500] {
            assert_eq!(rest(failed, None), None, "{failed}");
        }
    }
}
