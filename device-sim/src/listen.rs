//! Listens to triggers as an insurer does: with a session that the broker keeps while we are away.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};

use crate::limits::Limits;
use crate::options::{Login, Options, Protocol, Qos};
use crate::packet::{Hello, Incoming};
use crate::report::Run;
use crate::session::{Session, SessionError};
use crate::settings::BenchError;
use crate::stats::lock;
use crate::trigger::Recorded;
use crate::verify::{Verdict, judge};

const KEEP_ALIVE_S: u16 = 20;
/// The broker keeps what comes while we are away for so long.
const SESSION_S: u32 = 3_600;
const BACKOFF: Duration = Duration::from_millis(500);

/// What came so far.
pub type Heard = Mutex<Vec<Recorded>>;

/// Subscribes to `filter` until `stop` says so. What comes is in `heard`; `subscribed` becomes true
/// when the broker has accepted the subscription. Each message is also written to `file`, if there
/// is one.
///
/// # Errors
/// When the broker refuses the subscription, or `file` cannot be written.
pub async fn listen(
    options: &Options,
    client_id: &str,
    filter: &str,
    heard: &Heard,
    mut file: Option<impl Write>,
    subscribed: watch::Sender<bool>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let login = match &options.login {
        Login::User { name, password } => Some((name.clone(), password.clone())),
        Login::Device { .. } | Login::Anonymous => None,
    };
    let hello = Hello {
        client_id: client_id.into(),
        login,
        keep_alive_s: KEEP_ALIVE_S,
        will: None,
        session_s: SESSION_S,
    };
    let ended = loop {
        let listening = session(options, &hello, filter, &mut file, &subscribed, heard);
        tokio::select! {
            _ = stop.wait_for(|&stop| stop) => break Ok(()),
            ended = listening => match ended {
                Ended::Session(error) => tracing::warn!(%error, "not listening, trying again"),
                Ended::Refused => {
                    break Err(io::Error::other(format!(
                        "the broker refuses the subscription to {filter}"
                    )));
                }
                Ended::File(error) => break Err(error),
            },
        }
        tokio::select! {
            _ = stop.wait_for(|&stop| stop) => break Ok(()),
            () = sleep(BACKOFF) => {}
        }
    };
    if options.best_protocol() == Protocol::V3_1_1 {
        forget(options, hello).await;
    }
    ended
}

/// MQTT 3.1.1 cannot say for how long a broker is to keep a session: one that keeps none takes its
/// place. A broker that is away keeps it.
async fn forget(options: &Options, hello: Hello) {
    let hello = Hello { session_s: 0, ..hello };
    if let Ok(session) = Session::open(options, Protocol::V3_1_1, None, &hello).await {
        timeout(BACKOFF, session.close()).await.ok();
    }
}

/// Hears triggers in the background.
pub(crate) struct Listener {
    heard: Arc<Heard>,
    stop: watch::Sender<bool>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Listener {
    pub(crate) async fn start(options: &Options, record: Option<File>) -> Result<Self, BenchError> {
        let heard = Arc::new(Heard::default());
        let (subscribed, mut ready) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        let ears = options.connect_only();
        let hearing = Arc::clone(&heard);
        let mut task = tokio::spawn(async move {
            let client_id = format!("device-sim-listener-{}", std::process::id());
            listen(&ears, &client_id, "triggers/#", &hearing, record, subscribed, stopped).await
        });
        tokio::select! {
            ended = &mut task => ended??,
            _ = ready.wait_for(|&ready| ready) => {}
            () = sleep(options.settle) => {
                task.abort();
                return Err(BenchError::NoBroker(options.broker.clone(), options.settle));
            }
        }
        Ok(Self { heard, stop, task })
    }

    /// Waits for what is missing, at most for the grace, and judges.
    pub(crate) async fn judge(
        self,
        run: &Run,
        limits: &Limits,
        grace: Duration,
    ) -> Result<Verdict, BenchError> {
        let ended = Instant::now();
        let judged = || judge(&run.truths, &lock(&self.heard), limits, run.clock);
        while ended.elapsed() < grace && judged().is_short() {
            sleep(Duration::from_millis(500)).await;
        }
        // What is false or doubled comes at about the same time as what is right.
        sleep(Duration::from_secs(1)).await;
        self.stop.send_replace(true);
        let verdict = judged();
        self.task.await??;
        Ok(verdict)
    }
}

enum Ended {
    Session(SessionError),
    Refused,
    File(io::Error),
}

async fn session(
    options: &Options,
    hello: &Hello,
    filter: &str,
    file: &mut Option<impl Write>,
    subscribed: &watch::Sender<bool>,
    heard: &Heard,
) -> Ended {
    let mut session = match Session::open(options, options.best_protocol(), None, hello).await {
        Ok(session) => session,
        Err(error) => return Ended::Session(error),
    };
    session.subscribe(filter, Qos::AtLeastOnce);
    loop {
        let wake = session.wake();
        let incoming = tokio::select! {
            biased;
            incoming = session.next() => incoming,
            () = sleep_until(wake) => session.keep_alive().map(|()| Incoming::Other),
        };
        match incoming {
            Err(error) => return Ended::Session(error),
            Ok(Incoming::Subscribed { refused: true }) => return Ended::Refused,
            Ok(Incoming::Subscribed { refused: false }) => {
                subscribed.send_replace(true);
            }
            Ok(Incoming::Message { topic, payload, qos, id }) => {
                let received_at = Timestamp::now();
                // What is no JSON is kept as a text, so that it is counted as unreadable.
                let message = serde_json::from_slice(&payload).or_else(|_| {
                    serde_json::value::to_raw_value(&String::from_utf8_lossy(&payload))
                });
                if let Ok(message) = message {
                    let recorded = Recorded { topic, received_at, message };
                    if let Some(file) = file
                        && let Err(error) = write(file, &recorded)
                    {
                        return Ended::File(error);
                    }
                    lock(heard).push(recorded);
                }
                session.dealt_with(qos, id);
            }
            Ok(_) => {}
        }
    }
}

fn write(file: &mut impl Write, recorded: &Recorded) -> io::Result<()> {
    let mut line = serde_json::to_vec(recorded)?;
    line.push(b'\n');
    file.write_all(&line)
}
