//! Clients that take their time, or come too often.

use std::net::SocketAddr;
use std::time::Duration;

use dashboards::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::get;
use crate::site::Site;

const PATIENCE: Duration = Duration::from_secs(20);

fn impatient() -> Limits {
    let moment = Duration::from_millis(400);
    Limits { head: moment, body: moment, taking: moment, ..Limits::within(1_024) }
}

async fn connect(addr: SocketAddr, said: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    stream
}

/// All that is still to be read, until the server closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut read = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await;
    // A reset is an end, too.
    drop(closed.expect("the server keeps a connection that says nothing"));
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_too_long_is_let_go_and_told_why_where_that_is_possible() {
    let site = Site::limited(impatient()).await;
    let head = format!("Host: {}\r\nContent-Type: application/json\r\n", site.addr);
    let silent = connect(site.addr, "").await;
    let half_a_head = connect(site.addr, "GET /healthz HTTP/1.1\r\n").await;
    let idle = connect(site.addr, &format!("GET /healthz HTTP/1.1\r\n{head}\r\n")).await;
    let half_a_body = format!("POST /v1/devices HTTP/1.1\r\n{head}Content-Length: 99\r\n\r\n[");
    let half_a_body = connect(site.addr, &half_a_body).await;
    let endless =
        format!("POST /v1/devices HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n");
    let endless = connect(site.addr, &endless).await;
    assert!(!rest(silent).await.contains(" 200 "));
    assert!(!rest(half_a_head).await.contains(" 200 "));
    assert!(rest(idle).await.starts_with("HTTP/1.1 200 "), "answered, and then let go");
    for slow in [half_a_body, endless] {
        let answer = rest(slow).await;
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("took too long"),
            "{answer}"
        );
    }
    assert_eq!(get(site.addr, "/healthz").await.status, 200);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_all_the_places() {
    let site = Site::limited(Limits { connections: 9, from_one: 3, ..Limits::within(1_024) }).await;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", site.addr);
    let mut there = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(site.addr, &request).await;
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        there.push(stream);
    }
    assert_eq!(rest(TcpStream::connect(site.addr).await.unwrap()).await, "", "closed at once");
    drop(there.pop());
    // That it was left is noticed in a moment.
    answered(site.addr).await;
    site.stop().await;
}

/// Until there is a place.
async fn answered(addr: SocketAddr) {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    let asking = async {
        loop {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            let mut first = [0; 12];
            let asked = stream.write_all(request.as_bytes()).await;
            if asked.is_ok() && stream.read_exact(&mut first).await.is_ok() {
                return first;
            }
        }
    };
    let first = tokio::time::timeout(PATIENCE, asking).await.expect("no place becomes free");
    assert_eq!(&first, b"HTTP/1.1 200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_and_never_reads_loses_their_place() {
    let site = Site::limited(Limits { from_one: 1, ..impatient() }).await;
    let request = format!("GET /v1/basemap HTTP/1.1\r\nHost: {}\r\n\r\n", site.addr);
    // More than all that lies between the two can hold.
    let unread = connect(site.addr, &request.repeat(900)).await;
    answered(site.addr).await;
    drop(unread);
    site.stop().await;
}
