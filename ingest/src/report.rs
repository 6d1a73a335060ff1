//! What insurers report: claims, booked trips, and how triggers were received.
//!
//! docs/claims.md describes the payloads, [`formats`](crate::formats) reads them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Fix, Rejected};

/// A message of an insurer: what it reports, or why that cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub struct FromInsurer {
    pub insurer: Arc<str>,
    pub report: Result<Report, Rejected>,
    /// Names in the message that are not documented.
    pub unknown_names: u32,
}

/// What is reported. The form is also the one in which the journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    Claim(Claim),
    Trip(Trip),
    Feedback(Feedback),
}

/// The kinds of reports, each with a topic of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    Claim,
    Trip,
    Feedback,
}

/// Somebody told their insurer that something happened (first notice of loss).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The insurer's own: a claim that comes again with other content under the same id corrects it.
    pub id: Box<str>,
    /// One of the two is there.
    pub policy: Option<Box<str>>,
    pub device: Option<Box<str>>,
    /// When it happened.
    pub time_ms: i64,
    /// Where it happened, if that is known.
    pub fix: Option<Fix>,
    /// The same in words, as the insurer wrote it.
    pub place: Option<Box<str>>,
    /// The insurer's word for what happened, as in "collision".
    pub kind: Box<str>,
}

/// A journey that was booked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trip {
    pub id: Box<str>,
    /// One of the two is there.
    pub customer: Option<Box<str>>,
    pub policy: Option<Box<str>>,
    /// Where to: one of the two is there.
    pub fix: Option<Fix>,
    pub place: Option<Box<str>>,
    pub from_ms: i64,
    pub to_ms: i64,
    /// What was booked with it, as in "skiing".
    pub activities: Vec<Box<str>>,
    /// It does not take place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
}

/// How a trigger was received by the customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    /// The trigger's id.
    pub trigger: Box<str>,
    /// One of the two is there.
    pub reaction: Option<Reaction>,
    /// How glad they were, from 1 to 10.
    pub mark: Option<u8>,
    pub time_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    Opened,
    Ignored,
    Accepted,
}

impl ReportKind {
    pub const ALL: [Self; 3] = [Self::Claim, Self::Trip, Self::Feedback];

    /// The name in the journal and in the totals.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Trip => "trip",
            Self::Feedback => "feedback",
        }
    }

    /// The first level of its topic; the second is the insurer's id.
    #[must_use]
    pub fn topic(self) -> &'static str {
        match self {
            Self::Claim => "claims",
            Self::Trip => "trips",
            Self::Feedback => "feedback",
        }
    }

    /// What a topic is for, and the insurer it names (who may be nobody).
    #[must_use]
    pub fn of_topic(topic: &str) -> Option<(Self, &str)> {
        let (first, insurer) = topic.split_once('/')?;
        let kind = Self::ALL.into_iter().find(|kind| kind.topic() == first)?;
        (!insurer.contains('/')).then_some((kind, insurer))
    }
}

impl Report {
    #[must_use]
    pub fn kind(&self) -> ReportKind {
        match self {
            Self::Claim(_) => ReportKind::Claim,
            Self::Trip(_) => ReportKind::Trip,
            Self::Feedback(_) => ReportKind::Feedback,
        }
    }

    /// What tells it from the insurer's others of its kind; feedback may come several times about
    /// the same trigger.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Claim(claim) => &claim.id,
            Self::Trip(trip) => &trip.id,
            Self::Feedback(feedback) => &feedback.trigger,
        }
    }
}
