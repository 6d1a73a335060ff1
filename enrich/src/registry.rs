//! Who is who: customers, their devices, policies, insurers and consents.
//!
//! The journal keeps the registry; a [`RegistryFile`] only seeds it. Customers and devices have
//! numbers, given by the journal once and for ever.

mod entry;
mod file;
mod numbers;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::places::Area;

pub use entry::{
    Consent, Customer, Device, Entry, Erased, Geofence, GeofenceKind, Insurer, Numbered, Ownership,
    Policy, Product, Span,
};
pub use file::{RegistryError, RegistryFile, is_id};
use numbers::Numbers;

/// A device as the pipeline looks it up.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    pub number: u32,
    pub device: Device,
    owners: Vec<(Span, u32)>,
}

impl Known {
    /// The number of the customer whose device it was.
    #[must_use]
    pub fn owner_at(&self, time_ms: i64) -> Option<u32> {
        self.owners.iter().find(|(span, _)| span.holds(time_ms)).map(|(_, customer)| *customer)
    }

    /// All its owners: from when to when, and the customer's number.
    #[must_use]
    pub fn owners(&self) -> &[(Span, u32)] {
        &self.owners
    }

    /// When it was a customer's.
    pub fn spans_of(&self, customer: u32) -> impl Iterator<Item = Span> {
        self.owners.iter().filter(move |(_, owner)| *owner == customer).map(|(span, _)| *span)
    }
}

/// The registry as the core looks things up: built from the journal's entries. Applying an entry
/// costs the same however many there are.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Counts the changes; recorded with what was computed from it.
    pub version: u64,
    insurers: HashMap<Arc<str>, Insurer>,
    /// By number; `None` is erased.
    customers: Vec<Option<Customer>>,
    customer_numbers: Numbers,
    devices: Vec<Option<Known>>,
    device_numbers: Numbers,
    /// By the customer's number, as the consents.
    policies: Vec<Vec<Policy>>,
    /// By the policy's id: the number of the customer whose it is.
    holders: HashMap<Arc<str>, u32>,
    consents: Vec<Vec<Consent>>,
    /// By the customer's number, `None` being everybody, and name.
    geofences: BTreeMap<(Option<u32>, Arc<str>), Geofence>,
    erased: HashSet<Arc<str>>,
    /// What many entries say: languages, time zones, versions of wordings.
    words: HashSet<Arc<str>>,
}

impl Registry {
    /// Adds an entry, or replaces the one with its key; customers and devices are numbered in the
    /// order they come. References to what is not there are ignored: [`RegistryFile`] refuses them
    /// before they get this far.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Insurer(insurer) => {
                self.insurers.insert(insurer.id.clone(), insurer);
            }
            Entry::Customer(customer) => self.apply_customer(customer),
            Entry::Device(device) => self.apply_device(device),
            Entry::Ownership(own) => {
                let customer = self.customer_number(&own.customer);
                let device = self.device_number(&own.device);
                if let (Some(customer), Some(device)) = (customer, device)
                    && let Some(known) = &mut self.devices[device as usize]
                {
                    match known.owners.iter_mut().find(|(span, _)| span.from_ms == own.span.from_ms)
                    {
                        Some(owner) => *owner = (own.span, customer),
                        None => push_one(&mut known.owners, (own.span, customer)),
                    }
                }
            }
            Entry::Policy(mut policy) => {
                share(&mut policy.insurer, &self.insurers);
                if let Some(number) = self.share_customer(&mut policy.customer) {
                    self.holders.insert(policy.id.clone(), number);
                    put(of(&mut self.policies, number), policy, |a, b| a.id == b.id);
                }
            }
            Entry::Consent(mut consent) => {
                self.say_once(&mut consent.wording);
                share(&mut consent.insurer, &self.insurers);
                if let Some(number) = self.share_customer(&mut consent.customer) {
                    put(of(&mut self.consents, number), consent, |a, b| {
                        a.is_of(&b.insurer, b.purpose) && a.span.from_ms == b.span.from_ms
                    });
                }
            }
            Entry::Geofence(fence) => {
                let number = fence.customer.as_ref().map(|id| self.customer_number(id));
                if number != Some(None) {
                    self.geofences.insert((number.flatten(), fence.name.clone()), fence);
                }
            }
            Entry::Erased(erased) => {
                match erased.what {
                    Numbered::Customer => self.customers.push(None),
                    Numbered::Device => self.devices.push(None),
                }
                self.erased.insert(erased.digest);
            }
        }
    }

    fn apply_customer(&mut self, mut customer: Customer) {
        self.say_once(&mut customer.language);
        self.say_once(&mut customer.time_zone);
        match self.customer_number(&customer.id) {
            Some(number) => self.customers[number as usize] = Some(customer),
            None => {
                let number = self.customers.len() as u32;
                self.customers.push(Some(customer));
                self.customer_numbers.add(number, id_of_customer(&self.customers));
            }
        }
    }

    /// What many entries say is in memory only once.
    fn say_once(&mut self, word: &mut Arc<str>) {
        match self.words.get(word) {
            Some(same) => *word = same.clone(),
            None => {
                self.words.insert(word.clone());
            }
        }
    }

    fn apply_device(&mut self, device: Device) {
        match self.device_number(&device.id) {
            Some(number) => {
                if let Some(known) = &mut self.devices[number as usize] {
                    known.device = device;
                }
            }
            None => {
                let number = self.devices.len() as u32;
                self.devices.push(Some(Known { number, device, owners: Vec::new() }));
                self.device_numbers.add(number, id_of_device(&self.devices));
            }
        }
    }

    fn device_number(&self, id: &str) -> Option<u32> {
        self.device_numbers.find(id, id_of_device(&self.devices))
    }

    /// A customer's number; the id is in memory only once then.
    fn share_customer(&self, id: &mut Arc<str>) -> Option<u32> {
        let number = self.customer_number(id)?;
        *id = self.customer(number)?.id.clone();
        Some(number)
    }

    /// Forgets a customer, with policies, consents and ownerships; what remains is the number.
    pub fn erase_customer(&mut self, number: u32, digest: Arc<str>) {
        let Some(Some(_)) = self.customers.get(number as usize) else { return };
        self.customer_numbers.remove(number, id_of_customer(&self.customers));
        self.customers[number as usize] = None;
        for policy in std::mem::take(of(&mut self.policies, number)) {
            self.holders.remove(&policy.id);
        }
        of(&mut self.consents, number).clear();
        self.geofences.retain(|(owner, _), _| *owner != Some(number));
        for known in self.devices.iter_mut().flatten() {
            known.owners.retain(|(_, owner)| *owner != number);
        }
        self.erased.insert(digest);
    }

    /// Forgets a device; what remains is the number.
    pub fn erase_device(&mut self, number: u32, digest: Arc<str>) {
        let Some(Some(_)) = self.devices.get(number as usize) else { return };
        self.device_numbers.remove(number, id_of_device(&self.devices));
        self.devices[number as usize] = None;
        self.erased.insert(digest);
    }

    /// Whether anything was ever erased, and so whether [`Self::was_erased`] need be asked.
    #[must_use]
    pub fn has_erased(&self) -> bool {
        !self.erased.is_empty()
    }

    #[must_use]
    pub fn was_erased(&self, digest: &str) -> bool {
        self.erased.contains(digest)
    }

    #[must_use]
    pub fn device(&self, id: &str) -> Option<&Known> {
        self.device_number(id).and_then(|number| self.device_by_number(number))
    }

    #[must_use]
    pub fn device_by_number(&self, number: u32) -> Option<&Known> {
        self.devices.get(number as usize).and_then(Option::as_ref)
    }

    pub fn devices(&self) -> impl Iterator<Item = &Known> {
        self.devices.iter().flatten()
    }

    /// The devices that are or were a customer's. Looks at all devices.
    pub fn devices_of(&self, customer: u32) -> impl Iterator<Item = &Known> {
        self.devices().filter(move |known| known.spans_of(customer).next().is_some())
    }

    #[must_use]
    pub fn customer(&self, number: u32) -> Option<&Customer> {
        self.customers.get(number as usize).and_then(Option::as_ref)
    }

    #[must_use]
    pub fn customer_number(&self, id: &str) -> Option<u32> {
        self.customer_numbers.find(id, id_of_customer(&self.customers))
    }

    /// What a customer ever consented to, in the order it came.
    #[must_use]
    pub fn consents_of(&self, customer: u32) -> &[Consent] {
        self.consents.get(customer as usize).map(Vec::as_slice).unwrap_or_default()
    }

    #[must_use]
    pub fn policies_of(&self, customer: u32) -> &[Policy] {
        self.policies.get(customer as usize).map(Vec::as_slice).unwrap_or_default()
    }

    /// A contract by its id, with the number of the customer whose it is.
    #[must_use]
    pub fn policy(&self, id: &str) -> Option<(u32, &Policy)> {
        let holder = *self.holders.get(id)?;
        let policy = self.policies_of(holder).iter().find(|policy| &*policy.id == id)?;
        Some((holder, policy))
    }

    /// The geofence of that name: a customer's own, or everybody's.
    #[must_use]
    pub fn geofence(&self, customer: Option<u32>, name: &Arc<str>) -> Option<&Geofence> {
        self.geofences.get(&(customer, name.clone()))
    }

    /// The geofences a customer has of their own.
    pub fn geofences_of(&self, customer: u32) -> impl Iterator<Item = &Geofence> {
        let own = self.geofences.range((Some(customer), Arc::from(""))..);
        own.take_while(move |((owner, _), _)| *owner == Some(customer)).map(|(_, fence)| fence)
    }

    /// All geofences, to be drawn in the atlas.
    pub fn geofences(&self) -> impl Iterator<Item = Area> {
        self.geofences.iter().map(|((customer, _), fence)| fence.area(*customer))
    }

    #[must_use]
    pub fn insurer(&self, id: &str) -> Option<&Insurer> {
        self.insurers.get(id)
    }

    pub fn insurers(&self) -> impl Iterator<Item = &Insurer> {
        self.insurers.values()
    }

    /// Whether a reading of that time may be kept: some insurer had the customer's consent for
    /// some purpose then, and has it now.
    #[must_use]
    pub fn may_keep(&self, customer: u32, time_ms: i64, now_ms: i64) -> bool {
        let consents = self.consents_of(customer);
        consents.iter().any(|then| {
            then.span.holds(time_ms) && consents.iter().any(|now| holds_for(now, then, now_ms))
        })
    }

    /// Whether what is stored of that time stays after a withdrawal: another consent justifies it,
    /// one that held when that one was withdrawn or was given since.
    #[must_use]
    pub fn stays(&self, customer: u32, time_ms: i64, withdrawn_ms: i64) -> bool {
        let given_since =
            |consent: &Consent| consent.span.from_ms > withdrawn_ms && consent.span.holds(time_ms);
        self.may_keep(customer, time_ms, withdrawn_ms)
            || self.consents_of(customer).iter().any(given_since)
    }

    /// When, of a time in which a device was the customer's, nothing [`stays`](Self::stays).
    #[must_use]
    pub fn goes(&self, customer: u32, owned: Span, withdrawn_ms: i64) -> Vec<Span> {
        let consents = self.consents_of(customer);
        let stays = |then: &&Consent| {
            then.span.from_ms > withdrawn_ms
                || consents.iter().any(|now| holds_for(now, then, withdrawn_ms))
        };
        consents.iter().filter(stays).fold(vec![owned], |goes, consent| {
            goes.into_iter().flat_map(|span| span.without(consent.span)).collect()
        })
    }

    /// Whether `insurer` may be told of something that happened to the customer at `time_ms`.
    #[must_use]
    pub fn may_tell(
        &self,
        customer: u32,
        insurer: &str,
        purpose: Product,
        time_ms: i64,
        now_ms: i64,
    ) -> bool {
        let held = |at_ms| {
            self.consents_of(customer)
                .iter()
                .any(|consent| consent.is_of(insurer, purpose) && consent.span.holds(at_ms))
        };
        held(time_ms) && held(now_ms)
    }

    /// The customer's contracts about `product` that were in force at `time_ms`.
    pub fn policies(
        &self,
        customer: u32,
        product: Product,
        time_ms: i64,
    ) -> impl Iterator<Item = &Policy> {
        self.policies_of(customer)
            .iter()
            .filter(move |policy| policy.product == product && policy.span.holds(time_ms))
    }
}

fn holds_for(now: &Consent, then: &Consent, now_ms: i64) -> bool {
    now.span.holds(now_ms) && now.is_of(&then.insurer, then.purpose)
}

/// What `known` has under an id, which is in memory only once then.
fn share<'a, T>(id: &mut Arc<str>, known: &'a HashMap<Arc<str>, T>) -> Option<&'a T> {
    let (same, value) = known.get_key_value(id)?;
    *id = same.clone();
    Some(value)
}

fn id_of_customer<'a>(customers: &'a [Option<Customer>]) -> impl Fn(u32) -> Option<&'a str> {
    move |number| Some(&*customers.get(number as usize)?.as_ref()?.id)
}

fn id_of_device<'a>(devices: &'a [Option<Known>]) -> impl Fn(u32) -> Option<&'a str> {
    move |number| Some(&*devices.get(number as usize)?.as_ref()?.device.id)
}

/// What belongs to one customer.
fn of<T>(all: &mut Vec<Vec<T>>, customer: u32) -> &mut Vec<T> {
    let at = customer as usize;
    if all.len() <= at {
        all.resize_with(at + 1, Vec::new);
    }
    &mut all[at]
}

/// A fleet is large, and most have one of each: room for one more, not for four.
fn push_one<T>(list: &mut Vec<T>, item: T) {
    list.reserve_exact(1);
    list.push(item);
}

/// Replaces the same one, or adds it.
fn put<T>(all: &mut Vec<T>, new: T, same: impl Fn(&T, &T) -> bool) {
    match all.iter_mut().find(|old| same(old, &new)) {
        Some(old) => *old = new,
        None => push_one(all, new),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Consent, Customer, Entry, Product, Registry, Span};

    fn span() -> impl Strategy<Value = Span> {
        (0..40_i64, proptest::option::of(1..20_i64))
            .prop_map(|(from_ms, length)| Span { from_ms, to_ms: length.map(|ms| from_ms + ms) })
    }

    proptest! {
        #[test]
        fn what_goes_is_just_what_does_not_stay(
            given in proptest::collection::vec((span(), any::<bool>()), 0..5),
            owned in span(),
            withdrawn_ms in 0..60_i64,
        ) {
            let mut registry = Registry::default();
            let customer = Customer {
                id: "anna".into(), name: "Anna".into(), language: "en".into(), time_zone: "UTC".into(),
            };
            registry.apply(Entry::Customer(customer));
            for (span, travel) in given {
                let purpose = if travel { Product::Travel } else { Product::Home };
                let (customer, insurer) = ("anna".into(), "alpina".into());
                let wording = "1".into();
                registry.apply(Entry::Consent(Consent { customer, insurer, purpose, span, wording }));
            }
            let goes = registry.goes(0, owned, withdrawn_ms);
            for time_ms in 0..80 {
                let gone = goes.iter().filter(|span| span.holds(time_ms)).count();
                let expected = owned.holds(time_ms) && !registry.stays(0, time_ms, withdrawn_ms);
                prop_assert_eq!(gone, usize::from(expected), "at {}", time_ms);
            }
        }
    }
}
