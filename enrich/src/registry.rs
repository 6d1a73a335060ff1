//! Who is who: customers, their devices, policies, insurers and consents.
//!
//! The journal keeps the registry; a [`RegistryFile`] only seeds it. Customers and devices have
//! numbers, given by the journal once and for ever.

mod file;

use std::collections::HashMap;
use std::sync::Arc;

use ingest::DeviceKind;
use serde::{Deserialize, Serialize};

use crate::Country;

pub use file::{RegistryError, RegistryFile};

/// What a policy is about, and what a consent is given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    Travel,
    WinterTyres,
    PayAsYouDrive,
    HealthyLiving,
    Home,
    ProductUsage,
    Venue,
}

impl Product {
    /// The name used in topics, rules and the registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Travel => "travel",
            Self::WinterTyres => "winter_tyres",
            Self::PayAsYouDrive => "pay_as_you_drive",
            Self::HealthyLiving => "healthy_living",
            Self::Home => "home",
            Self::ProductUsage => "product_usage",
            Self::Venue => "venue",
        }
    }
}

/// From one moment up to, not including, another; open at the end where that is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub from_ms: i64,
    pub to_ms: Option<i64>,
}

impl Span {
    #[must_use]
    pub fn holds(&self, time_ms: i64) -> bool {
        self.from_ms <= time_ms && self.to_ms.is_none_or(|to_ms| time_ms < to_ms)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Insurer {
    pub id: Arc<str>,
    pub name: String,
    /// SHA-256 of the token it logs in with, in hex.
    pub token_sha256: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    pub id: Arc<str>,
    pub name: String,
    pub language: String,
    /// An IANA time zone, as in "Europe/Amsterdam".
    pub time_zone: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    pub id: Arc<str>,
    pub kind: DeviceKind,
    /// SHA-256 of the token it logs in with, in hex.
    pub token_sha256: Option<String>,
}

/// Whose a device is, by customer number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ownership {
    pub device: Arc<str>,
    pub customer: Arc<str>,
    pub span: Span,
}

/// A customer's contract with an insurer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    pub id: Arc<str>,
    pub insurer: Arc<str>,
    pub customer: Arc<str>,
    pub product: Product,
    pub span: Span,
    /// The country it was taken out in, and others it covers.
    pub home: Option<Country>,
    pub covers: Vec<Country>,
}

/// A customer allowed an insurer to use data for one purpose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consent {
    pub customer: Arc<str>,
    pub insurer: Arc<str>,
    pub purpose: Product,
    /// Given and, maybe, withdrawn.
    pub span: Span,
    /// The version of the wording the customer agreed to.
    pub wording: String,
}

/// One entry of the registry: what the journal stores, a row each, in this order of dependency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    Insurer(Insurer),
    Customer(Customer),
    Device(Device),
    Ownership(Ownership),
    Policy(Policy),
    Consent(Consent),
}

impl Entry {
    /// What makes an entry the same one when a file is imported again.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Insurer(insurer) => format!("insurer/{}", insurer.id),
            Self::Customer(customer) => format!("customer/{}", customer.id),
            Self::Device(device) => format!("device/{}", device.id),
            Self::Ownership(own) => format!("ownership/{}/{}", own.device, own.span.from_ms),
            Self::Policy(policy) => format!("policy/{}", policy.id),
            Self::Consent(consent) => format!(
                "consent/{}/{}/{}/{}",
                consent.customer,
                consent.insurer,
                consent.purpose.name(),
                consent.span.from_ms
            ),
        }
    }
}

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
}

/// The registry as the core looks things up: built from the journal's entries.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Counts the entries applied; recorded with what was computed from it.
    pub version: u64,
    insurers: HashMap<Arc<str>, Insurer>,
    customers: Vec<Customer>,
    customer_numbers: HashMap<Arc<str>, u32>,
    devices: Vec<Known>,
    device_numbers: HashMap<Arc<str>, u32>,
    policies: HashMap<u32, Vec<Policy>>,
    consents: HashMap<u32, Vec<Consent>>,
}

impl Registry {
    /// Adds an entry; customers and devices are numbered in the order they come. References to
    /// what is not there are ignored: [`RegistryFile`] refuses them before they get this far.
    pub fn apply(&mut self, entry: Entry) {
        self.version += 1;
        match entry {
            Entry::Insurer(insurer) => {
                self.insurers.insert(insurer.id.clone(), insurer);
            }
            Entry::Customer(customer) => {
                self.customer_numbers.insert(customer.id.clone(), self.customers.len() as u32);
                self.customers.push(customer);
            }
            Entry::Device(device) => {
                let number = self.devices.len() as u32;
                self.device_numbers.insert(device.id.clone(), number);
                self.devices.push(Known { number, device, owners: Vec::new() });
            }
            Entry::Ownership(own) => {
                let customer = self.customer_numbers.get(&own.customer).copied();
                let device = self.device_numbers.get(&own.device).copied();
                if let (Some(customer), Some(device)) = (customer, device) {
                    self.devices[device as usize].owners.push((own.span, customer));
                }
            }
            Entry::Policy(policy) => {
                if let Some(number) = self.customer_numbers.get(&policy.customer) {
                    self.policies.entry(*number).or_default().push(policy);
                }
            }
            Entry::Consent(consent) => {
                if let Some(number) = self.customer_numbers.get(&consent.customer) {
                    self.consents.entry(*number).or_default().push(consent);
                }
            }
        }
    }

    #[must_use]
    pub fn device(&self, id: &str) -> Option<&Known> {
        self.device_numbers.get(id).and_then(|number| self.device_by_number(*number))
    }

    #[must_use]
    pub fn device_by_number(&self, number: u32) -> Option<&Known> {
        self.devices.get(number as usize)
    }

    pub fn devices(&self) -> impl Iterator<Item = &Known> {
        self.devices.iter()
    }

    #[must_use]
    pub fn customer(&self, number: u32) -> Option<&Customer> {
        self.customers.get(number as usize)
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
        let Some(consents) = self.consents.get(&customer) else {
            return false;
        };
        consents.iter().any(|then| {
            then.span.holds(time_ms) && consents.iter().any(|now| holds_for(now, then, now_ms))
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
            self.consents.get(&customer).into_iter().flatten().any(|consent| {
                &*consent.insurer == insurer
                    && consent.purpose == purpose
                    && consent.span.holds(at_ms)
            })
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
        let policies = self.policies.get(&customer).map(Vec::as_slice).unwrap_or_default();
        policies
            .iter()
            .filter(move |policy| policy.product == product && policy.span.holds(time_ms))
    }
}

fn holds_for(now: &Consent, then: &Consent, now_ms: i64) -> bool {
    now.span.holds(now_ms) && now.purpose == then.purpose && now.insurer == then.insurer
}
