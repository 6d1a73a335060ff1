//! The handle to a running journal: how it is opened, and what may be asked of the writer.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use enrich::registry::{Entry, Product};
use enrich::rules::RuleSet;
use enrich::{Here, World};
use ingest::{Arrival, Clock, Reason};
use rusqlite::ErrorCode;
use tokio::sync::{mpsc, oneshot};

use crate::Reader;
use crate::change::{Change, ChangeError, Changed};
use crate::link::Links;
use crate::live::Live;
use crate::log::Followers;
use crate::place::Place;
use crate::registry::SharedRegistry;
use crate::retention::Retention;
use crate::store::{OpenError, Store};
use crate::test_trigger::TestTrigger;
use crate::weather::WeatherAnswer;
use crate::webhook::Recorded;
use crate::writer::Writer;

/// Arrivals wait here: one a connection, since a connection waits for its acknowledgement. Enough
/// for two full batches; when it is full, connections wait, which is what they are told to do.
const ARRIVALS: usize = 8_192;

/// Commands wait here; they are rare and small.
const COMMANDS: usize = 64;

/// How a journal is opened.
#[derive(Debug)]
pub struct Options {
    pub dir: PathBuf,
    /// Entries the registry is seeded with: those it does not have yet are added.
    pub seed: Vec<Entry>,
    pub world: World,
    /// Names the weather feed in what is recorded.
    pub weather: String,
    /// How long an event waits for weather that a feed may still give.
    pub weather_wait_ms: i64,
    pub rules: RuleSet,
    pub clock: Clock,
    /// How far behind its device's newest reading one may come and still change events.
    pub horizon_ms: i64,
    /// How long everything is kept.
    pub retention: Retention,
    /// How long a claim waits for readings of its time, before it is answered without.
    pub claim_wait_ms: i64,
    /// Most messages in a transaction: larger batches commit hardly faster, and wait longer.
    pub max_batch: usize,
    /// How many readings stay in the log before a pass seals them: [`LOG_READINGS`] unless there
    /// is a reason.
    pub log_readings: u64,
    /// For whom the log is kept longer than that.
    pub followers: Followers,
}

/// A running journal.
#[derive(Debug)]
pub struct Started {
    pub journal: Journal,
    /// Where arrivals go. When all senders are gone and it is empty, the writer ends.
    pub arrivals: mpsc::Sender<Arrival>,
}

/// The handle to a running journal.
#[derive(Clone, Debug)]
pub struct Journal {
    live: Arc<Live>,
    reader: Reader,
    registry: SharedRegistry,
    links: Links,
    commands: mpsc::Sender<Command>,
    thread: Arc<std::sync::Mutex<Option<JoinHandle<()>>>>,
}

/// The journal has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal has stopped: start Datanaut again")]
pub struct Closed;

/// What an output could not bring home, for quarantine: the reading itself is stored, and counted
/// as that.
#[derive(Clone, Debug, PartialEq)]
pub struct PutAway {
    pub device: u32,
    pub reason: Reason,
    /// What the other side said.
    pub detail: String,
    /// Where it was to go.
    pub topic: String,
    pub payload: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Command {
    Advance { output: &'static str, position: i64 },
    PutAway(Vec<PutAway>),
    Rules(Box<RuleSet>),
    Weather(WeatherAnswer),
    Webhook(Recorded),
    Change(Change, oneshot::Sender<Result<Changed, ChangeError>>),
    Rotate(oneshot::Sender<Result<u32, ChangeError>>),
    Look(Place, oneshot::Sender<Box<Here>>),
    DeletedElsewhere(i64, oneshot::Sender<bool>),
    Test(Arc<str>, Product, oneshot::Sender<Result<TestTrigger, ChangeError>>),
}

impl Journal {
    /// Opens the journal, recovers all state and starts the writer on a thread of its own.
    pub fn start(options: Options) -> Result<Started, OpenError> {
        let store = Store::open(&options.dir)?;
        let file = options.dir.clone();
        let writer =
            Writer::recover(store, options).map_err(|error| match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    OpenError::Damaged { file: file.clone(), detail: error.to_string() }
                }
                _ => OpenError::Sqlite { file: file.clone(), error },
            })?;
        let (arrivals, arriving) = mpsc::channel(ARRIVALS);
        let (commands, commanded) = mpsc::channel(COMMANDS);
        let live = writer.live.clone();
        let registry = writer.core.registry.clone();
        let links = Links::new(writer.core.key.clone());
        let reader = Reader::new(&file, live.clone());
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(arriving, commanded))
            .map_err(|error| OpenError::Directory { dir: file, error })?;
        let thread = Arc::new(std::sync::Mutex::new(Some(thread)));
        let journal = Self { live, reader, registry, links, commands, thread };
        Ok(Started { journal, arrivals })
    }

    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        self.live.clone()
    }

    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    #[must_use]
    pub fn registry(&self) -> SharedRegistry {
        self.registry.clone()
    }

    /// Makes and checks links to customers' pages.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Records that an output has dealt with everything up to `position`.
    pub async fn advance(&self, output: &'static str, position: i64) -> Result<(), Closed> {
        self.commands.send(Command::Advance { output, position }).await.map_err(|_| Closed)
    }

    /// Puts away what an output could not bring home. It is committed before a cursor that is
    /// advanced after it, or with it.
    pub async fn put_away(&self, rows: Vec<PutAway>) -> Result<(), Closed> {
        self.commands.send(Command::PutAway(rows)).await.map_err(|_| Closed)
    }

    pub(crate) async fn command(&self, command: Command) -> Result<(), Closed> {
        self.commands.send(command).await.map_err(|_| Closed)
    }

    /// Puts these rules in the place of those in force: the next batch goes by them.
    pub async fn set_rules(&self, rules: RuleSet) -> Result<(), Closed> {
        self.commands.send(Command::Rules(Box::new(rules))).await.map_err(|_| Closed)
    }

    /// Hands in what asking a feed brought. Blocks while the writer is behind.
    ///
    /// # Errors
    /// When the journal has stopped.
    pub fn blocking_weather(&self, answer: WeatherAnswer) -> Result<(), Closed> {
        self.commands.blocking_send(Command::Weather(answer)).map_err(|_| Closed)
    }

    /// Changes the registry: committed when this returns, and in force for every batch after it.
    pub async fn change(&self, change: Change) -> Result<Changed, ChangeError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.commands.send(Command::Change(change, answer)).await;
        sent.map_err(|_| ChangeError::Closed)?;
        answered.await.map_err(|_| ChangeError::Closed)?
    }

    /// Waits until the writer has ended, which it does when all senders of arrivals are gone.
    pub fn join(&self) {
        let thread = self.thread.lock().map(|mut thread| thread.take());
        if let Ok(Some(thread)) = thread
            && thread.join().is_err()
        {
            tracing::error!("the journal's thread panicked; what it acknowledged is committed");
        }
    }
}
