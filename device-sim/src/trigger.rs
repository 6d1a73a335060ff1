//! Triggers as an insurer gets them: the documented CloudEvent, as far as it is needed here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A trigger that came, as it is kept in a file: one JSON object a line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Recorded {
    pub topic: String,
    pub received_at: Timestamp,
    pub message: Box<RawValue>,
}

/// What is said about an event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trigger {
    /// The insurer that it was sent to, from the topic.
    pub(crate) insurer: String,
    pub(crate) product: String,
    pub(crate) subject: String,
    pub(crate) received_at: Timestamp,
    pub(crate) id: String,
    pub(crate) revision: u64,
    pub(crate) sequence: u64,
    pub(crate) withdrawn: bool,
    pub(crate) event: String,
    pub(crate) happened_at: Timestamp,
    pub(crate) known_from: Option<Timestamp>,
    /// Country codes, where the event has them.
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    /// The name of an area of risk.
    pub(crate) area: Option<String>,
    /// Where the event is about them.
    pub(crate) tyres: Option<Tyres>,
    /// `dry`, `wet`, `snow` or `ice`, where it is said and known.
    pub(crate) road: Option<String>,
    /// The insurer's own id of the claim that is answered.
    pub(crate) claim: Option<String>,
    /// The insurer's own id of a booked trip.
    pub(crate) trip: Option<String>,
    /// How near a danger is.
    pub(crate) stage: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Tyres {
    /// Not known of every car with a claim.
    pub(crate) fitted: Option<String>,
    pub(crate) tread_mm: Option<f64>,
}

/// Why a message is no trigger as documented.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TriggerError {
    #[error("{0} is not triggers/{{insurer}}/{{product}}/{{subject}}")]
    Topic(String),
    #[error("no CloudEvent as documented: {0}")]
    Message(#[from] serde_json::Error),
    #[error("{0:?} is no sequence number")]
    Sequence(String),
    #[error("{0:?} is no documented type")]
    Type(String),
    #[error("{0:?} without the time when it happened")]
    NoTime(String),
}

#[derive(Deserialize)]
struct CloudEvent {
    id: String,
    r#type: String,
    sequence: String,
    revision: u64,
    data: Box<RawValue>,
}

/// Messages on the same topics that say nothing of what happened.
const OTHERS: [&str; 4] = [
    "io.datanaut.trigger.test",
    "io.datanaut.trigger.erased",
    "io.datanaut.consent.withdrawn",
    "io.datanaut.customer.erased",
];

#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

#[derive(Deserialize)]
struct Data {
    event: String,
    happened_at: Option<Timestamp>,
    between: Option<(Timestamp, Timestamp)>,
    place: Option<Place>,
    tyres: Option<Tyres>,
    road: Option<Road>,
    claim: Option<OfInsurer>,
    trip: Option<OfInsurer>,
    stage: Option<String>,
}

#[derive(Deserialize)]
struct Road {
    condition: Option<String>,
}

/// What an insurer reported.
#[derive(Deserialize)]
struct OfInsurer {
    id: String,
}

#[derive(Default, Deserialize)]
struct Place {
    from: Option<Country>,
    to: Option<Country>,
    area: Option<String>,
}

#[derive(Deserialize)]
struct Country {
    country: String,
}

impl Trigger {
    /// Nothing, for a message that is about nothing that happened.
    ///
    /// # Errors
    /// When topic or message are not as documented.
    pub(crate) fn read(recorded: &Recorded) -> Result<Option<Self>, TriggerError> {
        let levels: Vec<_> = recorded.topic.split('/').collect();
        let ["triggers", insurer, product, subject] = levels[..] else {
            return Err(TriggerError::Topic(recorded.topic.clone()));
        };
        let Kind { r#type } = serde_json::from_str(recorded.message.get())?;
        if OTHERS.contains(&&*r#type) {
            return Ok(None);
        }
        let event: CloudEvent = serde_json::from_str(recorded.message.get())?;
        let withdrawn = match event.r#type.as_str() {
            "io.datanaut.trigger.fired" | "io.datanaut.trigger.revised" => false,
            "io.datanaut.trigger.withdrawn" => true,
            _ => return Err(TriggerError::Type(event.r#type)),
        };
        let Ok(sequence) = event.sequence.parse() else {
            return Err(TriggerError::Sequence(event.sequence));
        };
        let data: Data = serde_json::from_str(event.data.get())?;
        let Some(happened_at) = data.happened_at else {
            return Err(TriggerError::NoTime(data.event));
        };
        let Place { from, to, area } = data.place.unwrap_or_default();
        Ok(Some(Self {
            insurer: insurer.into(),
            product: product.into(),
            subject: subject.into(),
            received_at: recorded.received_at,
            id: event.id,
            revision: event.revision,
            sequence,
            withdrawn,
            event: data.event,
            happened_at,
            known_from: data.between.map(|(_, to)| to),
            from: from.map(|country| country.country),
            to: to.map(|country| country.country),
            area,
            tyres: data.tyres,
            road: data.road.and_then(|road| road.condition),
            claim: data.claim.map(|claim| claim.id),
            trip: data.trip.map(|trip| trip.id),
            stage: data.stage,
        }))
    }
}
