//! A reading as a line of InfluxDB's line protocol. docs/influxdb.md has the measurements, tags
//! and fields.

use std::fmt::Write as _;

use ingest::measure::Shape;
use ingest::{DeviceKind, Measure, Reading, Value};

/// Appends the line of a reading; nothing, where no value of it can be written. Returns how many
/// values had to be left out: numbers that are none, words that nobody knows.
pub(crate) fn write_line(
    kind: DeviceKind,
    device: &str,
    reading: &Reading,
    out: &mut String,
) -> u64 {
    let start = out.len();
    name(kind.name(), out);
    out.push_str(",device=");
    name(device, out);
    out.push(' ');
    let mut fields = Fields { start: out.len(), out, left_out: 0 };
    if let Some(fix) = reading.fix {
        fields.number("lat", fix.lat());
        fields.number("lon", fix.lon());
        if let Some(metres) = fix.accuracy_m {
            fields.number("accuracy_m", metres);
        }
    }
    if let Some(seq) = reading.seq {
        fields.field("seq", format_args!("{seq}u"));
    }
    for (measure, value) in &reading.measures {
        fields.value(*measure, value);
    }
    let Fields { start: before_fields, left_out, .. } = fields;
    if out.len() == before_fields {
        out.truncate(start);
    } else {
        // Writing into a String cannot fail.
        writeln!(out, " {}", reading.time_ms).ok();
    }
    left_out
}

struct Fields<'a> {
    out: &'a mut String,
    start: usize,
    left_out: u64,
}

impl Fields<'_> {
    fn value(&mut self, measure: Measure, value: &Value) {
        let key = measure.name();
        match value {
            Value::Number(number) => self.number(key, *number),
            Value::Flag(flag) => self.field(key, flag),
            Value::Text(words) => self.text(key, words),
            Value::Choice(choice) => match measure.shape() {
                Shape::Choice(words) if usize::from(*choice) < words.len() => {
                    self.text(key, words[usize::from(*choice)]);
                }
                _ => self.left_out += 1,
            },
        }
    }

    /// The shortest decimal that reads back as the same number.
    fn number<N: Into<f64> + Copy + std::fmt::Debug>(&mut self, key: &str, number: N) {
        if number.into().is_finite() {
            self.field(key, format_args!("{number:?}"));
        } else {
            self.left_out += 1;
        }
    }

    fn text(&mut self, key: &str, words: &str) {
        self.key(key);
        self.out.push('"');
        for c in words.chars() {
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                // A line break is allowed here, but not every server expects it.
                c if c.is_control() => self.out.push(' '),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn field(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        write!(self.out, "{value}").ok();
    }

    fn key(&mut self, key: &str) {
        if self.out.len() > self.start {
            self.out.push(',');
        }
        name(key, self.out);
        self.out.push('=');
    }
}

/// A measurement, a tag's value or a field's key. What has no escape becomes something that needs
/// none: a backslash, which at the end would swallow what follows, and control characters.
fn name(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            ',' | '=' | ' ' => out.extend(['\\', c]),
            '\\' => out.push('/'),
            c if c.is_control() => out.push('_'),
            c => out.push(c),
        }
    }
}

/// The value that the tag `device` has, as a query knows it.
pub(crate) fn tag_value(device: &str) -> String {
    let plain = |c: char| match c {
        '\\' => '/',
        c if c.is_control() => '_',
        c => c,
    };
    device.chars().map(plain).collect()
}

#[cfg(test)]
#[path = "../../tests/influx/protocol.rs"]
mod protocol;

#[cfg(test)]
mod tests {
    use ingest::{DeviceKind, Fix, Measure, Reading, Value};
    use proptest::prelude::*;

    use super::protocol::{Field, Point, parse, split};
    use super::write_line;

    #[test]
    fn a_reading_is_one_line() {
        let reading = Reading {
            time_ms: 1_768_478_400_123,
            seq: Some(u64::MAX),
            fix: Fix::new(52.0907, -5.121_212_1, Some(4.1)),
            measures: vec![
                (Measure::SpeedMps, Value::Number(13.9)),
                (Measure::OdometerM, Value::Number(1e18)),
                (Measure::Tyre, Value::Choice(1)),
                (Measure::Ignition, Value::Flag(true)),
                (Measure::Fault, Value::Text("say \"no\" \\".into())),
            ],
        };
        let mut line = String::new();
        assert_eq!(write_line(DeviceKind::Car, "car 1,a=b", &reading, &mut line), 0);
        assert_eq!(
            line,
            "car,device=car\\ 1\\,a\\=b lat=52.0907,lon=-5.1212121,accuracy_m=4.1,\
             seq=18446744073709551615u,speed_mps=13.9,odometer_m=1e18,tyre=\"winter\",\
             ignition=true,fault=\"say \\\"no\\\" \\\\\" 1768478400123\n"
        );
    }

    #[test]
    fn what_cannot_be_written_is_left_out_and_counted() {
        let measures = vec![
            (Measure::SpeedMps, Value::Number(f64::NAN)),
            (Measure::OdometerM, Value::Number(f64::INFINITY)),
            (Measure::Tyre, Value::Choice(99)),
        ];
        let reading = Reading { time_ms: 1, seq: None, fix: None, measures };
        let mut line = "before\n".to_owned();
        assert_eq!(write_line(DeviceKind::Car, "car-1", &reading, &mut line), 3);
        assert_eq!(line, "before\n", "no line without a field");
        let reading = Reading { seq: Some(0), ..reading };
        assert_eq!(write_line(DeviceKind::Car, "car-1", &reading, &mut line), 3);
        assert_eq!(line, "before\ncar,device=car-1 seq=0u 1\n");
    }

    fn value() -> impl Strategy<Value = (Measure, Value)> {
        prop_oneof![
            any::<f64>().prop_map(|n| (Measure::SpeedMps, Value::Number(n))),
            prop_oneof![Just(f64::NAN), Just(f64::NEG_INFINITY), Just(-0.0), Just(5e-324)]
                .prop_map(|n| (Measure::IndoorC, Value::Number(n))),
            any::<bool>().prop_map(|flag| (Measure::Ignition, Value::Flag(flag))),
            (0..5_u8).prop_map(|choice| (Measure::Tyre, Value::Choice(choice))),
            any::<String>().prop_map(|text| (Measure::Fault, Value::Text(text.into()))),
            "[\\\\\", =\n\t]{0,6}".prop_map(|text| (Measure::Region, Value::Text(text.into()))),
        ]
    }

    fn reading() -> impl Strategy<Value = Reading> {
        let fix = (any::<i32>(), any::<i32>(), proptest::option::of(any::<f32>()))
            .prop_map(|(lat_e7, lon_e7, accuracy_m)| Fix { lat_e7, lon_e7, accuracy_m });
        let measures = proptest::collection::vec(value(), 0..5).prop_map(|mut measures| {
            measures.sort_by_key(|(measure, _)| *measure);
            measures.dedup_by_key(|(measure, _)| *measure);
            measures
        });
        (any::<i64>(), proptest::option::of(any::<u64>()), proptest::option::of(fix), measures)
            .prop_map(|(time_ms, seq, fix, measures)| Reading { time_ms, seq, fix, measures })
    }

    fn device() -> impl Strategy<Value = String> {
        prop_oneof!["[A-Za-z0-9._:-]{1,64}", "[\\\\,= \n\"#]{1,5}", "\\PC{1,9}"]
    }

    /// What the documentation promises of a reading.
    fn expected(kind: DeviceKind, device: &str, reading: &Reading) -> (Option<Point>, u64) {
        let plain = |c: char| match c {
            '\\' => '/',
            c if c.is_control() => '_',
            c => c,
        };
        let mut fields = Vec::new();
        if let Some(fix) = reading.fix {
            fields.push(("lat", Some(Field::Float(f64::from(fix.lat_e7) / 1e7))));
            fields.push(("lon", Some(Field::Float(f64::from(fix.lon_e7) / 1e7))));
            if let Some(metres) = fix.accuracy_m {
                // As it was written, not with the digits that `f32` adds.
                let written = metres.to_string().parse().unwrap();
                fields.push(("accuracy_m", metres.is_finite().then_some(Field::Float(written))));
            }
        }
        fields.extend(reading.seq.map(|seq| ("seq", Some(Field::Unsigned(seq)))));
        for (measure, value) in &reading.measures {
            let field = match value {
                Value::Number(n) => n.is_finite().then_some(Field::Float(*n)),
                Value::Flag(flag) => Some(Field::Flag(*flag)),
                Value::Choice(choice) => ["summer", "winter", "all_season"]
                    .get(usize::from(*choice))
                    .map(|word| Field::Text((*word).to_owned())),
                Value::Text(text) => Some(Field::Text(
                    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
                )),
            };
            fields.push((measure.name(), field));
        }
        let left_out = fields.iter().filter(|(_, field)| field.is_none()).count() as u64;
        let fields: std::collections::BTreeMap<_, _> =
            fields.into_iter().filter_map(|(key, field)| Some((key.to_owned(), field?))).collect();
        let point = Point {
            measurement: kind.name().to_owned(),
            tags: [("device".to_owned(), device.chars().map(plain).collect())].into(),
            time_ms: reading.time_ms,
            fields,
        };
        ((!point.fields.is_empty()).then_some(point), left_out)
    }

    proptest! {
        #[test]
        fn any_readings_are_read_back_by_a_strict_parser(
            readings in proptest::collection::vec((0..4_usize, device(), reading()), 0..6),
        ) {
            let (mut text, mut points, mut left_out) = (String::new(), Vec::new(), 0);
            for (kind, device, reading) in &readings {
                let kind = DeviceKind::ALL[*kind];
                let (point, left) = expected(kind, device, reading);
                prop_assert_eq!(write_line(kind, device, reading, &mut text), left);
                points.extend(point);
                left_out += left;
            }
            let lines = split(&text);
            prop_assert_eq!(text.matches('\n').count(), lines.len(), "a line break within a line");
            let parsed: Vec<Point> = lines.into_iter().map(|line| parse(line).unwrap()).collect();
            prop_assert_eq!(parsed, points, "{} left out", left_out);
        }
    }
}
