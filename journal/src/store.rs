//! The SQLite file: opening it with care, and its tables.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

const FILE: &str = "journal.sqlite";

/// "DNJ1": says that the file is ours.
const APPLICATION_ID: i64 = 0x444e_4a31;
const VERSION: i64 = 7;

/// A file up to this size is checked whole at every start, which takes well under a second.
const CHECKED_WHOLE_BYTES: u64 = 64 << 20;

const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    -- Who is who, an entry a row, in the order they came: it numbers customers and devices.
    CREATE TABLE registry (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, entry TEXT NOT NULL);
    -- The log: what each transaction stored and what it was computed from.
    CREATE TABLE batch (
        id INTEGER PRIMARY KEY, now_ms INTEGER NOT NULL, registry_version INTEGER NOT NULL,
        rules TEXT NOT NULL, weather TEXT NOT NULL,
        readings INTEGER NOT NULL, rows BLOB NOT NULL, states BLOB NOT NULL);
    -- The texts of the rules behind the name that a batch gives for them.
    CREATE TABLE rule_set (name TEXT PRIMARY KEY, since_ms INTEGER NOT NULL, rules TEXT NOT NULL)
        WITHOUT ROWID;
    -- Sealed history in columns. A window is one pass over all devices, so that a pass writes
    -- pages one after the other. `state` is what the detectors knew at `start_ms`.
    CREATE TABLE chunk (
        window INTEGER NOT NULL, device INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        readings INTEGER NOT NULL, state BLOB NOT NULL, columns BLOB NOT NULL,
        PRIMARY KEY (window, device, start_ms)) WITHOUT ROWID;
    CREATE TABLE window (number INTEGER PRIMARY KEY);
    -- Per device: where its open stretch of history starts, what the detectors knew there, and
    -- what they knew when it was last sealed, and the last reading. What came later is in the log.
    CREATE TABLE device (
        device INTEGER PRIMARY KEY, start_ms INTEGER NOT NULL,
        base BLOB NOT NULL, state BLOB NOT NULL, last BLOB NOT NULL);
    CREATE TABLE timer (device INTEGER PRIMARY KEY, wake_ms INTEGER NOT NULL);
    CREATE TABLE event (
        number INTEGER PRIMARY KEY, device INTEGER NOT NULL, customer INTEGER NOT NULL,
        known_ms INTEGER NOT NULL, time_ms INTEGER NOT NULL, revision INTEGER NOT NULL,
        withdrawn INTEGER NOT NULL, cause TEXT NOT NULL, body TEXT NOT NULL);
    CREATE INDEX event_by_device ON event (device, known_ms);
    CREATE INDEX event_by_cause ON event (device, cause);
    -- The outbox: all that is ever said, in the order it goes out. `outcome` is released, expired,
    -- withheld where a consent ended before it was sent, waiting (for quiet hours to end) or
    -- suppressed, with the reason; `purpose` is what it was consented for.
    CREATE TABLE trigger_out (
        position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, revision INTEGER NOT NULL,
        status TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT, event INTEGER NOT NULL,
        rule TEXT NOT NULL DEFAULT '', counts INTEGER NOT NULL DEFAULT 0,
        happened_ms INTEGER NOT NULL DEFAULT 0,
        insurer TEXT NOT NULL, product TEXT NOT NULL, purpose TEXT NOT NULL, sequence INTEGER,
        customer INTEGER NOT NULL,
        subject TEXT NOT NULL, key_version INTEGER NOT NULL,
        said_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
        body TEXT NOT NULL, evidence TEXT NOT NULL,
        UNIQUE (id, revision));
    CREATE INDEX trigger_by_customer ON trigger_out (customer, said_ms);
    CREATE INDEX trigger_by_happening ON trigger_out (customer, happened_ms);
    CREATE INDEX trigger_by_event ON trigger_out (event);
    CREATE UNIQUE INDEX trigger_by_sequence ON trigger_out (insurer, product, sequence)
        WHERE sequence IS NOT NULL;
    CREATE TABLE sequence (
        insurer TEXT NOT NULL, product TEXT NOT NULL, last INTEGER NOT NULL,
        PRIMARY KEY (insurer, product)) WITHOUT ROWID;
    -- Events that wait until `due_ms`: for their weather, or, without a place, for quiet hours to end.
    CREATE TABLE waiting (
        event INTEGER PRIMARY KEY, device INTEGER NOT NULL, lat_e7 INTEGER,
        lon_e7 INTEGER, time_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL);
    -- What weather feeds gave, a series of hours a row, and what they remember of their asking.
    CREATE TABLE weather (
        number INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, known_ms INTEGER NOT NULL,
        last_valid_ms INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE INDEX weather_by_age ON weather (last_valid_ms);
    CREATE TABLE weather_feed (feed TEXT PRIMARY KEY, ledger BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE cursor (output TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
    -- Of a device or of an insurer. A number is never given again: whoever saw one means that message.
    -- `broker` is where it came
    -- from, NULL for what an output could not bring home; `sent_bytes` how much was sent.
    CREATE TABLE quarantine (
        number INTEGER PRIMARY KEY AUTOINCREMENT, device INTEGER, insurer TEXT,
        received_ms INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
        broker TEXT, topic TEXT NOT NULL, sent_bytes INTEGER NOT NULL,
        payload BLOB NOT NULL);
    CREATE INDEX quarantine_by_age ON quarantine (received_ms);
    CREATE INDEX quarantine_by_device ON quarantine (device);
    -- What insurers reported; of several with the same insurer, kind and id the last one stands.
    CREATE TABLE report (
        number INTEGER PRIMARY KEY AUTOINCREMENT, insurer TEXT NOT NULL, kind TEXT NOT NULL,
        id TEXT NOT NULL, digest TEXT NOT NULL, customer INTEGER NOT NULL,
        received_ms INTEGER NOT NULL, body TEXT NOT NULL,
        UNIQUE (insurer, kind, id, digest));
    CREATE INDEX report_by_customer ON report (customer);
    -- What was deleted because nobody may keep it any more: while that is under way, of whom and
    -- since when; and what it came to.
    CREATE TABLE deletion (number INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT, receipt TEXT NOT NULL);
";

/// The journal cannot be used as it is. It was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "another Datanaut is using {0}: stop it first, or give this one a data directory of its own"
    )]
    Locked(PathBuf),
    #[error(
        "{file} is damaged ({detail}): restore it from a backup, or move it aside to start with an \
         empty journal; it has not been changed"
    )]
    Damaged { file: PathBuf, detail: String },
    #[error(
        "{0} is not a Datanaut journal: choose another data directory; the file has not been changed"
    )]
    NotOurs(PathBuf),
    #[error(
        "{file} was written by another version of Datanaut (format {found}, this one reads {VERSION}): run that \
         version, or move it aside to start with an empty journal; it has not been changed"
    )]
    OtherVersion { file: PathBuf, found: i64 },
    #[error("cannot use the data directory {dir}: {error}; check that it exists and is writable")]
    Directory { dir: PathBuf, error: std::io::Error },
    #[error("cannot open the journal {file}: {error}")]
    Sqlite { file: PathBuf, error: rusqlite::Error },
}

/// The open journal file. The lock goes with it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) connection: Connection,
    _lock: File,
}

impl Store {
    /// Opens or creates the journal in `dir`; refuses what is locked, damaged or not ours.
    pub(crate) fn open(dir: &Path) -> Result<Self, OpenError> {
        let directory = |error| OpenError::Directory { dir: dir.to_owned(), error };
        std::fs::create_dir_all(dir).map_err(directory)?;
        let lock = lock(dir)?;
        let file = dir.join(FILE);
        let size = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
        let opened = open_file(&file, size).and_then(|connection| {
            prepare(&connection, size)?;
            Ok(connection)
        });
        match opened {
            Ok(connection) => Ok(Self { connection, _lock: lock }),
            Err(Refused::Foreign) => Err(OpenError::NotOurs(file)),
            Err(Refused::Version(found)) => Err(OpenError::OtherVersion { file, found }),
            Err(Refused::Damaged(detail)) => Err(OpenError::Damaged { file, detail }),
            Err(Refused::Sqlite(error)) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    Err(OpenError::Damaged { file, detail: error.to_string() })
                }
                _ => Err(OpenError::Sqlite { file, error }),
            },
        }
    }
}

/// A connection that only reads, for queries beside the writer.
pub(crate) fn open_reader(dir: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(dir.join(FILE), flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    Ok(connection)
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let directory = |error| OpenError::Directory { dir: dir.to_owned(), error };
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(directory)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(directory(error)),
    }
}

enum Refused {
    Foreign,
    Version(i64),
    Damaged(String),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn open_file(file: &Path, size: u64) -> Result<Connection, Refused> {
    let connection = Connection::open(file)?;
    if size > 0 {
        // Before any setting that writes: a file that is not ours stays as it is.
        let id: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        // A crash between creating the file and its tables leaves an empty database: ours to fill.
        if tables > 0 && id != APPLICATION_ID {
            return Err(Refused::Foreign);
        }
        if tables > 0 && version != VERSION {
            return Err(Refused::Version(version));
        }
    }
    Ok(connection)
}

/// From here on, as much of the file in memory as measured best. A start reads most of it once, and
/// would leave it there.
pub(crate) fn widen_cache(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA cache_size = -65536")
}

fn prepare(connection: &Connection, size: u64) -> Result<(), Refused> {
    connection.execute_batch(
        // FULL: a power cut loses nothing acknowledged. The sizes measured best on 16 kB pages.
        "PRAGMA page_size = 16384;
         PRAGMA secure_delete = ON;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 5000;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -2048;
         PRAGMA temp_store = MEMORY;",
    )?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        connection.execute_batch(&format!(
            "BEGIN; {TABLES}
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {VERSION};
             COMMIT;"
        ))?;
    } else if size <= CHECKED_WHOLE_BYTES {
        let verdict: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(Refused::Damaged(verdict.lines().next().unwrap_or_default().to_owned()));
        }
    }
    // A journal of before there were webhooks has none of them, and is the same otherwise.
    connection.execute_batch(crate::webhook::TABLES)?;
    connection.execute_batch(crate::claims::TABLES)?;
    connection.execute_batch(crate::feedback::TABLES)?;
    connection.execute_batch(crate::trips::TABLES)?;
    connection.execute_batch(crate::weather::TABLES)?;
    connection.execute_batch(crate::retention::TABLES)?;
    Ok(())
}

/// A named blob of the journal's own, if it is there.
pub(crate) fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

pub(crate) fn set_meta(connection: &Connection, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2")?
        .execute((key, value))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{FILE, OpenError, Store};

    #[test]
    fn a_second_process_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = Store::open(dir.path()).unwrap();
        let error = Store::open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::Locked(_)), "{error}");
        drop(first);
        Store::open(dir.path()).unwrap();
    }

    #[test]
    fn a_damaged_file_is_refused_with_advice_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let file = dir.path().join(FILE);
        let sound = std::fs::read(&file).unwrap();
        let damages: [fn(&mut Vec<u8>); 3] = [
            |bytes| bytes[..64].fill(0x55),
            |bytes| bytes.truncate(bytes.len() / 2),
            |bytes| bytes[16_384..].fill(0xaa),
        ];
        for damage in damages {
            let mut bytes = sound.clone();
            damage(&mut bytes);
            std::fs::write(&file, &bytes).unwrap();
            let error = Store::open(dir.path()).unwrap_err();
            assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains("restore"));
            assert_eq!(std::fs::read(&file).unwrap(), bytes, "never overwritten");
        }
    }

    #[test]
    fn a_journal_of_another_version_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        let store = Store::open(dir.path()).unwrap();
        store.connection.execute_batch("PRAGMA user_version = 6").unwrap();
        drop(store);
        let before = std::fs::read(&file).unwrap();
        let error = Store::open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::OtherVersion { found: 6, .. }), "{error}");
        assert!(error.to_string().contains("move it aside"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), before, "never overwritten");
    }

    #[test]
    fn somebody_elses_database_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        let other = rusqlite::Connection::open(&file).unwrap();
        other.execute_batch("CREATE TABLE letters (text TEXT)").unwrap();
        drop(other);
        assert!(matches!(Store::open(dir.path()).unwrap_err(), OpenError::NotOurs(_)));
    }
}
