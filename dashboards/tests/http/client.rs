//! As little HTTP as it takes to ask.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// Checks that it is a refusal that says what to do, and returns what is wrong.
    #[track_caller]
    pub fn refusal(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let json = self.json();
        assert!(json["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{json}");
        json["error"].as_str().unwrap().to_owned()
    }
}

pub async fn get(addr: SocketAddr, path: &str) -> Answer {
    ask(addr, "GET", path, &[]).await
}

pub async fn ask(addr: SocketAddr, method: &str, path: &str, headers: &[&str]) -> Answer {
    send(addr, method, path, headers, "").await
}

pub async fn send(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|header| header.starts_with("Host:")) {
        request += &format!("Host: {addr}\r\n");
    }
    for header in headers {
        request += &format!("{header}\r\n");
    }
    if !body.is_empty() {
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    let mut socket = TcpStream::connect(addr).await.unwrap();
    socket.write_all((request + "\r\n" + body).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let read = socket.read_to_end(&mut bytes);
    tokio::time::timeout(PATIENCE, read).await.expect("an answer in time").unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// Asks again until the answer is as wanted.
pub async fn wait_for(addr: SocketAddr, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let asking = async {
        loop {
            let json = get(addr, path).await.json();
            if wanted(&json) {
                return json;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the wanted answer in time")
}

/// A live stream being read.
pub struct Watcher {
    socket: TcpStream,
    unread: String,
}

impl Watcher {
    pub async fn open(addr: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        // HTTP/1.0 has no chunks: what comes is what was written.
        socket.write_all(b"GET /v1/stream HTTP/1.0\r\n\r\n").await.unwrap();
        let mut watcher = Self { socket, unread: String::new() };
        let head = watcher.until("\r\n\r\n").await.expect("a head");
        assert!(head.contains("200 OK") && head.contains("text/event-stream"), "{head}");
        assert_eq!(watcher.until("\n\n").await.as_deref(), Some("retry: 2000"));
        watcher
    }

    /// The next frame of that name, passing over others; `None` when the stream has ended.
    pub async fn next(&mut self, event: &str) -> Option<Value> {
        loop {
            let frame = self.until("\n\n").await?;
            let (name, data) = frame.split_once("\ndata: ").expect("a frame");
            if name == format!("event: {event}") {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }

    async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some((part, rest)) = self.unread.split_once(end) {
                let part = part.to_owned();
                self.unread = rest.to_owned();
                return Some(part);
            }
            let mut bytes = [0; 65_536];
            let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut bytes)).await;
            match read.expect("a frame in time").unwrap() {
                0 => return None,
                length => self.unread += std::str::from_utf8(&bytes[..length]).unwrap(),
            }
        }
    }
}
