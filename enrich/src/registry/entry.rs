//! The entries of the registry: what the journal stores, a row each.

use std::sync::Arc;

use ingest::DeviceKind;
use serde::{Deserialize, Serialize};

use crate::Country;
use crate::places::{Area, Meaning, Shape};

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
    pub const ALL: [Self; 7] = [
        Self::Travel,
        Self::WinterTyres,
        Self::PayAsYouDrive,
        Self::HealthyLiving,
        Self::Home,
        Self::ProductUsage,
        Self::Venue,
    ];

    /// The product of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|product| product.name() == name)
    }

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

    /// What of it lies outside another: before it, after it, both or nothing.
    pub fn without(self, other: Self) -> impl Iterator<Item = Self> {
        let earlier = |a: Option<i64>, b: i64| Some(a.map_or(b, |a| a.min(b)));
        let before = Self { to_ms: earlier(self.to_ms, other.from_ms), ..self };
        let after = other.to_ms.map(|to_ms| Self { from_ms: self.from_ms.max(to_ms), ..self });
        let is_some = |span: &Self| span.to_ms.is_none_or(|to_ms| span.from_ms < to_ms);
        [Some(before), after].into_iter().flatten().filter(is_some)
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
    pub language: Arc<str>,
    /// An IANA time zone, as in "Europe/Amsterdam".
    pub time_zone: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    pub id: Arc<str>,
    pub kind: DeviceKind,
    /// SHA-256 of the token it logs in with, in hex.
    pub token_sha256: Option<String>,
}

/// Whose a device is, and from when to when.
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

/// A customer allowed an insurer to use data for one purpose. Consents are a ledger: one that is
/// given again is another entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consent {
    pub customer: Arc<str>,
    pub insurer: Arc<str>,
    pub purpose: Product,
    /// Given and, maybe, withdrawn.
    pub span: Span,
    /// The version of the wording the customer agreed to.
    pub wording: Arc<str>,
}

impl Consent {
    #[must_use]
    pub fn is_of(&self, insurer: &str, purpose: Product) -> bool {
        &*self.insurer == insurer && self.purpose == purpose
    }
}

/// An area that a customer, or everybody, is greeted or offered something in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Geofence {
    /// `None`: everybody's.
    pub customer: Option<Arc<str>>,
    pub name: Arc<str>,
    pub kind: GeofenceKind,
    pub shape: Shape,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GeofenceKind {
    Home,
    Work,
    Venue,
}

impl Geofence {
    /// As the atlas draws it; `customer` is the number of its customer.
    pub(super) fn area(&self, customer: Option<u32>) -> Area {
        let meaning = match self.kind {
            GeofenceKind::Home => Meaning::Home,
            GeofenceKind::Work => Meaning::Work,
            GeofenceKind::Venue => Meaning::Venue,
        };
        let (name, shape) = (self.name.clone(), self.shape.clone());
        Area { customer, name, meaning, shape, span: self.span }
    }
}

/// What was erased: it keeps the number, so that nobody else gets it, and a keyed hash of the id, so
/// that a file imported again does not bring it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Erased {
    pub what: Numbered,
    pub digest: Arc<str>,
}

/// What has a number, given once and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbered {
    Customer,
    Device,
}

impl Numbered {
    /// The word in [`Entry::key`].
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Device => "device",
        }
    }
}

/// One entry of the registry, in this order of dependency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    Insurer(Insurer),
    Customer(Customer),
    Device(Device),
    Ownership(Ownership),
    Policy(Policy),
    Consent(Consent),
    Geofence(Geofence),
    Erased(Erased),
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
            Self::Geofence(fence) => {
                format!("geofence/{}/{}", fence.customer.as_deref().unwrap_or("*"), fence.name)
            }
            Self::Erased(erased) => format!("erased/{}/{}", erased.what.name(), erased.digest),
        }
    }
}
