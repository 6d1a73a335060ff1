//! A stand-in for InfluxDB 2: it takes what it can read, and answers as InfluxDB does, or worse.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::protocol::{Field, Point, parse, split};

/// What happens to the next request.
#[derive(Clone, Debug)]
pub(crate) enum Play {
    /// Status and headers, a blank line, a body.
    Answer(u16, &'static str, &'static str),
    /// No answer at all.
    Hang,
    /// The connection ends when half of the request has been read.
    CloseInRequest,
    /// The points are taken, and the connection ends in the middle of the answer.
    CloseInAnswer,
    /// The points are taken when something has been deleted, and nobody hears of it.
    TakeAfterDelete,
}

/// What it does with points it does not like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Strictness {
    /// One unreadable line and nothing is written.
    Whole,
    /// The others are written.
    Partial,
}

type Dislike = fn(&Point) -> bool;
type Key = (String, BTreeMap<String, String>, i64);

#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) points: BTreeMap<Key, BTreeMap<String, Field>>,
    /// Lines in each request that was answered.
    pub(crate) requests: Vec<usize>,
    pub(crate) plays: VecDeque<Play>,
    /// Goes on for as long as it stands here.
    pub(crate) always: Option<Play>,
    pub(crate) bad: Option<(Strictness, Dislike)>,
    pub(crate) most_lines: Option<usize>,
    /// What it was asked to delete: a device, from when to when.
    pub(crate) deleted: Vec<(String, i64, i64)>,
    /// How often it was asked to delete what is too old, of one kind of device.
    pub(crate) aged: usize,
    /// What a request must not be like.
    pub(crate) complaints: Vec<String>,
    /// A request waits for a deletion; and was taken after it.
    pub(crate) held: bool,
    pub(crate) taken_late: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = Self { addr, shelf: Arc::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                // A client that goes away is none of its business.
                tokio::spawn(async move { server.converse(stream).await.ok() });
            }
        });
        server
    }

    pub(crate) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap()
    }

    async fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .and_then(|length| length.trim().parse().ok())
                .unwrap_or(0);
            let play = {
                let mut shelf = self.shelf();
                shelf.plays.pop_front().or_else(|| shelf.always.clone())
            };
            if let Some(Play::CloseInRequest) = play {
                let mut half = vec![0; length / 2];
                stream.read_exact(&mut half).await?;
                return Ok(());
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await?;
            let answer = match play {
                None | Some(Play::CloseInAnswer) => self.take(&head, &body),
                Some(Play::Answer(status, headers, body)) => (status, headers, body.to_owned()),
                Some(Play::Hang) => std::future::pending().await,
                Some(Play::TakeAfterDelete) => {
                    self.shelf().held = true;
                    while self.shelf().deleted.is_empty() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    self.take(&head, &body);
                    self.shelf().taken_late = true;
                    return Ok(());
                }
                Some(Play::CloseInRequest) => return Ok(()),
            };
            let (status, headers, body) = answer;
            let text = format!(
                "HTTP/1.1 {status} As Said\r\n{headers}content-length: {}\r\n\r\n{body}",
                body.len()
            );
            if let Some(Play::CloseInAnswer) = play {
                stream.write_all(&text.as_bytes()[..12]).await?;
                return Ok(());
            }
            let text = if status == 204 { "HTTP/1.1 204 No Content\r\n\r\n" } else { &text };
            stream.write_all(text.as_bytes()).await?;
        }
    }

    /// As InfluxDB does: both ends are included, and all that it knows of a predicate is =.
    fn delete(&self, head: &str, body: &[u8]) -> (u16, &'static str, String) {
        let mut shelf = self.shelf();
        for part in [
            "post /api/v2/delete?org=plant&bucket=cars+and+more http/1.1",
            "authorization: token secret",
            "content-type: application/json",
        ] {
            if !head.contains(part) {
                shelf.complaints.push(format!("no {part:?} in {head:?}"));
            }
        }
        if head.contains("content-encoding") {
            shelf.complaints.push("it is said to be compressed, and is not".to_owned());
        }
        let asked: serde_json::Value = serde_json::from_slice(body).unwrap();
        let nanos = |key: &str| -> i128 {
            asked[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_nanosecond()
        };
        let (start, stop) = (nanos("start"), nanos("stop"));
        let predicate = asked["predicate"].as_str().unwrap();
        let quoted = |name: &str| predicate.strip_prefix(name)?.strip_suffix('"');
        if let Some(kind) = quoted("_measurement=\"") {
            shelf.points.retain(|(measurement, _, time_ms), _| {
                let time = i128::from(*time_ms) * 1_000_000;
                measurement != kind || !(start..=stop).contains(&time)
            });
            shelf.aged += 1;
            return (204, "", String::new());
        }
        let device = quoted("device=\"").unwrap().to_owned();
        shelf.points.retain(|(_, tags, time_ms), _| {
            let time = i128::from(*time_ms) * 1_000_000;
            tags["device"] != device || !(start..=stop).contains(&time)
        });
        let ms = |nanos: i128| i64::try_from(nanos / 1_000_000).unwrap();
        shelf.deleted.push((device, ms(start), ms(stop)));
        (204, "", String::new())
    }

    fn take(&self, head: &str, body: &[u8]) -> (u16, &'static str, String) {
        if head.contains(" /api/v2/delete") {
            return self.delete(head, body);
        }
        let mut shelf = self.shelf();
        for part in [
            "post /api/v2/write?bucket=cars+and+more&org=plant&precision=ms http/1.1",
            "authorization: token secret",
            "content-encoding: gzip",
        ] {
            if !head.contains(part) {
                shelf.complaints.push(format!("no {part:?} in {head:?}"));
            }
        }
        let mut text = String::new();
        if let Err(error) = GzDecoder::new(body).read_to_string(&mut text) {
            shelf.complaints.push(format!("not gzip: {error}"));
        }
        let lines = split(&text);
        shelf.requests.push(lines.len());
        if lines.is_empty() {
            shelf.complaints.push("an empty request".to_owned());
        }
        if shelf.most_lines.is_some_and(|most| lines.len() > most) {
            return (413, "", r#"{"code":"request too large","message":"too many points"}"#.into());
        }
        let mut points = Vec::new();
        for line in &lines {
            match parse(line) {
                Ok(point) => points.push(point),
                Err(error) => shelf.complaints.push(format!("{line:?}: {error}")),
            }
        }
        let (bad, good): (Vec<_>, Vec<_>) =
            points.into_iter().partition(|point| shelf.bad.is_some_and(|(_, bad)| bad(point)));
        if !bad.is_empty() && matches!(shelf.bad, Some((Strictness::Whole, _))) {
            let message = "unable to parse 'car,device=…': missing fields";
            return (400, "", format!(r#"{{"code":"invalid","message":"{message}"}}"#));
        }
        for point in good {
            let key = (point.measurement, point.tags, point.time_ms);
            shelf.points.entry(key).or_default().extend(point.fields);
        }
        if bad.is_empty() {
            return (204, "", String::new());
        }
        let message = format!(
            "failure writing points to database: partial write: points beyond retention policy \
             dropped={}",
            bad.len()
        );
        (422, "", format!(r#"{{"code":"unprocessable entity","message":"{message}"}}"#))
    }
}
