//! Everything that a rule can ask about when an event happened.

use std::sync::{Arc, OnceLock};

use ingest::{DeviceKind, Measure, Reading, Shape, Value as Measured};

use crate::enriched::day;
use crate::fact::{Fact, Field, Type};
use crate::law::{Duty, Roaming};
use crate::places::{Area, Details};
use crate::registry::{Customer, Policy, Registry};
use crate::road::{Condition, Road};
use crate::trip::day_of;
use crate::weather::{Ahead, Joined, Values};
use crate::{Booked, Country, Event, Happening, World};

/// What rules are asked about: an event, the customer it happened to, and what is known around it.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    pub event: &'a Event,
    /// The reading that caused it, where it is at hand.
    pub reading: Option<&'a Reading>,
    /// What noticed it; `None`: no device did.
    pub device: Option<DeviceKind>,
    /// What the customer has booked.
    pub booked: &'a [Booked],
    /// The insurers that the customer gave a low mark: they make no offers.
    pub marked_low: &'a [Arc<str>],
    /// By the registry's number.
    pub customer: u32,
    pub registry: &'a Registry,
    pub world: &'a World,
    pub now_ms: i64,
}

/// What is looked up at most once for an occasion, and only when somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Around {
    weather: OnceLock<Option<Joined>>,
    ahead: OnceLock<Option<Ahead>>,
    country: OnceLock<Option<Country>>,
    road: OnceLock<Road>,
    duty: OnceLock<Option<Duty>>,
    snow_duty: OnceLock<Option<Duty>>,
    details: OnceLock<Option<Details>>,
}

/// An occasion as one policy sees it.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    pub(crate) occasion: &'a Occasion<'a>,
    pub(crate) around: &'a Around,
    pub(crate) customer: &'a Customer,
    pub(crate) policy: &'a Policy,
}

/// What the weather tells beside its [`Values::NAMES`].
const WEATHER: &[Field] =
    &[("code", Type::Number), ("present", Type::Text), ("age_s", Type::Number)];

const PLACE: &[Field] = &[
    ("country", Type::Text),
    ("region", Type::Text),
    ("town", Type::Text),
    ("risk_area", Type::Text),
    ("premium_factor", Type::Number),
    ("road", Type::Text),
    ("road_reason", Type::Text),
    ("tyre_duty", Type::Text),
    ("least_tread_mm", Type::Number),
    ("snow_duty", Type::Text),
    ("law_verified", Type::Flag),
    ("covered", Type::Flag),
    ("roaming", Type::Text),
];

const DEVICE: &[Field] = &[("kind", Type::Text)];

const AHEAD: &[Field] = &[
    ("lowest_c", Type::Number),
    ("highest_c", Type::Number),
    ("precipitation_mm", Type::Number),
    ("snowfall_cm", Type::Number),
    ("hours", Type::Number),
];

const TRIP: &[Field] = &[("to", Type::Text), ("days_left", Type::Number)];

const CUSTOMER: &[Field] = &[("language", Type::Text), ("time_zone", Type::Text)];

const POLICY: &[Field] = &[("insurer", Type::Text), ("home", Type::Text), ("covers", Type::Texts)];

/// The names that rules on one kind of event can use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema {
    event: &'static [Field],
}

impl Schema {
    /// `None` when there is no such event.
    pub(crate) fn of(event: &str) -> Option<Self> {
        Happening::fields(event).map(|event| Self { event })
    }

    fn fields(&self, root: &str) -> Option<&'static [Field]> {
        match root {
            "event" => Some(self.event),
            "weather" => Some(WEATHER),
            "place" => Some(PLACE),
            "ahead" => Some(AHEAD),
            "device" => Some(DEVICE),
            "trip" => Some(TRIP),
            "customer" => Some(CUSTOMER),
            "policy" => Some(POLICY),
            _ => None,
        }
    }

    pub(crate) fn type_of(&self, name: &str) -> Option<Type> {
        let (root, field) = name.split_once('.')?;
        if root == "reading" {
            return Measure::from_name(field).map(|measure| match measure.shape() {
                Shape::Number { .. } => Type::Number,
                Shape::Flag => Type::Flag,
                Shape::Choice(_) | Shape::Text { .. } => Type::Text,
            });
        }
        if root == "weather" && Values::NAMES.contains(&field) {
            return Some(Type::Number);
        }
        let fields = self.fields(root)?;
        fields.iter().find(|(name, _)| *name == field).map(|(_, of)| *of)
    }

    /// What to say of a name that nothing stands behind.
    pub(crate) fn unknown(&self, name: &str) -> String {
        let root = name.split('.').next().unwrap_or_default();
        let known = match self.fields(root) {
            Some(fields) => {
                let more = if root == "weather" { &Values::NAMES[..] } else { &[] };
                let names = fields.iter().map(|(field, _)| *field).chain(more.iter().copied());
                names.map(|field| format!("{root}.{field}")).collect::<Vec<_>>().join(", ")
            }
            None if root == "reading" => "reading. and a measure of docs/formats.md".to_owned(),
            None => "names begin with event., reading., weather., ahead., place., device., \
                     trip., customer. or policy."
                .to_owned(),
        };
        format!("`{name}` is not known; known: {known}")
    }
}

impl Occasion<'_> {
    /// How high above the sea it happened, where the reading that caused it says so.
    fn altitude_m(&self) -> Option<f64> {
        self.reading?.number(Measure::AltitudeM)
    }

    fn risks(&self) -> Option<Vec<(&Area, f64)>> {
        let fix = self.event.happening.place()?;
        Some(self.world.atlas.areas().risks(&fix, self.event.time_ms))
    }
}

impl Around {
    pub(crate) fn weather(&self, occasion: &Occasion<'_>) -> Option<&Joined> {
        let look_up = || {
            let fix = occasion.event.happening.place()?;
            let (weather, altitude_m) = (&occasion.world.weather, occasion.altitude_m());
            weather.as_of_at(&fix, altitude_m, occasion.event.time_ms, occasion.now_ms)
        };
        self.weather.get_or_init(look_up).as_ref()
    }

    fn ahead(&self, occasion: &Occasion<'_>) -> Option<&Ahead> {
        let look_up = || {
            let fix = occasion.event.happening.place()?;
            let (time_ms, now_ms) = (occasion.event.time_ms, occasion.now_ms);
            Ahead::look(&occasion.world.weather, &fix, occasion.altitude_m(), time_ms, now_ms)
        };
        self.ahead.get_or_init(look_up).as_ref()
    }

    fn country(&self, occasion: &Occasion<'_>) -> Option<Country> {
        let look_up = || {
            let happening = &occasion.event.happening;
            let at = |fix: ingest::Fix| occasion.world.atlas.country(fix.lat(), fix.lon());
            happening.country().or_else(|| at(happening.place()?))
        };
        *self.country.get_or_init(look_up)
    }

    fn road(&self, occasion: &Occasion<'_>) -> Road {
        *self.road.get_or_init(|| match occasion.event.happening.place() {
            Some(fix) => {
                let (altitude_m, time_ms) = (occasion.altitude_m(), occasion.event.time_ms);
                occasion.world.road(&fix, altitude_m, time_ms, occasion.now_ms)
            }
            None => Road::UNKNOWN,
        })
    }

    fn details(&self, occasion: &Occasion<'_>) -> Option<&Details> {
        let look_up = || Some(occasion.world.atlas.details(&occasion.event.happening.place()?));
        self.details.get_or_init(look_up).as_ref()
    }

    fn duty(&self, occasion: &Occasion<'_>) -> Option<&Duty> {
        let look_up = || self.duty_on(self.road(occasion).condition, occasion);
        self.duty.get_or_init(look_up).as_ref()
    }

    /// What the law would ask for if there were snow.
    fn snow_duty(&self, occasion: &Occasion<'_>) -> Option<&Duty> {
        self.snow_duty.get_or_init(|| self.duty_on(Condition::Snow, occasion)).as_ref()
    }

    fn duty_on(&self, road: Condition, occasion: &Occasion<'_>) -> Option<Duty> {
        let fix = occasion.event.happening.place()?;
        let country = self.country(occasion)?;
        Some(occasion.world.tyre_duty(&fix, country, occasion.event.time_ms, road))
    }
}

impl<'a> Moment<'a> {
    /// The value under a name, unless it is missing.
    pub(crate) fn fact(&self, name: &str) -> Option<Fact<'_>> {
        let (root, field) = name.split_once('.')?;
        match root {
            "event" => self.occasion.event.happening.fact(field),
            "reading" => measured(self.occasion.reading?, field),
            "weather" => weather(self.around.weather(self.occasion)?, field),
            "ahead" => self.around.ahead(self.occasion)?.fact(field),
            "place" => self.place(field),
            "device" => match field {
                "kind" => self.occasion.device.map(|kind| Fact::Text(kind.name().into())),
                _ => None,
            },
            "trip" => self.trip(field),
            "customer" => match field {
                "language" => Some(Fact::Text((&*self.customer.language).into())),
                "time_zone" => Some(Fact::Text((&*self.customer.time_zone).into())),
                _ => None,
            },
            "policy" => match field {
                "insurer" => Some(Fact::Text((&*self.policy.insurer).into())),
                "home" => self.policy.home.map(Fact::Country),
                "covers" => Some(Fact::Countries(&self.policy.covers)),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Moment<'_> {
    pub(crate) fn refuses_offers(&self) -> bool {
        self.occasion.marked_low.contains(&self.policy.insurer)
    }

    fn place(&self, name: &str) -> Option<Fact<'_>> {
        match name {
            "country" => self.around.country(self.occasion).map(Fact::Country),
            "region" => {
                let region = self.around.details(self.occasion)?.region.as_ref()?;
                Some(Fact::Text(region.name.into()))
            }
            "town" => {
                let town = self.around.details(self.occasion)?.town.as_ref()?;
                Some(Fact::Text(town.name.into()))
            }
            "risk_area" => {
                let (area, _) = self.occasion.risks()?.into_iter().next()?;
                Some(Fact::Text(area.name.to_string().into()))
            }
            "premium_factor" => Some(Fact::Number(
                self.occasion.risks()?.first().map_or(1.0, |(_, factor)| *factor),
            )),
            "road" => Some(Fact::Text(self.around.road(self.occasion).condition.name().into())),
            "road_reason" => {
                let reason = self.around.road(self.occasion).reason;
                Some(Fact::Words { en: reason.text("en"), nl: reason.text("nl") })
            }
            "tyre_duty" => {
                self.around.duty(self.occasion).map(|duty| Fact::Text(duty.demand.name().into()))
            }
            "least_tread_mm" => {
                self.around.duty(self.occasion).map(|duty| Fact::Number(duty.least_tread_mm))
            }
            "snow_duty" => {
                let duty = self.around.snow_duty(self.occasion)?;
                Some(Fact::Text(duty.demand.name().into()))
            }
            "law_verified" => {
                let duty = self.around.duty(self.occasion)?;
                Some(Fact::Flag(duty.not_verified.is_empty()))
            }
            "covered" => {
                let country = self.around.country(self.occasion)?;
                let policy = self.policy;
                Some(Fact::Flag(policy.home == Some(country) || policy.covers.contains(&country)))
            }
            "roaming" => {
                let (home, there) = (self.policy.home?, self.around.country(self.occasion)?);
                let on = day(self.around.details(self.occasion)?, self.occasion.event.time_ms);
                Some(Fact::Text(Roaming::of(home, there, on).name().into()))
            }
            _ => None,
        }
    }

    /// Of what they booked with this insurer and may be on, what ends last.
    fn trip(&self, name: &str) -> Option<Fact<'_>> {
        let time_ms = self.occasion.event.time_ms;
        let theirs = self
            .occasion
            .booked
            .iter()
            .filter(|booked| *booked.insurer == *self.policy.insurer && booked.holds(time_ms));
        let to_ms = theirs.map(|booked| booked.to_ms).max()?;
        match name {
            "to" => Some(Fact::Text(day_of(to_ms, &self.customer.time_zone).to_string().into())),
            "days_left" => {
                let days = (to_ms - time_ms) as f64 / 86_400_000.0;
                Some(Fact::Number(days.ceil()))
            }
            _ => None,
        }
    }
}

fn measured<'a>(reading: &'a Reading, name: &str) -> Option<Fact<'a>> {
    let measure = Measure::from_name(name)?;
    match (reading.measure(measure)?, measure.shape()) {
        (Measured::Number(number), _) => Some(Fact::Number(*number)),
        (Measured::Flag(flag), _) => Some(Fact::Flag(*flag)),
        (Measured::Text(text), _) => Some(Fact::Text((&**text).into())),
        (Measured::Choice(choice), Shape::Choice(words)) => {
            words.get(usize::from(*choice)).map(|word| Fact::Text((*word).into()))
        }
        (Measured::Choice(_), _) => None,
    }
}

fn weather<'a>(joined: &'a Joined, name: &str) -> Option<Fact<'a>> {
    let values = &joined.row.values;
    match name {
        "code" => values.code.map(|code| Fact::Number(f64::from(code))),
        "present" => values.present.as_deref().map(|present| Fact::Text(present.into())),
        "age_s" => Some(Fact::Number(joined.age_ms as f64 / 1_000.0)),
        _ => (*values.clone().number_mut(name)?).map(Fact::Number),
    }
}
