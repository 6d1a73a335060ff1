//! The message an insurer gets: a CloudEvent, and the keyed ids in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use ingest::Reading;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::rules::{Firing, Text, Value};
use crate::weather::Joined;
use crate::{Booked, Cause, Event};

/// The version of the shape of `data`; an older one stays readable under its own address.
pub const DATASCHEMA: &str = "urn:datanaut:schema:trigger:1";

/// Where triggers come from, as CloudEvents want it: a URI reference.
pub const SOURCE: &str = "urn:datanaut";

/// A CloudEvent 1.0 in structured form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloudEvent<D = TriggerData> {
    pub specversion: String,
    /// The same for all that is ever said about one event, rule and policy.
    pub id: String,
    pub source: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// The insurer's pseudonym for the customer.
    pub subject: String,
    /// When it was said, not when it happened.
    pub time: Timestamp,
    pub datacontenttype: String,
    pub dataschema: String,
    /// Counts up without gaps for this insurer and product.
    pub sequence: String,
    /// Counts what was said under this id: 0, then one up for each revision and withdrawal.
    pub revision: u32,
    pub data: D,
}

/// What a message says about the trigger with its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Fired,
    /// Late data changed it: this replaces what was said before.
    Revised,
    /// Late data showed that it never happened.
    Withdrawn,
}

impl Status {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Revised => "revised",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What happened, when and where, by what evidence, and what to make of it. Only what the purpose
/// allows: a travel insurer learns the countries, never the track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerData {
    pub product: String,
    pub rule: RuleRef,
    pub event: String,
    pub happened_at: Timestamp,
    /// What the event itself tells, by name: for a border crossed, `place` and `between`.
    #[serde(flatten)]
    pub told: BTreeMap<String, serde_json::Value>,
    pub offer: OfferData,
    /// What the rule tells by name; what is not known is null.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, serde_json::Value>,
    pub explanation: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    pub evidence: Evidence,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleRef {
    pub id: String,
    pub version: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfferData {
    pub kind: String,
    /// What else the explanation says, by kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    pub valid_until: Timestamp,
}

/// What may be shown of the evidence, and the means to prove the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub weather: Weather,
    /// SHA-256, in hex, of the full evidence, which stays with the customer and the operator.
    pub hash: String,
}

/// The weather at the place and time, as far as its source gave it, or that it is missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Weather {
    Known {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        temperature_c: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        precipitation_mm: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wind_mps: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u8>,
        source: Arc<str>,
        age_s: i64,
    },
    Missing,
}

/// Everything a trigger was computed from: enough to compute it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FullEvidence {
    pub device: String,
    pub customer: String,
    pub policy: String,
    pub event: Event,
    /// The reading that caused it, where it is still there.
    #[serde(default)]
    pub reading: Option<Reading>,
    /// What the customer had booked with the policy's insurer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub booked: Vec<Booked>,
    pub weather: Option<Joined>,
    pub rule: RuleRef,
    pub registry_version: u64,
    pub now_ms: i64,
}

impl FullEvidence {
    /// The evidence as it is stored and hashed.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The content of the message for a firing.
#[must_use]
pub fn data(
    event: &Event,
    firing: &Firing<'_>,
    weather: Option<&Joined>,
    evidence: &str,
) -> TriggerData {
    TriggerData {
        product: firing.rule.product.name().to_owned(),
        rule: RuleRef { id: firing.rule.id.clone(), version: firing.rule.version },
        event: event.happening.name().to_owned(),
        happened_at: at(event.time_ms),
        told: event.happening.told(),
        offer: OfferData {
            kind: firing.offer.to_owned(),
            also: firing.also.iter().map(|kind| (*kind).to_owned()).collect(),
            valid_until: at(firing.expires_ms),
        },
        facts: firing.facts.iter().map(|(name, fact)| ((*name).to_owned(), fact.clone())).collect(),
        explanation: firing.explanation.clone(),
        value: firing.rule.value.clone(),
        evidence: Evidence { weather: shown(weather), hash: sha256_hex(evidence.as_bytes()) },
    }
}

pub(crate) fn shown(weather: Option<&Joined>) -> Weather {
    weather.map_or(Weather::Missing, |joined| Weather::Known {
        temperature_c: joined.row.values.temperature_c,
        precipitation_mm: joined.row.values.precipitation_mm,
        wind_mps: joined.row.values.wind_mps,
        code: joined.row.values.code,
        source: joined.row.source.clone(),
        age_s: joined.age_ms / 1_000,
    })
}

/// The moment, for people and machines. Times come from checked readings, so they fit; one that
/// does not is shown as the start of the epoch rather than lost with its trigger.
pub(crate) fn at(time_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(time_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The secrets that ids and pseudonyms are made with; the journal makes them up and keeps them.
#[derive(Clone)]
pub struct Key {
    /// Of all but pseudonyms, and of the first of these.
    secret: [u8; 32],
    /// Of pseudonyms since: the newest last.
    renewed: Vec<[u8; 32]>,
}

/// What an insurer knows a customer by: another word at every insurer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    pub subject: String,
    /// Which secret it was made with: 1, then one up with each new one.
    pub key_version: u32,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(secret)")
    }
}

impl Key {
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret, renewed: Vec::new() }
    }

    /// The same with further secrets of pseudonyms, the newest last.
    #[must_use]
    pub fn renewed(self, secrets: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let mut renewed = self.renewed;
        renewed.extend(secrets);
        Self { renewed, ..self }
    }

    /// Of the newest secret of pseudonyms.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.renewed.len() as u32 + 1
    }

    /// The id of a trigger: from rule, policy and the reading that caused it, so that the same
    /// event found again, after a crash or in another order, has the same id.
    #[must_use]
    pub fn trigger_id(&self, rule: &str, policy: &str, device: &str, cause: &Cause) -> String {
        let seq = cause.seq.map_or_else(String::new, |seq| seq.to_string());
        let (time, content) = (cause.time_ms.to_string(), cause.content.to_string());
        self.digest(&["trigger", rule, policy, device, &time, &seq, &content])
    }

    /// What an insurer knows a customer by now.
    #[must_use]
    pub fn subject(&self, insurer: &str, customer: &str) -> Subject {
        let newest = self.renewed.last().unwrap_or(&self.secret);
        pseudonym(newest, self.version(), insurer, customer)
    }

    /// By this, and by what it knew the customer before: the newest last.
    #[must_use]
    pub fn subjects(&self, insurer: &str, customer: &str) -> Vec<Subject> {
        let secrets = std::iter::once(&self.secret).chain(&self.renewed);
        (1..)
            .zip(secrets)
            .map(|(version, key)| pseudonym(key, version, insurer, customer))
            .collect()
    }

    /// The id of what is said of a claim.
    #[must_use]
    pub fn claim_id(&self, insurer: &str, claim: &str, customer: &str) -> String {
        self.digest(&["claim", insurer, claim, customer])
    }

    /// The id of what is said of a booked trip: policies are an insurer's, and so is the trip's id.
    #[must_use]
    pub fn trip_id(&self, rule: &str, policy: &str, trip: &str) -> String {
        self.digest(&["trip", rule, policy, trip])
    }

    /// The id of an answer to feedback: about a trigger, or about the customer.
    #[must_use]
    pub fn feedback_id(&self, kind: &str, insurer: &str, about: &str) -> String {
        self.digest(&["feedback", kind, insurer, about])
    }

    /// The id of a message that is about no event: a request to delete, or a test.
    #[must_use]
    pub fn notice_id(&self, kind: &str, insurer: &str, product: &str, sequence: i64) -> String {
        self.digest(&[kind, insurer, product, &sequence.to_string()])
    }

    /// The signature of a link to a customer's page that ends then.
    #[must_use]
    pub fn link(&self, customer: &str, until_ms: i64) -> String {
        self.digest(&["link", customer, &until_ms.to_string()])
    }

    /// What is kept of an id that was erased, to know it again.
    #[must_use]
    pub fn of_erased(&self, kind: &str, id: &str) -> String {
        self.digest(&["erased", kind, id])
    }

    fn digest(&self, parts: &[&str]) -> String {
        digest(&self.secret, parts)
    }
}

fn pseudonym(secret: &[u8], key_version: u32, insurer: &str, customer: &str) -> Subject {
    Subject { subject: digest(secret, &["subject", insurer, customer]), key_version }
}

fn digest(secret: &[u8], parts: &[&str]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        return String::new();
    };
    for part in parts {
        // The length first: ("ab", "c") is not ("a", "bc").
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    hex(&mac.finalize().into_bytes()[..16])
}

/// The SHA-256 of some bytes, in hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex(&Sha256::digest(bytes))
}

/// Whether two secrets are equal; takes the same time whichever letter differs.
#[must_use]
pub fn same_secret(a: &str, b: &str) -> bool {
    let difference = a.bytes().zip(b.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b));
    a.len() == b.len() && difference == 0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::Key;
    use crate::Cause;

    #[test]
    fn an_id_is_the_same_for_the_same_cause_and_another_for_another_policy() {
        let key = Key::new([7; 32]);
        let cause = Cause { time_ms: 5, seq: Some(1), content: 9 };
        let id = key.trigger_id("travel-offer", "P-1", "car-1", &cause);
        assert_eq!(id, key.trigger_id("travel-offer", "P-1", "car-1", &cause));
        assert_eq!(id.len(), 32);
        assert_ne!(id, key.trigger_id("travel-offer", "P-2", "car-1", &cause));
        assert_ne!(
            id,
            key.trigger_id("travel-offer", "P-1", "car-1", &Cause { seq: None, ..cause })
        );
        assert_ne!(id, Key::new([8; 32]).trigger_id("travel-offer", "P-1", "car-1", &cause));
    }

    #[test]
    fn two_insurers_cannot_join_what_they_know() {
        let key = Key::new([7; 32]);
        assert_ne!(key.subject("alpina", "anna"), key.subject("boreal", "anna"));
        assert_ne!(key.subject("al", "pinaanna"), key.subject("alpina", "anna"));
    }

    #[test]
    fn a_new_secret_gives_new_pseudonyms_and_leaves_the_old_ones_and_all_ids() {
        let old = Key::new([7; 32]);
        let new = old.clone().renewed([[8; 32]]);
        let (before, after) = (old.subject("alpina", "anna"), new.subject("alpina", "anna"));
        assert_eq!((before.key_version, after.key_version), (1, 2));
        assert_ne!(before.subject, after.subject);
        assert_eq!(new.subjects("alpina", "anna"), [before, after]);
        let cause = Cause { time_ms: 5, seq: None, content: 9 };
        assert_eq!(new.trigger_id("r", "P", "d", &cause), old.trigger_id("r", "P", "d", &cause));
        assert_eq!(new.of_erased("customer", "anna"), old.of_erased("customer", "anna"));
    }
}
