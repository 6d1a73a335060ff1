//! What is said when there is nothing more to say: a consent was withdrawn, a customer erased, or it
//! was kept long enough.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rules::Text;
use crate::sample::TestData;
use crate::trigger::{CloudEvent, SOURCE, TriggerData};

/// The version of the shape of [`PrivacyData`].
const DATASCHEMA: &str = "urn:datanaut:schema:privacy:1";

/// The `data` of any message in the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    Privacy(PrivacyData),
    Test(TestData),
    Trigger(Box<TriggerData>),
}

impl Content {
    /// What the message says about a trigger, if it still says anything.
    #[must_use]
    pub fn trigger(&self) -> Option<&TriggerData> {
        match self {
            Self::Trigger(data) => Some(data),
            Self::Privacy(_) | Self::Test(_) => None,
        }
    }
}

/// Why there is nothing more to say, and what is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyData {
    pub reason: PrivacyReason,
    /// What the consent was given for; absent where a message only keeps its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// `delete`: all that was received under this subject for this product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    pub explanation: Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyReason {
    ConsentWithdrawn,
    CustomerErased,
    /// It was kept for as long as it shall be.
    NoLongerKept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivacyKind {
    /// In the place of a trigger that is not told any more.
    TriggerErased,
    ConsentWithdrawn,
    CustomerErased,
}

impl PrivacyKind {
    /// The kind of message that tells an insurer.
    #[must_use]
    pub fn notice(reason: PrivacyReason) -> Self {
        match reason {
            PrivacyReason::ConsentWithdrawn => Self::ConsentWithdrawn,
            PrivacyReason::CustomerErased => Self::CustomerErased,
            // Nobody is asked to delete anything.
            PrivacyReason::NoLongerKept => Self::TriggerErased,
        }
    }

    /// The CloudEvent's `type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TriggerErased => "io.datanaut.trigger.erased",
            Self::ConsentWithdrawn => "io.datanaut.consent.withdrawn",
            Self::CustomerErased => "io.datanaut.customer.erased",
        }
    }
}

impl PrivacyData {
    #[must_use]
    pub fn new(kind: PrivacyKind, reason: PrivacyReason, product: Option<&str>) -> Self {
        let (en, nl) = match (kind, reason) {
            (PrivacyKind::TriggerErased, PrivacyReason::ConsentWithdrawn) => (
                "The customer has withdrawn the consent behind this message; nothing of it is kept.",
                "De klant heeft de toestemming achter dit bericht ingetrokken; er is niets van bewaard.",
            ),
            (PrivacyKind::TriggerErased, PrivacyReason::CustomerErased) => (
                "The customer was erased; nothing of this message is kept.",
                "De klant is gewist; van dit bericht is niets bewaard.",
            ),
            (_, PrivacyReason::NoLongerKept) => (
                "This message was kept for as long as it may be; nothing of it is kept any more.",
                "Dit bericht is zo lang bewaard als het mag; er is niets meer van bewaard.",
            ),
            (_, PrivacyReason::ConsentWithdrawn) => (
                "The customer has withdrawn consent: delete what you received under this subject for this product.",
                "De klant heeft de toestemming ingetrokken: verwijder wat u onder dit kenmerk voor dit product hebt ontvangen.",
            ),
            (_, PrivacyReason::CustomerErased) => (
                "The customer asked to be erased: delete what you received under this subject for this product.",
                "De klant heeft om wissing gevraagd: verwijder wat u onder dit kenmerk voor dit product hebt ontvangen.",
            ),
        };
        Self {
            reason,
            product: product.map(str::to_owned),
            request: (kind != PrivacyKind::TriggerErased).then(|| "delete".to_owned()),
            explanation: Text { en: en.to_owned(), nl: nl.to_owned() },
        }
    }
}

impl CloudEvent<PrivacyData> {
    /// The message that asks an insurer to delete.
    #[must_use]
    pub fn privacy(
        id: String,
        subject: String,
        time: Timestamp,
        sequence: String,
        data: PrivacyData,
    ) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id,
            source: SOURCE.to_owned(),
            kind: PrivacyKind::notice(data.reason).name().to_owned(),
            subject,
            time,
            datacontenttype: "application/json".to_owned(),
            dataschema: DATASCHEMA.to_owned(),
            sequence,
            revision: 0,
            data,
        }
    }

    /// What takes the place of a trigger: the same id, subject and sequence, and nothing else.
    #[must_use]
    pub fn in_place_of<D>(event: CloudEvent<D>, time: Timestamp, reason: PrivacyReason) -> Self {
        let kind = PrivacyKind::TriggerErased;
        Self {
            kind: kind.name().to_owned(),
            time,
            revision: event.revision,
            ..Self::privacy(
                event.id,
                event.subject,
                time,
                event.sequence,
                PrivacyData::new(kind, reason, None),
            )
        }
    }
}
