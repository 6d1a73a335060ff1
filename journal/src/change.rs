//! What changes the registry: each change is a transaction of its own, in order with the batches.

use std::collections::HashSet;
use std::sync::Arc;

use enrich::registry::{
    Consent, Customer, Device, Entry, Erased, Known, Numbered, Ownership, Product, Registry, Span,
    is_id,
};
use enrich::trigger::Key;
use rusqlite::Connection;
use serde::Serialize;

use crate::live::{read, write};
use crate::outbox::to_json;
use crate::purge::{Purge, Why};
use crate::quarantine;
use crate::registry::{import, put, set_version};
use crate::report;
use crate::withhold::Withheld;
use crate::writer::Writer;

/// A change of the registry.
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds what is not there yet; changes nothing that is, but that geofences are drawn anew.
    Import(Vec<Entry>),
    Give {
        customer: Arc<str>,
        insurer: Arc<str>,
        purpose: Product,
        wording: Arc<str>,
    },
    /// Nothing that only this consent justified is kept, and what waits is not sent.
    Withdraw {
        customer: Arc<str>,
        insurer: Arc<str>,
        purpose: Product,
    },
    /// All of them or none.
    AddDevices(Vec<NewDevice>),
    RotateToken {
        device: Arc<str>,
        token_sha256: String,
    },
    /// The device is another customer's from now on.
    Transfer {
        device: Arc<str>,
        to: Arc<str>,
    },
    /// Nothing that leads to the customer is kept.
    Erase {
        customer: Arc<str>,
    },
}

/// A device, and whose it is from now on.
#[derive(Clone, Debug)]
pub struct NewDevice {
    pub device: Device,
    pub owner: Option<Arc<str>>,
}

/// A change that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The registry's version since.
    pub version: u64,
    /// Entries added or replaced.
    pub entries: usize,
    /// What is being deleted because of it: the number of the receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<i64>,
}

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no {kind} \"{id}\": add it first or correct the id")]
    Unknown { kind: &'static str, id: Arc<str> },
    #[error("there is a {kind} \"{id}\" already: choose another id")]
    Exists { kind: &'static str, id: Arc<str> },
    #[error("an insurer logs in as \"{0}\" already: choose another id")]
    SharedId(Arc<str>),
    #[error("the {kind} \"{id}\" was erased: choose another id")]
    Erased { kind: &'static str, id: Arc<str> },
    #[error("\"{0}\" is no id: write 1 to 64 of the characters A-Z a-z 0-9 . _ : -")]
    BadId(Arc<str>),
    #[error("this consent holds already: withdraw it first to give it with another wording")]
    AlreadyGiven,
    #[error(
        "there is no such consent to withdraw: see what was given with `datanaut consent list`"
    )]
    NotGiven,
    #[error("the device is this customer's already")]
    AlreadyTheirs,
    #[error("the system gives no random numbers: {0}; try again")]
    Random(getrandom::Error),
    #[error("the journal could not commit the change: {0}; free disk space or check the disk")]
    Journal(#[from] rusqlite::Error),
    #[error("the journal has stopped: start Datanaut again")]
    Closed,
}

/// What a change comes to.
#[derive(Default)]
struct Plan {
    imported: Vec<Entry>,
    put: Vec<Entry>,
    /// Consents that ended by it.
    ended: Vec<Consent>,
    erased: Option<Gone>,
}

/// A customer to be erased, with the devices that never were anybody else's.
struct Gone {
    number: u32,
    customer: Customer,
    digest: Arc<str>,
    devices: Vec<(u32, Arc<str>, Arc<str>)>,
}

impl Writer {
    pub(crate) fn change(&mut self, change: Change) -> Result<Changed, ChangeError> {
        self.look_at_clock();
        let now_ms = self.clock.now_ms();
        let aged_ms = self.belief.aged_ms(now_ms);
        let shared = self.core.registry.clone();
        let registry = shared.read();
        let key = &self.core.key;
        let newest_ms = |device: u32| {
            let fleet = read(&self.live.fleet);
            fleet.last_ms(device)
        };
        let plan = plan(change, &registry, key, (now_ms, aged_ms), newest_ms)?;
        let transaction = self.store.connection.unchecked_transaction()?;
        let mut counts = self.counts.clone();
        let mut entries = import(&transaction, &registry, key, plan.imported)?;
        for entry in plan.put {
            put(&transaction, &entry)?;
            entries.push(entry);
        }
        let withheld = Withheld {
            connection: &transaction,
            key,
            sent: self.sent(&transaction)?,
            now_ms,
            counts: &mut counts,
        };
        let purge = match (&plan.erased, plan.ended.as_slice()) {
            (Some(gone), _) => {
                gone.write(&transaction, &registry)?;
                let mut cleared = withheld.erase(gone.number, &gone.customer.id, &registry)?;
                cleared.reports = report::erase(&transaction, gone.number)?;
                cleared.quarantined = gone.forget_reports(&transaction, &registry)?;
                Some(Purge::begin(
                    &transaction,
                    &registry,
                    gone.number,
                    now_ms,
                    Why::Erased,
                    (cleared, self.following.deletes()),
                )?)
            }
            (None, [first, ..]) => {
                let number = registry.customer_number(&first.customer).unwrap_or_default();
                let cleared = withheld.withdraw(number, first)?;
                let why = Why::Withdrawn;
                let cleared = (cleared, self.following.deletes());
                Some(Purge::begin(&transaction, &registry, number, now_ms, why, cleared)?)
            }
            (None, []) => None,
        };
        let changed = Changed {
            version: registry.version + 1,
            entries: entries.len(),
            deletion: purge.as_ref().map(|purge| purge.number),
        };
        set_version(&transaction, changed.version)?;
        self.write_counts(&transaction, &counts)?;
        let released = crate::recover::last_position(&transaction)?;
        transaction.commit()?;
        drop(registry);
        if let Some(gone) = &plan.erased {
            let mut fleet = write(&self.live.fleet);
            for (number, ..) in &gone.devices {
                fleet.forget(*number);
            }
        }
        let erased = plan.erased.as_ref().map(|gone| gone.number);
        let redraw =
            erased.is_some() || entries.iter().any(|entry| matches!(entry, Entry::Geofence(_)));
        shared.change(|registry| {
            registry.version = changed.version;
            entries.into_iter().for_each(|entry| registry.apply(entry));
            if let Some(gone) = plan.erased {
                for (number, _, digest) in gone.devices {
                    registry.erase_device(number, digest);
                }
                registry.erase_customer(gone.number, gone.digest);
            }
        });
        if let Some(customer) = erased {
            self.claims.forget_customer(customer);
            self.show_wanted();
        }
        if redraw {
            self.core.world.atlas.set_geofences(shared.read().geofences());
        }
        self.counts = counts;
        if let Some(purge) = purge {
            self.purges.push_back(purge);
            self.live.withhold();
        }
        self.live.registry_changed(changed.version);
        self.live.committed(self.counts.clone(), released, self.log.last);
        Ok(changed)
    }
}

fn plan(
    change: Change,
    registry: &Registry,
    key: &Key,
    (now_ms, aged_ms): (i64, i64),
    newest_ms: impl Fn(u32) -> Option<i64>,
) -> Result<Plan, ChangeError> {
    let mut plan = Plan::default();
    match change {
        Change::Import(entries) => {
            plan.put.extend(redrawn(&entries, registry));
            plan.imported = entries;
        }
        Change::Give { customer, insurer, purpose, wording } => {
            if registry.insurer(&insurer).is_none() {
                return Err(ChangeError::Unknown { kind: "insurer", id: insurer });
            }
            let before = consents(registry, &customer, &insurer, purpose)?;
            if before.iter().any(|consent| consent.span.holds(now_ms)) {
                return Err(ChangeError::AlreadyGiven);
            }
            // Never within the span of one that was withdrawn, whatever the clock says.
            let ends = before.iter().filter_map(|consent| consent.span.to_ms);
            let from_ms = ends.map(|to_ms| to_ms + 1).fold(now_ms, i64::max);
            let span = Span { from_ms, to_ms: None };
            plan.put.push(Entry::Consent(Consent { customer, insurer, purpose, span, wording }));
        }
        Change::Withdraw { customer, insurer, purpose } => {
            let given = consents(registry, &customer, &insurer, purpose)?;
            // By a clock that is years ahead it would hold again when that is set right.
            let open =
                given.into_iter().filter(|c| c.span.to_ms.is_none_or(|to_ms| to_ms > aged_ms));
            for mut consent in open {
                consent.span.to_ms = Some(aged_ms.max(consent.span.from_ms));
                plan.put.push(Entry::Consent(consent.clone()));
                plan.ended.push(consent);
            }
            if plan.ended.is_empty() {
                return Err(ChangeError::NotGiven);
            }
        }
        Change::AddDevices(devices) => {
            let mut added = HashSet::new();
            for new in devices {
                if !added.insert(new.device.id.clone()) {
                    return Err(ChangeError::Exists { kind: "device", id: new.device.id });
                }
                add_device(&mut plan, new, registry, key, now_ms)?;
            }
        }
        Change::RotateToken { device, token_sha256 } => {
            let mut device = known_device(registry, &device)?.device.clone();
            device.token_sha256 = Some(token_sha256);
            plan.put.push(Entry::Device(device));
        }
        Change::Transfer { device, to } => {
            let number = known_customer(registry, &to)?;
            let known = known_device(registry, &device)?;
            // What a clock that is ahead has stamped is still the old owner's.
            let from_ms =
                newest_ms(known.number).map_or(now_ms, |newest_ms| now_ms.max(newest_ms + 1));
            transfer(&mut plan, known, (to, number), registry, from_ms)?;
        }
        Change::Erase { customer } => {
            plan.erased = Some(Gone::of(&customer, registry, key)?);
        }
    }
    Ok(plan)
}

/// The geofences that are there and are to look otherwise: somebody has moved house.
fn redrawn(entries: &[Entry], registry: &Registry) -> Vec<Entry> {
    let is_other = |entry: &&Entry| {
        let Entry::Geofence(new) = entry else { return false };
        let owner = new.customer.as_ref().map(|id| registry.customer_number(id));
        // Of somebody who is not there nothing is.
        let known = owner != Some(None);
        known && registry.geofence(owner.flatten(), &new.name).is_some_and(|old| old != new)
    };
    entries.iter().filter(is_other).cloned().collect()
}

fn add_device(
    plan: &mut Plan,
    NewDevice { device, owner }: NewDevice,
    registry: &Registry,
    key: &Key,
    now_ms: i64,
) -> Result<(), ChangeError> {
    let id = device.id.clone();
    if !is_id(&id) {
        return Err(ChangeError::BadId(id));
    }
    if registry.device(&id).is_some() {
        return Err(ChangeError::Exists { kind: "device", id });
    }
    if registry.insurer(&id).is_some() {
        return Err(ChangeError::SharedId(id));
    }
    if registry.was_erased(&key.of_erased(Numbered::Device.name(), &id)) {
        return Err(ChangeError::Erased { kind: "device", id });
    }
    plan.put.push(Entry::Device(device));
    if let Some(customer) = owner {
        known_customer(registry, &customer)?;
        let span = Span { from_ms: now_ms, to_ms: None };
        plan.put.push(Entry::Ownership(Ownership { device: id, customer, span }));
    }
    Ok(())
}

fn known_device<'a>(registry: &'a Registry, id: &Arc<str>) -> Result<&'a Known, ChangeError> {
    registry.device(id).ok_or_else(|| ChangeError::Unknown { kind: "device", id: id.clone() })
}

fn known_customer(registry: &Registry, id: &Arc<str>) -> Result<u32, ChangeError> {
    let unknown = || ChangeError::Unknown { kind: "customer", id: id.clone() };
    registry.customer_number(id).ok_or_else(unknown)
}

fn consents(
    registry: &Registry,
    customer: &Arc<str>,
    insurer: &str,
    purpose: Product,
) -> Result<Vec<Consent>, ChangeError> {
    let number = known_customer(registry, customer)?;
    let all = registry.consents_of(number).iter();
    Ok(all.filter(|consent| consent.is_of(insurer, purpose)).cloned().collect())
}

/// Ends what ownership there is and begins another.
fn transfer(
    plan: &mut Plan,
    known: &Known,
    (to, number): (Arc<str>, u32),
    registry: &Registry,
    begins_ms: i64,
) -> Result<(), ChangeError> {
    if known.owner_at(begins_ms) == Some(number) {
        return Err(ChangeError::AlreadyTheirs);
    }
    let device = &known.device.id;
    let mut from_ms = begins_ms;
    for (span, owner) in known.owners() {
        // Another of the same moment would take the place of the first.
        from_ms = from_ms.max(span.from_ms + 1);
        if span.to_ms.is_some_and(|to_ms| to_ms <= begins_ms) {
            continue;
        }
        let Some(customer) = registry.customer(*owner) else { continue };
        let span = Span { from_ms: span.from_ms, to_ms: Some(begins_ms.max(span.from_ms + 1)) };
        let (device, customer) = (device.clone(), customer.id.clone());
        plan.put.push(Entry::Ownership(Ownership { device, customer, span }));
    }
    let span = Span { from_ms, to_ms: None };
    plan.put.push(Entry::Ownership(Ownership { device: device.clone(), customer: to, span }));
    Ok(())
}

impl Gone {
    fn of(id: &Arc<str>, registry: &Registry, key: &Key) -> Result<Self, ChangeError> {
        let digest = |what: Numbered, id: &str| key.of_erased(what.name(), id).into();
        let number = known_customer(registry, id)?;
        let customer = registry.customer(number).cloned();
        let customer =
            customer.ok_or_else(|| ChangeError::Unknown { kind: "customer", id: id.clone() })?;
        let only_theirs = registry
            .devices_of(number)
            .filter(|known| known.owners().iter().all(|(_, o)| *o == number));
        let devices = only_theirs
            .map(|known| {
                let id = known.device.id.clone();
                (known.number, id.clone(), digest(Numbered::Device, &id))
            })
            .collect();
        Ok(Self { number, digest: digest(Numbered::Customer, id), customer, devices })
    }

    /// What insurers sent of the customer and could not be used.
    fn forget_reports(
        &self,
        connection: &Connection,
        registry: &Registry,
    ) -> rusqlite::Result<u64> {
        let policies = registry.policies_of(self.number).iter().map(|policy| &*policy.id);
        let devices = self.devices.iter().map(|(_, id, _)| &**id);
        let ids: Vec<&str> = policies.chain(devices).chain([&*self.customer.id]).collect();
        quarantine::forget_reports_of(connection, &ids)
    }

    /// Takes every row that names the customer or such a device out of the registry.
    fn write(&self, connection: &Connection, registry: &Registry) -> rusqlite::Result<()> {
        let mut replace =
            connection.prepare("UPDATE registry SET key = ?2, entry = ?3 WHERE key = ?1")?;
        let mut erase = |what, id: &str, digest: &Arc<str>| {
            let erased = Entry::Erased(Erased { what, digest: digest.clone() });
            replace.execute((format!("{}/{id}", what.name()), erased.key(), to_json(&erased)?))
        };
        erase(Numbered::Customer, &self.customer.id, &self.digest)?;
        for (_, id, digest) in &self.devices {
            erase(Numbered::Device, id, digest)?;
        }
        let mut delete = connection.prepare("DELETE FROM registry WHERE key = ?1")?;
        for known in registry.devices_of(self.number) {
            for span in known.spans_of(self.number) {
                let customer = self.customer.id.clone();
                let device = known.device.id.clone();
                delete.execute([Entry::Ownership(Ownership { device, customer, span }).key()])?;
            }
        }
        for policy in registry.policies_of(self.number) {
            delete.execute([Entry::Policy(policy.clone()).key()])?;
        }
        for consent in registry.consents_of(self.number) {
            delete.execute([Entry::Consent(consent.clone()).key()])?;
        }
        for fence in registry.geofences_of(self.number) {
            delete.execute([Entry::Geofence(fence.clone()).key()])?;
        }
        Ok(())
    }
}
