//! The registry in the file and in memory.

use std::sync::{Arc, RwLock, RwLockReadGuard};

use enrich::registry::{Consent, Entry, Numbered, Registry};
use enrich::trigger::Key;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::live::{read, write};
use crate::outbox::{json, to_json};
use crate::store::{meta, set_meta};

/// The registry as of the last change, for everybody who looks things up. Only the writer changes
/// it, entry by entry and in place, after the change is committed.
#[derive(Clone, Debug, Default)]
pub struct SharedRegistry(Arc<RwLock<Registry>>);

impl SharedRegistry {
    pub(crate) fn new(registry: Registry) -> Self {
        Self(Arc::new(RwLock::new(registry)))
    }

    /// A change waits for this to be let go: do not keep it.
    pub fn read(&self) -> RwLockReadGuard<'_, Registry> {
        read(&self.0)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Registry)) {
        change(&mut write(&self.0));
    }
}

/// The registry from the journal, with what the seed has and it has not.
pub(crate) fn load(
    connection: &Connection,
    seed: Vec<Entry>,
    key: &Key,
) -> rusqlite::Result<Registry> {
    let transaction = connection.unchecked_transaction()?;
    let mut registry = stored(&transaction)?;
    // A large fleet's file is the same at nearly every start.
    let seeded = digest(seed.iter().map(Entry::key));
    if meta(&transaction, "seeded")?.as_ref() != Some(&seeded) {
        let added = import(&transaction, &registry, key, seed)?;
        if !added.is_empty() {
            set_version(&transaction, registry.version + 1)?;
            drop((added, registry));
            // Instead of adding them: what was read from a file lies about in more memory.
            registry = stored(&transaction)?;
        }
        set_meta(&transaction, "seeded", &seeded)?;
    }
    transaction.commit()?;
    Ok(registry)
}

/// The SHA-256 of the keys, a line each.
fn digest(keys: impl Iterator<Item = String>) -> Vec<u8> {
    let mut hash = Sha256::new();
    for (at, key) in keys.enumerate() {
        if at > 0 {
            hash.update(b"\n");
        }
        hash.update(key.as_bytes());
    }
    hash.finalize().to_vec()
}

/// The registry as it is in the file.
pub(crate) fn stored(connection: &Connection) -> rusqlite::Result<Registry> {
    let mut registry = Registry::default();
    let mut select = connection.prepare("SELECT entry FROM registry ORDER BY number")?;
    for entry in select.query_map([], |row| json::<Entry>(row, 0))? {
        registry.apply(entry?);
    }
    registry.version = version(connection)?;
    Ok(registry)
}

fn version(connection: &Connection) -> rusqlite::Result<u64> {
    let bytes = meta(connection, "registry_version")?.and_then(|bytes| bytes.try_into().ok());
    Ok(bytes.map_or(0, u64::from_le_bytes))
}

pub(crate) fn set_version(connection: &Connection, version: u64) -> rusqlite::Result<()> {
    set_meta(connection, "registry_version", &version.to_le_bytes())
}

/// Adds the entries that are not there yet, and returns them. What is there is not changed; what
/// was erased does not come back, nor does a consent that was withdrawn since.
pub(crate) fn import(
    connection: &Connection,
    registry: &Registry,
    key: &Key,
    entries: Vec<Entry>,
) -> rusqlite::Result<Vec<Entry>> {
    let mut insert =
        connection.prepare("INSERT OR IGNORE INTO registry (key, entry) VALUES (?1, ?2)")?;
    let mut added = Vec::new();
    for entry in entries {
        if shares_a_login(&entry, registry) {
            tracing::error!(
                "an entry of the registry's file is left out: a device and an insurer would log in \
                 with the same id; choose another for one of them"
            );
            continue;
        }
        let welcome = !is_of_erased(&entry, registry, key) && !is_withdrawn(&entry, registry);
        if welcome && insert.execute((entry.key(), to_json(&entry)?))? > 0 {
            added.push(entry);
        }
    }
    Ok(added)
}

/// Writes an entry in the place of the one with its key.
pub(crate) fn put(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO registry (key, entry) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET entry = ?2",
        )?
        .execute((entry.key(), to_json(entry)?))?;
    Ok(())
}

fn is_of_erased(entry: &Entry, registry: &Registry, key: &Key) -> bool {
    let erased = |what: Numbered, id: &str| registry.was_erased(&key.of_erased(what.name(), id));
    registry.has_erased()
        && match entry {
            Entry::Insurer(_) | Entry::Erased(_) => false,
            Entry::Customer(customer) => erased(Numbered::Customer, &customer.id),
            Entry::Device(device) => erased(Numbered::Device, &device.id),
            Entry::Ownership(own) => {
                erased(Numbered::Customer, &own.customer) || erased(Numbered::Device, &own.device)
            }
            Entry::Policy(policy) => erased(Numbered::Customer, &policy.customer),
            Entry::Consent(consent) => erased(Numbered::Customer, &consent.customer),
            Entry::Geofence(fence) => {
                fence.customer.as_ref().is_some_and(|id| erased(Numbered::Customer, id))
            }
        }
}

/// A file is checked by itself before it is read into a registry that has others already.
fn shares_a_login(entry: &Entry, registry: &Registry) -> bool {
    match entry {
        Entry::Device(device) => registry.insurer(&device.id).is_some(),
        Entry::Insurer(insurer) => registry.device(&insurer.id).is_some(),
        _ => false,
    }
}

fn is_withdrawn(entry: &Entry, registry: &Registry) -> bool {
    let Entry::Consent(new) = entry else { return false };
    let Some(customer) = registry.customer_number(&new.customer) else { return false };
    let ended_since = |old: &Consent| {
        old.is_of(&new.insurer, new.purpose)
            && old.span.to_ms.is_some_and(|to_ms| new.span.from_ms <= to_ms)
    };
    registry.consents_of(customer).iter().any(ended_since)
}
