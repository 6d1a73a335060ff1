//! What really happens to the simulated devices and ought to be noticed: the ground truth.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::geo::Position;

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    Truth(Truth),
    /// How the fleet's clock went, if not as the one on the wall.
    Clock(Clock),
    /// The last line: nothing more happened up to then.
    End(Timestamp),
}

/// Something that happened, as precisely as the simulator knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    pub device: Arc<str>,
    pub at: Timestamp,
    /// Where, if it happened at a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lat: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lon: Option<f64>,
    #[serde(flatten)]
    pub what: What,
    pub expect: Expect,
    /// How often the device reports.
    pub reports_every_ms: i64,
    /// It had no fix for so long when it happened: in a tunnel, or on board.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unseen_ms: i64,
    /// What it reported before this had been kept, and went out at this moment at the earliest.
    pub published_from: Timestamp,
    /// How far the device's clock is ahead; `at` is by that clock.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clock_off_ms: i64,
}

fn is_zero(ms: &i64) -> bool {
    *ms == 0
}

/// What happened. Those that a trigger is about have the name of its event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// Countries by their ISO 3166-1 alpha-2 codes.
    BorderCrossed {
        from: String,
        to: String,
    },
    /// A car drives on tyres that do not fit the road, now or in the hours ahead.
    TyresUnfit {
        fitted: String,
        tread_mm: f64,
    },
    /// Into an area where the premium is another one, and out of it.
    RiskAreaEntered {
        area: String,
    },
    RiskAreaLeft {
        area: String,
    },
    /// Into a venue, by its name.
    GeofenceEntered {
        area: String,
    },
    /// A booked trip begins, of which somebody is to hear when it is due.
    TripAhead {
        id: String,
        due: Timestamp,
    },
    /// A car has parked.
    TripEnded {
        lasted_s: f64,
        km: f64,
    },
    /// A car was braked this hard, for a moment.
    HarshBraking {
        mps2: f64,
    },
    /// An accident, which the insurer reports under this id and has answered.
    ClaimReported {
        id: String,
        tyre: String,
        road: String,
        /// What that may as well be taken for: it is at a threshold.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        or_road: Option<String>,
        speed_mps: f64,
    },
    /// How far a car came in the whole run, by the road: the measure that claims are set against.
    Driven {
        tyre: String,
        dry_km: f64,
        wet_km: f64,
        snow_km: f64,
        ice_km: f64,
    },
    /// A house nears freezing: nobody heats it, or its boiler has failed. `stage` is `near`, or
    /// `ahead` where it may come to that.
    FrostRisk {
        stage: String,
        indoor_c: f64,
        outdoor_c: f64,
        boiler_failed: bool,
    },
    /// So many steps in a day, or minutes of activity in a week (local time).
    GoalReached {
        goal: String,
        amount: u32,
    },
    /// A product stands still and says why.
    Faulted {
        fault: String,
    },
    /// A product has little left of what it uses up.
    RunsLow {
        consumable_pct: f64,
    },
}

impl What {
    /// The product whose insurers are to be told.
    #[must_use]
    pub fn product(&self) -> &'static str {
        match self {
            Self::BorderCrossed { .. }
            | Self::TripAhead { .. }
            | Self::RiskAreaEntered { .. }
            | Self::RiskAreaLeft { .. } => "travel",
            Self::TyresUnfit { .. } | Self::ClaimReported { .. } | Self::Driven { .. } => {
                "winter_tyres"
            }
            Self::GeofenceEntered { .. } => "venue",
            Self::TripEnded { .. } | Self::HarshBraking { .. } => "pay_as_you_drive",
            Self::FrostRisk { .. } => "home",
            Self::GoalReached { .. } => "healthy_living",
            Self::Faulted { .. } | Self::RunsLow { .. } => "product_usage",
        }
    }

    /// Its name in the ledger.
    #[must_use]
    pub fn event(&self) -> &'static str {
        match self {
            Self::BorderCrossed { .. } => "border_crossed",
            Self::TyresUnfit { .. } => "tyres_unfit",
            Self::RiskAreaEntered { .. } => "risk_area_entered",
            Self::RiskAreaLeft { .. } => "risk_area_left",
            Self::GeofenceEntered { .. } => "geofence_entered",
            Self::TripAhead { .. } => "trip_ahead",
            Self::TripEnded { .. } => "trip_ended",
            Self::HarshBraking { .. } => "harsh_braking",
            Self::ClaimReported { .. } => "claim_reported",
            Self::Driven { .. } => "driven",
            Self::FrostRisk { .. } => "frost_risk",
            Self::GoalReached { .. } => "goal_reached",
            Self::Faulted { .. } => "faulted",
            Self::RunsLow { .. } => "runs_low",
        }
    }
}

impl What {
    /// Claims are numbered by car; their ids are unique.
    fn by(self, device: &str) -> Self {
        match self {
            Self::ClaimReported { id, tyre, road, or_road, speed_mps } => {
                let id = format!("{device}-{id}");
                Self::ClaimReported { id, tyre, road, or_road, speed_mps }
            }
            other => other,
        }
    }
}

/// To 10 cm or so.
fn degrees(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// What a server ought to make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// A trigger, if somebody insured is to be told.
    Trigger,
    /// A trigger or none: too brief, or too much at the edge of the run, to be sure.
    Either,
    /// To be noticed, but no trigger is about it.
    Notice,
}

/// What was found to have happened to a device, before it is known when a server can know of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) at_ms: i64,
    pub(crate) place: Option<Position>,
    pub(crate) what: What,
    pub(crate) expect: Expect,
    /// Nobody could see the device for so long when it happened.
    pub(crate) unseen_ms: i64,
}

impl Found {
    /// Something that no trigger is about.
    pub(crate) fn noticed(at_ms: i64, place: Option<Position>, what: What) -> Self {
        Self { at_ms, place, what, expect: Expect::Notice, unseen_ms: 0 }
    }

    pub(crate) fn truth(
        self,
        device: &Arc<str>,
        every_ms: i64,
        published_from_ms: i64,
        clock_off_ms: i64,
    ) -> Truth {
        let moment = |ms| Timestamp::from_millisecond(ms).unwrap_or_default();
        // The weather of another hour may have been another.
        let unsure = clock_off_ms != 0
            && matches!(self.what, What::TyresUnfit { .. } | What::FrostRisk { .. });
        Truth {
            device: Arc::clone(device),
            at: moment(self.at_ms + clock_off_ms),
            lat: self.place.map(|place| degrees(place.lat)),
            lon: self.place.map(|place| degrees(place.lon)),
            what: self.what.by(device),
            expect: if unsure { Expect::Either } else { self.expect },
            reports_every_ms: every_ms,
            unseen_ms: if self.unseen_ms > every_ms { self.unseen_ms } else { 0 },
            published_from: moment(published_from_ms),
            clock_off_ms,
        }
    }
}

/// The ledger: a file of [`Line`]s as JSON, one write a line; kept in memory as well for who asks.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    file: Option<File>,
    kept: Option<Vec<Truth>>,
    failed: Option<std::io::Error>,
}

impl Ledger {
    pub(crate) fn new(file: Option<File>, keep: bool) -> Self {
        Self { file, kept: keep.then(Vec::new), failed: None }
    }

    pub(crate) fn note(&mut self, truth: Truth) {
        if let Some(kept) = &mut self.kept {
            kept.push(truth.clone());
        }
        self.write(&Line::Truth(truth));
    }

    /// The first failure is kept: a ledger with holes is not to be relied on.
    pub(crate) fn end(&mut self, clock: Clock) -> (Vec<Truth>, Option<String>) {
        if clock.speed != 1.0 || clock.start_ms != clock.wall_start_ms {
            self.write(&Line::Clock(clock));
        }
        self.write(&Line::End(Timestamp::now()));
        let failed = self.failed.as_ref().map(ToString::to_string);
        (self.kept.take().unwrap_or_default(), failed)
    }

    fn write(&mut self, line: &Line) {
        let Some(file) = &mut self.file else { return };
        let written = serde_json::to_vec(line).map_err(Into::into).and_then(|mut bytes| {
            bytes.push(b'\n');
            file.write_all(&bytes)
        });
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }
}
