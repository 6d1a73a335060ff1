//! One request to InfluxDB, and what its answer means.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use influxdb2::api::write::TimestampPrecision;
use influxdb2::{Client, ClientBuilder, RequestError};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use serde::Deserialize;

/// A connection that is not made within this is not going to be.
const CONNECTING: Duration = Duration::from_secs(5);

/// Of an answer that names what is wrong, as much as is kept.
const DETAIL_CHARS: usize = 500;

/// Where an InfluxDB answers: `http://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfluxUrl(String);

impl FromStr for InfluxUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = reqwest::Url::parse(text)
            .map_err(|error| format!("`{text}` is no URL ({error}): give http://HOST:PORT"))?;
        if url.scheme() == "https" {
            return Err("TLS is not supported here: use http:// to a proxy or tunnel on this \
                        machine that speaks TLS to InfluxDB"
                .to_owned());
        }
        if url.scheme() != "http" || url.host().is_none() {
            return Err(format!("`{text}` does not begin with http:// and a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "the login does not go into the URL: put a token into token_file".to_owned()
            );
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "`{text}` has more than a host and a port, which would be left out: let InfluxDB, \
                 or a proxy before it, answer at the root"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for InfluxUrl {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// The token cannot stand in a request, or the system gives no sockets.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the token has characters that no token has: give the file that holds nothing else")]
    Token,
    #[error("the HTTP client cannot start: {0}")]
    Start(String),
}

/// What InfluxDB says to some lines.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Written,
    /// Some line is wrong; the others were written only if `partial`.
    Refused {
        detail: String,
        partial: Option<usize>,
    },
    TooLarge,
    /// It will go on like this until somebody changes something.
    Denied {
        error: String,
        advice: String,
    },
    /// It may go better later.
    Away {
        error: String,
    },
}

/// The bucket that is written to.
#[derive(Debug)]
pub(crate) struct Bucket {
    client: Client,
    org: String,
    bucket: String,
}

impl Bucket {
    pub(crate) fn new(
        url: &InfluxUrl,
        (org, bucket): (&str, &str),
        token: &str,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        HeaderValue::from_str(token).map_err(|_| ClientError::Token)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let http = reqwest::ClientBuilder::new()
            .default_headers(headers)
            .connect_timeout(CONNECTING.min(timeout))
            .timeout(timeout)
            // A redirected POST would arrive as a GET, and seem to have been answered.
            .redirect(Policy::none())
            .no_proxy()
            .http1_only();
        let client = ClientBuilder::with_builder(http, url.0.as_str(), org, token)
            .build()
            .map_err(|error| ClientError::Start(error.to_string()))?;
        Ok(Self { client, org: org.to_owned(), bucket: bucket.to_owned() })
    }

    /// Sends a compressed body.
    pub(crate) async fn write(&self, body: Bytes) -> Answer {
        let written = self.client.write_line_protocol_with_precision(
            &self.org,
            &self.bucket,
            body,
            TimestampPrecision::Milliseconds,
        );
        match written.await {
            Ok(()) => Answer::Written,
            Err(RequestError::Http { status, text }) => self.answer(status.as_u16(), &text),
            Err(RequestError::ReqwestProcessing { source }) => {
                Answer::Away { error: innermost(&source) }
            }
            Err(error) => Answer::Away { error: error.to_string() },
        }
    }

    fn answer(&self, status: u16, text: &str) -> Answer {
        let said = Said::of(text);
        let error = match &said {
            Some(said) => shorten(&format!("{status}: {}", said.message)),
            None => shorten(&format!("{status} {}", text.lines().next().unwrap_or_default())),
        };
        let denied = |advice: String| Answer::Denied { error: error.clone(), advice };
        let Self { org, bucket, .. } = self;
        match (status, said) {
            (400 | 422, Some(said)) => {
                Answer::Refused { partial: said.dropped(), detail: shorten(&said.message) }
            }
            (401 | 403, _) => denied(format!(
                "give the file in influx.token_file a token that may write to bucket `{bucket}` of \
                 organization `{org}`; it is read at the start"
            )),
            (404, Some(_)) => denied(format!(
                "create bucket `{bucket}` in organization `{org}`, or correct influx.bucket and \
                 influx.org"
            )),
            (413, _) => Answer::TooLarge,
            (408 | 429 | 500.., _) => Answer::Away { error },
            _ => denied("that is no InfluxDB 2: correct influx.url".to_owned()),
        }
    }
}

/// What InfluxDB says with an error. A proxy, or another server, says it differently.
#[derive(Deserialize)]
struct Said {
    #[serde(alias = "error")]
    message: String,
}

impl Said {
    fn of(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// How many points a partial write left out.
    fn dropped(&self) -> Option<usize> {
        let (_, reason) = self.message.split_once("partial write")?;
        let (_, number) = reason.rsplit_once("dropped=")?;
        number.trim().parse().ok()
    }
}

pub(crate) fn shorten(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(DETAIL_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The outer errors only say that a request was sent, and where to.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Answer, Bucket, InfluxUrl};

    #[test]
    fn an_url_is_a_host_and_a_port() {
        for url in ["http://127.0.0.1:8086", "http://influx/", "http://[::1]:8086"] {
            assert_eq!(url.parse::<InfluxUrl>().unwrap().to_string(), url);
        }
        let refused = [
            ("https://influx:8086", "proxy or tunnel"),
            ("http://proxy/influx", "answer at the root"),
            ("http://influx?org=x", "answer at the root"),
            ("http://me:secret@influx", "token_file"),
            ("influx:8086", "http://"),
            ("127.0.0.1:8086", "give http://HOST:PORT"),
            ("", "give http://HOST:PORT"),
        ];
        for (url, advice) in refused {
            let error = url.parse::<InfluxUrl>().unwrap_err();
            assert!(error.contains(advice), "{url}: {error}");
        }
    }

    #[test]
    fn an_answer_is_about_lines_only_when_influxdb_gives_it() {
        let url = "http://127.0.0.1".parse().unwrap();
        let bucket = Bucket::new(&url, ("plant", "cars"), "t", Duration::from_secs(1)).unwrap();
        let partial = r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: points beyond retention policy dropped=12"}"#;
        let Answer::Refused { detail, partial: Some(12) } = bucket.answer(422, partial) else {
            panic!("not read as a partial write");
        };
        assert!(detail.contains("retention"));
        let parse = r#"{"code":"invalid","message":"unable to parse 'car': missing fields"}"#;
        assert!(matches!(bucket.answer(400, parse), Answer::Refused { partial: None, .. }));
        let page = "<html>400 Bad Request</html>";
        let Answer::Denied { error, advice } = bucket.answer(400, page) else { panic!() };
        assert!(error.contains("400") && advice.contains("influx.url"), "{error} {advice}");

        let gone = r#"{"code":"not found","message":"bucket \"cars\" not found"}"#;
        let Answer::Denied { error, advice } = bucket.answer(404, gone) else { panic!() };
        assert!(error.contains("bucket \"cars\" not found") && advice.contains("`plant`"));
        let Answer::Denied { advice, .. } = bucket.answer(401, "") else { panic!() };
        assert!(
            advice.contains("token") && advice.contains("`cars`") && advice.contains("`plant`")
        );
        for status in [302, 404, 405, 200] {
            assert!(matches!(bucket.answer(status, ""), Answer::Denied { .. }), "{status}");
        }
        for status in [408, 429, 500, 503] {
            assert!(matches!(bucket.answer(status, ""), Answer::Away { .. }), "{status}");
        }
    }
}
