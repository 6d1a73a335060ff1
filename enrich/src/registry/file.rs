//! `registry.toml`: the file a registry is seeded from.

use std::collections::HashSet;
use std::sync::Arc;

use ingest::DeviceKind;
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Consent, Customer, Device, Entry, Geofence, GeofenceKind, Insurer, Ownership, Policy, Product,
    Registry, Span,
};
use crate::Country;
use crate::places::{BadShape, Shape};
use crate::trigger::sha256_hex;

/// Devices of all fleets of a file: as many as a machine is meant for. Each is some hundred bytes
/// before anything of the file is used. Who fuzzes has no time for so many.
const MOST_OF_FLEETS: u32 = if cfg!(fuzzing) { 1_000 } else { 1_000_000 };

/// A number has no more.
const MOST_DIGITS: usize = 10;

/// The file cannot be used; nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Syntax(#[from] toml::de::Error),
    #[error(
        "the registry names {kind} \"{id}\" in {place}, but defines none: add it or correct the name"
    )]
    Unknown { kind: &'static str, id: String, place: String },
    #[error("the registry defines {0} twice: remove one")]
    Twice(String),
    #[error(
        "the registry gives {place} no usable id: write 1 to 64 of the characters A-Z a-z 0-9 . _ : -"
    )]
    BadId { place: String },
    #[error(
        "{}the registry gives a device and an insurer the same id \"{id}\", and both log in with it: \
         choose another for one of them", line.map_or_else(String::new, |line| format!("line {line}: "))
    )]
    SharedId { id: String, line: Option<usize> },
    #[error(
        "fleet \"{0}\" makes more than {MOST_OF_FLEETS} devices in all: import it in several files"
    )]
    TooManyOfFleets(String),
    #[error("fleet \"{0}\" has more than {MOST_DIGITS} digits: write fewer")]
    TooManyDigits(String),
    #[error("geofence \"{name}\": {why}")]
    BadShape { name: String, why: BadShape },
    #[error("geofence \"{0}\" has no shape, or two: give it either a circle or a polygon")]
    OneShape(String),
    #[error("geofence \"{0}\" has no usable name: give it one of 1 to 64 characters")]
    BadName(String),
}

/// The parsed and checked file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryFile {
    insurer: Vec<InsurerRow>,
    customer: Vec<CustomerRow>,
    device: Vec<DeviceRow>,
    policy: Vec<PolicyRow>,
    consent: Vec<ConsentRow>,
    fleet: Vec<FleetRow>,
    geofence: Vec<GeofenceRow>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InsurerRow {
    id: Arc<str>,
    name: String,
    token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomerRow {
    id: Arc<str>,
    name: String,
    #[serde(default = "english")]
    language: Arc<str>,
    #[serde(default = "utc")]
    time_zone: Arc<str>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceRow {
    id: Arc<str>,
    kind: DeviceKind,
    token: Option<String>,
    #[serde(default)]
    owner: Vec<OwnerRow>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnerRow {
    customer: Arc<str>,
    from: Timestamp,
    to: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyRow {
    id: Arc<str>,
    insurer: Arc<str>,
    customer: Arc<str>,
    product: Product,
    from: Timestamp,
    to: Option<Timestamp>,
    home: Option<Country>,
    #[serde(default)]
    covers: Vec<Country>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsentRow {
    customer: Arc<str>,
    insurer: Arc<str>,
    purpose: Product,
    given: Timestamp,
    withdrawn: Option<Timestamp>,
    wording: Arc<str>,
}

/// Many alike: for each number a device, its customer, and for each product a policy and a consent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FleetRow {
    prefix: String,
    kind: DeviceKind,
    #[serde(default)]
    first: u32,
    count: u32,
    #[serde(default = "two")]
    digits: usize,
    insurer: Arc<str>,
    products: Vec<Product>,
    since: Timestamp,
    home: Option<Country>,
    #[serde(default)]
    covers: Vec<Country>,
    wording: Arc<str>,
    #[serde(default = "english")]
    language: Arc<str>,
    #[serde(default = "utc")]
    time_zone: Arc<str>,
}

/// An area drawn for a customer, or for everybody where none is named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GeofenceRow {
    customer: Option<Arc<str>>,
    name: String,
    kind: GeofenceKind,
    circle: Option<CircleRow>,
    /// Corners as latitude and longitude.
    polygon: Option<Vec<[f64; 2]>>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CircleRow {
    lat: f64,
    lon: f64,
    radius_m: f64,
}

fn english() -> Arc<str> {
    "en".into()
}

fn utc() -> Arc<str> {
    "UTC".into()
}

fn two() -> usize {
    2
}

impl RegistryFile {
    /// Parses and checks `text`: every reference must lead somewhere and every id be one of its
    /// kind.
    pub fn parse(text: &str) -> Result<Vec<Entry>, RegistryError> {
        Self::parse_beside(text, &Registry::default())
    }

    /// The same for a file that may refer to what is in `registry` already.
    pub fn parse_beside(text: &str, registry: &Registry) -> Result<Vec<Entry>, RegistryError> {
        let file: Self = toml::from_str(text)?;
        let entries = file.into_entries()?;
        check(&entries, registry).map_err(|error| match error {
            RegistryError::SharedId { id, .. } => {
                RegistryError::SharedId { line: line_of(text, &id), id }
            }
            error => error,
        })?;
        Ok(entries)
    }

    fn into_entries(self) -> Result<Vec<Entry>, RegistryError> {
        let mut entries = Vec::new();
        entries.extend(self.insurer.into_iter().map(|row| {
            Entry::Insurer(Insurer {
                id: row.id,
                name: row.name,
                token_sha256: row.token.map(hashed),
            })
        }));
        entries.extend(self.customer.into_iter().map(|row| {
            Entry::Customer(Customer {
                id: row.id,
                name: row.name,
                language: row.language,
                time_zone: row.time_zone,
            })
        }));
        for row in self.device {
            entries.extend(row.into_entries());
        }
        entries.extend(self.policy.into_iter().map(|row| {
            Entry::Policy(Policy {
                id: row.id,
                insurer: row.insurer,
                customer: row.customer,
                product: row.product,
                span: span(row.from, row.to),
                home: row.home,
                covers: row.covers,
            })
        }));
        entries.extend(self.consent.into_iter().map(|row| {
            Entry::Consent(Consent {
                customer: row.customer,
                insurer: row.insurer,
                purpose: row.purpose,
                span: span(row.given, row.withdrawn),
                wording: row.wording,
            })
        }));
        let mut of_fleets = 0_u32;
        for row in self.fleet {
            of_fleets = of_fleets.saturating_add(row.count);
            if of_fleets > MOST_OF_FLEETS {
                return Err(RegistryError::TooManyOfFleets(row.prefix));
            }
            if row.digits > MOST_DIGITS {
                return Err(RegistryError::TooManyDigits(row.prefix));
            }
            entries.extend(row.into_entries());
        }
        for row in self.geofence {
            entries.push(Entry::Geofence(row.into_geofence()?));
        }
        Ok(entries)
    }
}

impl DeviceRow {
    fn into_entries(self) -> impl Iterator<Item = Entry> {
        let Self { id, kind, token, owner } = self;
        let token_sha256 = token.map(hashed);
        let device = Device { id: id.clone(), kind, token_sha256 };
        let owners = owner.into_iter().map(move |row| {
            Entry::Ownership(Ownership {
                device: id.clone(),
                customer: row.customer,
                span: span(row.from, row.to),
            })
        });
        std::iter::once(Entry::Device(device)).chain(owners)
    }
}

impl GeofenceRow {
    fn into_geofence(self) -> Result<Geofence, RegistryError> {
        let Self { customer, name, kind, circle, polygon, from, to } = self;
        if !(1..=64).contains(&name.chars().count()) {
            return Err(RegistryError::BadName(name));
        }
        let shape = match (circle, polygon) {
            (Some(circle), None) => Shape::circle(circle.lat, circle.lon, circle.radius_m),
            (None, Some(corners)) => {
                Shape::polygon(vec![corners.into_iter().map(|[lat, lon]| [lon, lat]).collect()])
            }
            (None, None) | (Some(_), Some(_)) => return Err(RegistryError::OneShape(name)),
        };
        let shape = shape.map_err(|why| RegistryError::BadShape { name: name.clone(), why })?;
        let span = Span {
            from_ms: from.map_or(i64::MIN, Timestamp::as_millisecond),
            to_ms: to.map(Timestamp::as_millisecond),
        };
        Ok(Geofence { customer, name: name.into(), kind, shape, span })
    }
}

impl FleetRow {
    fn into_entries(self) -> Vec<Entry> {
        let since = span(self.since, None);
        let mut entries = Vec::new();
        for number in self.first..self.first.saturating_add(self.count) {
            let device: Arc<str> =
                format!("{}{number:0width$}", self.prefix, width = self.digits).into();
            let customer: Arc<str> = format!("{device}-owner").into();
            entries.push(Entry::Customer(Customer {
                id: customer.clone(),
                name: format!("Owner of {device}"),
                language: self.language.clone(),
                time_zone: self.time_zone.clone(),
            }));
            entries.push(Entry::Device(Device {
                id: device.clone(),
                kind: self.kind,
                token_sha256: None,
            }));
            entries.push(Entry::Ownership(Ownership {
                device: device.clone(),
                customer: customer.clone(),
                span: since,
            }));
            for product in &self.products {
                entries.push(Entry::Policy(Policy {
                    id: format!("{device}-{}", product.name()).into(),
                    insurer: self.insurer.clone(),
                    customer: customer.clone(),
                    product: *product,
                    span: since,
                    home: self.home,
                    covers: self.covers.clone(),
                }));
                entries.push(Entry::Consent(Consent {
                    customer: customer.clone(),
                    insurer: self.insurer.clone(),
                    purpose: *product,
                    span: since,
                    wording: self.wording.clone(),
                }));
            }
        }
        entries
    }
}

fn span(from: Timestamp, to: Option<Timestamp>) -> Span {
    Span { from_ms: from.as_millisecond(), to_ms: to.map(Timestamp::as_millisecond) }
}

/// Tokens are kept hashed: the journal and its backups give nobody a login.
fn hashed(token: String) -> String {
    sha256_hex(token.as_bytes())
}

fn check(entries: &[Entry], registry: &Registry) -> Result<(), RegistryError> {
    let mut keys = HashSet::new();
    for entry in entries {
        let key = entry.key();
        let id = match entry {
            Entry::Insurer(insurer) => Some(&insurer.id),
            Entry::Customer(customer) => Some(&customer.id),
            Entry::Device(device) => Some(&device.id),
            Entry::Policy(policy) => Some(&policy.id),
            Entry::Ownership(_) | Entry::Consent(_) | Entry::Geofence(_) | Entry::Erased(_) => None,
        };
        if id.is_some_and(|id| !is_id(id)) {
            return Err(RegistryError::BadId { place: key });
        }
        if !keys.insert(key.clone()) {
            return Err(RegistryError::Twice(key));
        }
    }
    let defined = |kind, id: &Arc<str>, known: bool, entry: &Entry| {
        if known || keys.contains(&format!("{kind}/{id}")) {
            return Ok(());
        }
        Err(RegistryError::Unknown { kind, id: id.to_string(), place: entry.key() })
    };
    let is_there = |kind: &str, id: &Arc<str>| keys.contains(&format!("{kind}/{id}"));
    let insurer =
        |id: &Arc<str>, entry| defined("insurer", id, registry.insurer(id).is_some(), entry);
    let customer = |id: &Arc<str>, entry| {
        defined("customer", id, registry.customer_number(id).is_some(), entry)
    };
    for entry in entries {
        match entry {
            Entry::Device(Device { id, .. })
                if registry.insurer(id).is_some() || is_there("insurer", id) =>
            {
                return Err(RegistryError::SharedId { id: id.to_string(), line: None });
            }
            Entry::Insurer(Insurer { id, .. }) if registry.device(id).is_some() => {
                return Err(RegistryError::SharedId { id: id.to_string(), line: None });
            }
            Entry::Insurer(_) | Entry::Customer(_) | Entry::Device(_) | Entry::Erased(_) => {}
            Entry::Ownership(own) => customer(&own.customer, entry)?,
            Entry::Policy(policy) => {
                insurer(&policy.insurer, entry)?;
                customer(&policy.customer, entry)?;
            }
            Entry::Geofence(fence) => {
                if let Some(id) = &fence.customer {
                    customer(id, entry)?;
                }
            }
            Entry::Consent(consent) => {
                insurer(&consent.insurer, entry)?;
                customer(&consent.customer, entry)?;
            }
        }
    }
    Ok(())
}

/// Where a device or, if there is none, an insurer is given an id.
fn line_of(text: &str, id: &str) -> Option<usize> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let rows = |kind: &str| document.get_ref().get(kind)?.get_ref().as_array();
    let at = ["device", "insurer"].into_iter().filter_map(rows).flatten().find_map(|row| {
        let value = row.get_ref().as_table()?.get("id")?;
        (value.get_ref().as_str() == Some(id)).then(|| value.span().start)
    })?;
    Some(text.get(..at)?.matches('\n').count() + 1)
}

/// An id can stand in a topic level and in a file name.
#[must_use]
pub fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

#[cfg(test)]
mod tests;
