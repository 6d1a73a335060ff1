//! A reading in the making: fields in any order, then validation.

use super::scalar::Scalar;
use super::time;
use crate::measure::Shape;
use crate::{Fix, Measure, Reading, Reason, Value};

/// Why a reading, or a message, cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) reason: Reason,
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// What a name in a message stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Time,
    Seq,
    Lat,
    Lon,
    Accuracy,
    Device,
    Measure(Measure),
}

impl Field {
    /// By the native name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "ts" => Some(Self::Time),
            "seq" => Some(Self::Seq),
            "lat" => Some(Self::Lat),
            "lon" => Some(Self::Lon),
            "accuracy_m" => Some(Self::Accuracy),
            "device" => Some(Self::Device),
            _ => Measure::from_name(name).map(Self::Measure),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Time => "ts",
            Self::Seq => "seq",
            Self::Lat => "lat",
            Self::Lon => "lon",
            Self::Accuracy => "accuracy_m",
            Self::Device => "device",
            Self::Measure(measure) => measure.name(),
        }
    }
}

/// Takes every field that was sent, remembers the first problem, and becomes a [`Reading`] if
/// there was none. Reading on after a problem keeps the decoder's place in the message.
#[derive(Debug, Default)]
pub(super) struct Draft {
    time_ms: Option<i64>,
    seq: Option<u64>,
    lat: Option<f64>,
    lon: Option<f64>,
    accuracy_m: Option<f32>,
    device: Option<Box<str>>,
    measures: Vec<(Measure, Value)>,
    pub(super) unknown_names: u32,
    problem: Option<Problem>,
}

impl Draft {
    /// A reading that cannot become one.
    pub(super) fn rejected(reason: Reason, detail: impl Into<String>) -> Self {
        Self { problem: Some(Problem::new(reason, detail)), ..Self::default() }
    }

    /// The device that it names.
    pub(super) fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// Where the topic does not tell whose it is.
    pub(super) fn must_name(&mut self, device: &str) {
        if self.device() != Some(device) {
            let detail = format!("the message is of {device}; send one device's readings in one");
            self.problem.get_or_insert(Problem::new(Reason::NotOwnTopic, detail));
        }
    }

    /// Takes a field under its native name.
    pub(super) fn put(&mut self, field: Field, value: &Scalar) {
        self.put_as(field.name(), field, value);
    }

    /// Takes a field that the device calls `name`. A null counts as not sent.
    pub(super) fn put_as(&mut self, name: &str, field: Field, value: &Scalar) {
        if *value == Scalar::Null {
            return;
        }
        if let Err(problem) = self.try_put(name, field, value) {
            self.problem.get_or_insert(problem);
        }
    }

    fn try_put(&mut self, name: &str, field: Field, value: &Scalar) -> Result<(), Problem> {
        match field {
            Field::Measure(measure) => {
                let Some(value) = measured(name, measure, value)? else {
                    return Ok(());
                };
                if self.measures.iter().any(|(other, _)| *other == measure) {
                    return Err(sent_twice(name));
                }
                self.measures.push((measure, value));
                Ok(())
            }
            Field::Time => set(name, &mut self.time_ms, time::parse(name, value)?),
            Field::Seq => set(name, &mut self.seq, sequence_number(name, value)?),
            Field::Lat => set(name, &mut self.lat, finite(name, value)?),
            Field::Lon => set(name, &mut self.lon, finite(name, value)?),
            Field::Accuracy => match accuracy(name, value)? {
                Some(accuracy_m) => set(name, &mut self.accuracy_m, accuracy_m),
                None => Ok(()),
            },
            Field::Device => match value {
                Scalar::Text(device) => set(name, &mut self.device, device.as_ref().into()),
                _ => Err(wrong_type(name, value, "a text")),
            },
        }
    }

    /// The reading, as one of `device` that arrived at `now_ms`.
    pub(super) fn finish(mut self, device: &str, now_ms: i64) -> Result<Reading, Problem> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        if let Some(other) = self.device.filter(|other| **other != *device) {
            let detail = format!("device: {} is not the topic's", Scalar::Text((*other).into()));
            return Err(Problem::new(Reason::NotOwnTopic, detail));
        }
        let Some(time_ms) = self.time_ms else {
            return Err(Problem::new(Reason::NoTime, "no time was sent (ts; OwnTracks: tst)"));
        };
        time::plausible(time_ms, now_ms)?;
        let fix = fix(self.lat, self.lon, self.accuracy_m)?;
        if fix.is_none() && self.measures.is_empty() {
            let detail = format!("no position, no measure, {} unknown names", self.unknown_names);
            return Err(Problem::new(Reason::NothingMeasured, detail));
        }
        if !self.measures.is_sorted_by_key(|(measure, _)| *measure) {
            self.measures.sort_unstable_by_key(|(measure, _)| *measure);
        }
        Ok(Reading { time_ms, seq: self.seq, fix, measures: self.measures })
    }
}

fn set<T>(name: &str, place: &mut Option<T>, value: T) -> Result<(), Problem> {
    if place.replace(value).is_some() { Err(sent_twice(name)) } else { Ok(()) }
}

/// Which of two values is meant, nobody can tell.
fn sent_twice(name: &str) -> Problem {
    Problem::new(Reason::NotDecodable, format!("{name} was sent twice"))
}

fn wrong_type(name: &str, value: &Scalar, wanted: &str) -> Problem {
    Problem::new(Reason::WrongType, format!("{name}: {value} is not {wanted}"))
}

/// A number that is one; NaN and the infinities exist in CBOR only and mean nothing here.
fn finite(name: &str, value: &Scalar) -> Result<f64, Problem> {
    let number = value.number().ok_or_else(|| wrong_type(name, value, "a number"))?;
    if !number.is_finite() {
        return Err(Problem::new(Reason::NotDecodable, format!("{name}: {value} is no number")));
    }
    // Minus zero becomes zero: equal content is equal bytes.
    Ok(number + 0.0)
}

fn sequence_number(name: &str, value: &Scalar) -> Result<u64, Problem> {
    /// Floating point counts in ones up to here.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Scalar::Whole(seq) => Ok(*seq),
        // Some encoders know floating point only.
        Scalar::Number(seq) if seq.fract() == 0.0 && (0.0..=EXACT).contains(seq) => Ok(*seq as u64),
        _ => Err(wrong_type(name, value, "a whole number of 0 or more")),
    }
}

/// Zero and less is what receivers and phones report when they do not know.
fn accuracy(name: &str, value: &Scalar) -> Result<Option<f32>, Problem> {
    let metres = value.number().ok_or_else(|| wrong_type(name, value, "a number"))? as f32;
    Ok((metres.is_finite() && metres > 0.0).then_some(metres))
}

/// `None`: an empty text, which says nothing.
fn measured(name: &str, measure: Measure, value: &Scalar) -> Result<Option<Value>, Problem> {
    let believable = match (measure.shape(), value) {
        (Shape::Number { min, max }, _) => {
            let number = finite(name, value)?;
            (min..=max).contains(&number).then_some(Value::Number(number))
        }
        (Shape::Flag, Scalar::Flag(flag)) => Some(Value::Flag(*flag)),
        (Shape::Flag, Scalar::Whole(bit @ 0..=1)) => Some(Value::Flag(*bit == 1)),
        (Shape::Flag, _) => return Err(wrong_type(name, value, "true or false")),
        (Shape::Choice(words), Scalar::Text(sent)) => {
            let place = words.iter().position(|word| word.eq_ignore_ascii_case(sent));
            place.and_then(|place| u8::try_from(place).ok()).map(Value::Choice)
        }
        (Shape::Text { .. }, Scalar::Text(text)) if text.is_empty() => return Ok(None),
        (Shape::Text { max_bytes }, Scalar::Text(text)) => {
            (text.len() <= max_bytes).then(|| Value::Text(text.as_ref().into()))
        }
        (Shape::Choice(_) | Shape::Text { .. }, _) => {
            return Err(wrong_type(name, value, "a text"));
        }
    };
    believable.map(Some).ok_or_else(|| out_of_range(name, measure, value))
}

fn out_of_range(name: &str, measure: Measure, value: &Scalar) -> Problem {
    let range = match measure.shape() {
        Shape::Number { min, max } => format!("outside {min} to {max}"),
        Shape::Choice(words) => format!("none of {}", words.join(", ")),
        Shape::Text { max_bytes } => format!("longer than {max_bytes} bytes"),
        Shape::Flag => "neither true nor false".into(),
    };
    // What a device calls otherwise was converted: say to what.
    let unit = if name == measure.name() { String::new() } else { format!("{} ", measure.name()) };
    Problem::new(Reason::OutOfRange, format!("{name}: {unit}{value} is {range}"))
}

pub(super) fn fix(
    lat: Option<f64>,
    lon: Option<f64>,
    accuracy_m: Option<f32>,
) -> Result<Option<Fix>, Problem> {
    let detail = match (lat, lon) {
        (None, None) => return Ok(None),
        (Some(_), None) => "lat was sent without lon".into(),
        (None, Some(_)) => "lon was sent without lat".into(),
        // In the Gulf of Guinea nothing is insured; receivers without a fix report it.
        (Some(0.0), Some(0.0)) => "lat and lon are both 0; leave them out without a fix".into(),
        (Some(lat), Some(lon)) => match Fix::new(lat, lon, accuracy_m) {
            Some(fix) => return Ok(Some(fix)),
            None => format!("lat {lat}, lon {lon} is not on Earth"),
        },
    };
    Err(Problem::new(Reason::NoValidFix, detail))
}
