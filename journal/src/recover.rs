//! What is read back at a start: secret, histories, fleet.

use std::collections::{BTreeSet, HashMap};

use enrich::registry::Registry;
use enrich::trigger::{Key, sha256_hex};
use ingest::Reading;
use rusqlite::Connection;

use crate::chunk::Damaged;
use crate::history::Histories;
use crate::live::{Live, read, write};
use crate::log::{Log, Size};
use crate::pseudonym;
use crate::rows::{self, Rows, take_blob, take_log_row};
use crate::seal::{damaged, decode_state, new_window};
use crate::store::set_meta;

pub(crate) fn last_position(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(position), 0) FROM trigger_out")?
        .query_row([], |row| row.get(0))
}

pub(crate) fn conversion(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

/// The journal's secrets; the first is made up when the journal is.
pub(crate) fn secrets(connection: &Connection) -> rusqlite::Result<Key> {
    if let Some(key) = pseudonym::key(connection)? {
        return Ok(key);
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.to_string().into()))?;
    set_meta(connection, "secret", &secret)?;
    tracing::info!(
        fingerprint = &sha256_hex(&secret)[..8],
        "made the secret of ids and pseudonyms"
    );
    Ok(Key::new(secret))
}

/// The windows that sealed history lies in, oldest first; there is always one to seal into.
pub(crate) fn load_windows(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut windows: Vec<i64> = connection
        .prepare("SELECT number FROM window ORDER BY number")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if windows.is_empty() {
        windows.push(new_window(connection)?);
    }
    Ok(windows)
}

/// Sealed states, then what of the log is not sealed over them.
pub(crate) fn load_histories(
    connection: &Connection,
    histories: &mut Histories,
) -> rusqlite::Result<Log> {
    let mut log = Log::load(connection)?;
    let mut devices = connection.prepare("SELECT device, start_ms, state FROM device")?;
    let mut rows = devices.query([])?;
    while let Some(row) = rows.next()? {
        let history = histories.entry(row.get(0)?);
        history.start_ms = row.get(1)?;
        history.keep(&decode_state(row.get_ref(2)?.as_blob()?)?);
    }
    let mut late = BTreeSet::new();
    let mut ends: HashMap<u32, i64> = HashMap::new();
    let mut batches =
        connection.prepare("SELECT readings, rows, states FROM batch WHERE id > ?1 ORDER BY id")?;
    let mut rows = batches.query([log.sealed])?;
    while let Some(row) = rows.next()? {
        let readings = row.get::<_, i64>(0)?;
        let (mut blob, mut states) = (row.get_ref(1)?.as_blob()?, row.get_ref(2)?.as_blob()?);
        log.open += Size { readings: readings as u64, bytes: (blob.len() + states.len()) as u64 };
        let mut found = 0;
        while let Some((device, reading)) = take_log_row(&mut blob) {
            found += 1;
            let history = histories.entry(device);
            if reading.time_ms < history.start_ms {
                continue;
            }
            if ends.insert(device, reading.time_ms).is_some_and(|end| end >= reading.time_ms) {
                late.insert(device);
            }
            history.open.push(&reading);
        }
        while let Some((device, state)) = take_blob(&mut states) {
            let history = histories.entry(device);
            history.keep(&decode_state(state)?);
            history.logged = true;
        }
        // What was acknowledged is all there, or the journal is not to be trusted.
        if found != readings || !blob.is_empty() || !states.is_empty() {
            return Err(damaged(Damaged));
        }
    }
    for device in late {
        let history = histories.entry(device);
        let mut readings = history.open.readings();
        readings.sort_by(Reading::history_order);
        history.open = Rows::of(&readings);
    }
    Ok(log)
}

/// The fleet as it was last heard of.
pub(crate) fn show_fleet(
    connection: &Connection,
    live: &Live,
    registry: &Registry,
) -> rusqlite::Result<()> {
    let histories = read(&live.histories);
    let mut fleet = write(&live.fleet);
    let mut sealed = connection.prepare("SELECT device, last FROM device")?;
    let mut rows = sealed.query([])?;
    while let Some(row) = rows.next()? {
        let last = rows::decode(&mut row.get_ref(1)?.as_blob()?);
        if let (Some(known), Some(last)) = (registry.device_by_number(row.get(0)?), last) {
            fleet.show(known, &last);
        }
    }
    for known in registry.devices() {
        let history = histories.get(known.number);
        if let Some(last) = history.and_then(|history| history.open.last()) {
            fleet.show(known, &last);
        }
    }
    Ok(())
}
