//! Webhooks against endpoints that fail, move, hang, or say that they are gone.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deliver::webhooks::{Endpoint, WebhookReport, Webhooks};
use enrich::registry::Product;
use ingest::Clock;
use journal::{Change, Circuit, EndpointState, Letter, Progress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::JUST_NOW;
use crate::peer::DEADLINE;
use crate::support::{Bench, NOW_MS};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request that arrived.
#[derive(Clone, Debug)]
struct Posted {
    id: String,
    /// By the clock of the webhooks.
    at_ms: i64,
    event: serde_json::Value,
}

/// An endpoint that answers as it is told to, and remembers what it got.
struct Inbox {
    addr: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
    task: JoinHandle<()>,
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inbox {
    /// `answer` is given what came and how many came before it; `None` never answers.
    async fn open(
        clock: Clock,
        answer: impl Fn(&Posted, usize) -> Option<&'static str> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let posted = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&posted);
        let task = tokio::spawn(async move {
            let mut hung = VecDeque::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let Some(request) = read(&mut socket, &clock).await else { continue };
                let before = all.lock().unwrap().len();
                all.lock().unwrap().push(request.clone());
                let Some(status) = answer(&request, before) else {
                    hung.push_back(socket);
                    continue;
                };
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                socket.write_all(answer.as_bytes()).await.ok();
            }
        });
        Self { addr, posted, task }
    }

    fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    fn endpoint(&self, name: &str, dir: &Path) -> Endpoint {
        let secret_file = dir.join(format!("{name}-secret"));
        std::fs::write(&secret_file, SECRET).unwrap();
        Endpoint {
            name: name.into(),
            insurer: "alpina".to_owned(),
            url: format!("http://{}/hook", self.addr),
            secret_file,
            products: vec!["travel".to_owned()],
            allow_private: true,
        }
    }
}

async fn read(socket: &mut TcpStream, clock: &Clock) -> Option<Posted> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let header = |name: &str| {
                let lines = head.lines().filter_map(|line| line.split_once(": "));
                lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v).next()
            };
            if body.len() >= header("content-length")?.parse().ok()? {
                assert!(header("webhook-signature")?.starts_with("v1,"));
                let id = header("webhook-id")?.to_owned();
                let event = serde_json::from_str(body).unwrap();
                return Some(Posted { id, at_ms: clock.now_ms(), event });
            }
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Runs webhooks, and stops them in the end.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    reports: Vec<watch::Receiver<WebhookReport>>,
}

impl Running {
    async fn start(bench: &Bench, clock: &Clock, endpoints: &[&Endpoint]) -> Self {
        let stop = watch::Sender::new(false);
        let of = endpoints.iter().map(|endpoint| (*endpoint).clone()).collect();
        let webhooks = Webhooks::new(of, &bench.journal, clock);
        let reports = webhooks.reports();
        let task = tokio::spawn(webhooks.run(stop.subscribe()));
        for endpoint in endpoints {
            let reader = bench.journal.reader();
            wait(|| reader.webhook_cursor(&endpoint.name).unwrap().is_some()).await;
        }
        Self { stop, task, reports }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap();
    }
}

async fn wait(condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < DEADLINE * 3, "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_tried_for_three_days_then_given_up_and_can_be_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path()).await;
    let clock = Clock::scaled(NOW_MS, 50_000.0);
    let inbox = Inbox::open(clock.clone(), |_, before| {
        Some(if before < 10 { "500 Internal Server Error" } else { "204 No Content" })
    })
    .await;
    let endpoint = inbox.endpoint("alpina", dir.path());
    let running = Running::start(&bench, &clock, &[&endpoint]).await;
    bench.cross(0..1, JUST_NOW).await;
    let reader = bench.journal.reader();
    wait(|| !reader.dead_letters("alpina", 0, 9).unwrap().is_empty()).await;

    let posted = inbox.posted();
    assert_eq!(posted.len(), 10);
    assert!(posted.iter().all(|attempt| attempt.id == posted[0].id), "one id for all attempts");
    let least_s = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
    for (pair, least_s) in posted.windows(2).zip(least_s) {
        let after_s = (pair[1].at_ms - pair[0].at_ms) / 1_000;
        assert!(after_s >= least_s * 9 / 10, "{after_s} s is too early after {least_s} s");
    }
    let dead = reader.dead_letters("alpina", 0, 9).unwrap();
    assert_eq!((dead[0].attempts, dead[0].error.as_str()), (10, "it answered 500"));

    let again = Letter { attempts: 0, next_ms: Some(clock.now_ms()), ..dead[0].clone() };
    let progress = Progress { letters: vec![again], ..Progress::default() };
    bench.journal.record_webhook("alpina".into(), progress).await.unwrap();
    wait(|| inbox.posted().len() == 11).await;
    wait(|| reader.next_letter("alpina").unwrap() == (None, 0)).await;
    assert_eq!(inbox.posted()[10].id, posted[0].id);
    assert_eq!(reader.endpoint("alpina").unwrap().unwrap().failures, 0);
    let report = running.reports[0].borrow().clone();
    assert_eq!((report.taken, report.failed, report.retries, report.given_up), (1, 10, 10, 1));
    assert_eq!(report.circuit, Circuit::Taking);
    running.stop().await;
}

fn withdraw(customer: &str) -> Change {
    let (customer, insurer) = (customer.into(), "alpina".into());
    Change::Withdraw { customer, insurer, purpose: Product::Travel }
}

/// Who withdraws while a message is tried again: what is tried next has nothing in it. What was
/// given up is not kept to be sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_taken_when_somebody_withdrew_is_never_sent_as_it_was() {
    for given_up in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::start(dir.path()).await;
        let clock = Clock::scaled(NOW_MS, 20_000.0);
        let taking = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let takes = Arc::clone(&taking);
        let inbox = Inbox::open(clock.clone(), move |_, _| {
            let takes = takes.load(std::sync::atomic::Ordering::SeqCst);
            Some(if takes { "200 OK" } else { "500 No" })
        })
        .await;
        let endpoint = inbox.endpoint("alpina", dir.path());
        let running = Running::start(&bench, &clock, &[&endpoint]).await;
        bench.cross(0..1, JUST_NOW).await;
        let reader = bench.journal.reader();
        match given_up {
            true => wait(|| !reader.dead_letters("alpina", 0, 9).unwrap().is_empty()).await,
            false => wait(|| reader.next_letter("alpina").unwrap().1 == 1).await,
        }
        let number = bench.journal.change(withdraw("car-000-owner")).await.unwrap();
        let before = inbox.posted().len();
        // Nothing is taken yet, so that what was on its way meanwhile is tried again as well.
        let erased = || {
            let posted = inbox.posted();
            let erased = posted.iter().filter(|posted| posted.event["data"]["reason"].is_string());
            erased.map(|posted| posted.id.clone()).collect::<BTreeSet<_>>().len()
        };
        // In its place where it is still tried, and in any case the request to delete.
        wait(|| erased() == if given_up { 1 } else { 2 }).await;
        taking.store(true, std::sync::atomic::Ordering::SeqCst);
        wait(|| reader.next_letter("alpina").unwrap() == (None, 0)).await;
        // The first of them may have been on its way.
        assert!(inbox.posted()[before + 1..].iter().all(|posted| {
            posted.event["data"]["reason"] == "consent_withdrawn"
                && posted.event.get("place").is_none()
        }));
        assert_eq!(reader.dead_letters("alpina", 0, 9).unwrap(), []);
        let why = &reader.released_after(0, 1).unwrap()[0];
        assert_eq!(
            (why.status.as_str(), why.body.kind.as_str()),
            ("erased", "io.datanaut.trigger.erased")
        );
        let receipt = reader.receipt(number.deletion.unwrap()).unwrap().unwrap();
        assert_eq!(receipt.dead_letters, u64::from(given_up));
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_that_is_not_taken_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path()).await;
    let clock = Clock::scaled(NOW_MS, 1.0);
    let inbox = Inbox::open(clock.clone(), |posted, _| {
        let poison = posted.event["sequence"] == "00000000000000000002";
        Some(if poison { "500 No" } else { "200 OK" })
    })
    .await;
    let endpoint = inbox.endpoint("alpina", dir.path());
    let running = Running::start(&bench, &clock, &[&endpoint]).await;
    bench.cross(0..20, JUST_NOW).await;
    wait(|| inbox.posted().len() >= 20).await;
    let mut sequences: Vec<_> = inbox
        .posted()
        .iter()
        .map(|posted| posted.event["sequence"].as_str().unwrap().to_owned())
        .collect();
    assert!(sequences.is_sorted(), "in order, but for what is tried again");
    sequences.dedup();
    assert_eq!(sequences.len(), 20);
    let (letter, letters) = bench.journal.reader().next_letter("alpina").unwrap();
    assert_eq!((letter.unwrap().error.as_str(), letters), ("it answered 500", 1));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_gone_is_asked_no_more_until_somebody_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path()).await;
    let clock = Clock::scaled(NOW_MS, 1.0);
    let inbox = Inbox::open(clock.clone(), |_, before| {
        Some(if before == 0 { "410 Gone" } else { "200 OK" })
    })
    .await;
    let endpoint = inbox.endpoint("alpina", dir.path());
    let running = Running::start(&bench, &clock, &[&endpoint]).await;
    bench.cross(0..3, JUST_NOW).await;
    let reader = bench.journal.reader();
    let gone = || reader.endpoint("alpina").unwrap().is_some_and(|now| now.gone_since_ms.is_some());
    wait(gone).await;
    running.stop().await;
    // Also after a start.
    let running = Running::start(&bench, &clock, &[&endpoint]).await;
    assert_eq!(inbox.posted().len(), 1);
    let state = EndpointState { url: endpoint.url.clone(), ..EndpointState::default() };
    let resumed = Progress { state: Some(state), ..Progress::default() };
    bench.journal.record_webhook("alpina".into(), resumed).await.unwrap();
    wait(|| inbox.posted().len() == 4).await;
    assert_eq!(inbox.posted()[1].id, inbox.posted()[0].id, "what it had refused comes first");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_where_it_was_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path()).await;
    let clock = Clock::scaled(NOW_MS, 1.0);
    let taking = Inbox::open(clock.clone(), |_, _| Some("200 OK")).await;
    let elsewhere = format!("307 Moved\r\nLocation: http://{}/", taking.addr);
    let elsewhere: &'static str = elsewhere.leak();
    let moving = Inbox::open(clock.clone(), move |_, _| Some(elsewhere)).await;
    let moved = moving.endpoint("moved", dir.path());
    // By address, and by a name for it.
    let inside = Endpoint { allow_private: false, ..taking.endpoint("inside", dir.path()) };
    let url = format!("http://localhost:{}/", taking.addr.port());
    let named = Endpoint { url, allow_private: false, ..taking.endpoint("named", dir.path()) };
    let running = Running::start(&bench, &clock, &[&moved, &inside, &named]).await;
    bench.cross(0..1, JUST_NOW).await;
    let reader = bench.journal.reader();
    for (name, expected) in [
        ("moved", "redirects are not followed"),
        ("inside", "127.0.0.1 is no public address"),
        ("named", "is no public address"),
    ] {
        let error = || reader.endpoint(name).unwrap().and_then(|now| now.error);
        wait(|| error().is_some()).await;
        assert!(error().unwrap().contains(expected), "{name}: {:?}", error());
    }
    assert!(taking.posted().is_empty() && !moving.posted().is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_hangs_delays_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path()).await;
    let clock = Clock::scaled(NOW_MS, 1.0);
    let hanging = Inbox::open(clock.clone(), |_, _| None).await;
    let taking = Inbox::open(clock.clone(), |_, _| Some("200 OK")).await;
    let (slow, good) = (hanging.endpoint("slow", dir.path()), taking.endpoint("good", dir.path()));
    let others = Endpoint { insurer: "boreal".to_owned(), ..taking.endpoint("others", dir.path()) };
    let running = Running::start(&bench, &clock, &[&slow, &good, &others]).await;
    bench.cross(0..50, JUST_NOW).await;
    wait(|| taking.posted().len() == 50).await;
    assert_eq!(hanging.posted().len(), 1);
    // What is on its way goes out again after the next start.
    assert_eq!(bench.journal.reader().webhook_cursor("slow").unwrap(), Some(0));
    assert_eq!(bench.journal.reader().webhook_cursor("others").unwrap(), Some(0));
    running.stop().await;
}
