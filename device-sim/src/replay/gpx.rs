//! GPX: the points of all tracks and segments, in order. Waypoints and routes are plans or places,
//! not fixes.

use anyhow::{Context, Result};
use jiff::{Timestamp, civil, tz::TimeZone};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::recording::{Body, Fix, Message, Recording};

/// The elements of a track point that are read.
#[derive(Clone, Copy, PartialEq)]
enum Child {
    Time,
    Elevation,
    Speed,
}

/// A track point while its elements are read.
#[derive(Default)]
struct Point {
    line: usize,
    lat: Option<f64>,
    lon: Option<f64>,
    time: String,
    elevation: String,
    speed: String,
}

pub(crate) fn read(text: &str, topic: &str, accuracy_m: f64) -> Result<Recording> {
    let mut reader = Reader::from_str(text);
    // Seen in names of tracks; those are not read.
    reader.config_mut().allow_dangling_amp = true;
    let mut lines = Lines { text, counted_to: 0, line: 1 };
    let mut recording = Recording::default();
    let mut point: Option<Point> = None;
    let mut child = None;
    let mut seq = 0;
    loop {
        let event = reader.read_event();
        let line = lines.at(reader.buffer_position());
        let event = event.with_context(|| format!("line {line}: not well-formed XML"))?;
        match event {
            Event::Start(start) if start.local_name().as_ref() == "trkpt" => {
                point = Some(Point::begin(&start, line));
            }
            Event::Empty(empty) if empty.local_name().as_ref() == "trkpt" => {
                seq += 1;
                Point::begin(&empty, line).end(seq, topic, accuracy_m, &mut recording);
            }
            Event::Start(start) => child = child_named(start.local_name().as_ref()),
            Event::Text(text) => {
                if let (Some(point), Some(child)) = (&mut point, child) {
                    point.text_of(child).push_str(&text.into_inner());
                }
            }
            Event::End(end) if end.local_name().as_ref() == "trkpt" => {
                seq += 1;
                if let Some(point) = point.take() {
                    point.end(seq, topic, accuracy_m, &mut recording);
                }
            }
            Event::End(_) => child = None,
            Event::Eof => return Ok(recording),
            _ => {}
        }
    }
}

fn child_named(name: &str) -> Option<Child> {
    match name {
        "time" => Some(Child::Time),
        "ele" => Some(Child::Elevation),
        "speed" => Some(Child::Speed),
        _ => None,
    }
}

impl Point {
    fn begin(start: &BytesStart, line: usize) -> Self {
        let degrees = |name| start.try_get_attribute(name).ok()??.value.trim().parse().ok();
        Self { line, lat: degrees("lat"), lon: degrees("lon"), ..Self::default() }
    }

    fn text_of(&mut self, child: Child) -> &mut String {
        match child {
            Child::Time => &mut self.time,
            Child::Elevation => &mut self.elevation,
            Child::Speed => &mut self.speed,
        }
    }

    fn end(self, seq: u64, topic: &str, accuracy_m: f64, recording: &mut Recording) {
        let place = format!("line {}", self.line);
        let number =
            |text: &str| text.trim().parse().ok().filter(|number: &f64| number.is_finite());
        let fix = Fix {
            seq,
            lat: self.lat.unwrap_or(f64::NAN),
            lon: self.lon.unwrap_or(f64::NAN),
            accuracy_m,
            altitude_m: number(&self.elevation),
            speed_mps: number(&self.speed).filter(|speed| *speed >= 0.0),
        };
        if !fix.is_valid() {
            return recording.unusable.add(format!("{place}: no valid lat and lon"));
        }
        match time_ms(self.time.trim()) {
            Some(at_ms) => {
                let topic = topic.to_owned();
                recording.push(Message { topic, at_ms, body: Body::Fix(fix) }, place);
            }
            None if self.time.is_empty() => recording.unusable.add(format!("{place}: no time")),
            None => recording.unusable.add(format!("{place}: `{}` is no time", self.time.trim())),
        }
    }
}

/// GPX times are UTC also when they do not say so.
fn time_ms(text: &str) -> Option<i64> {
    let at = text.parse::<Timestamp>().ok().or_else(|| {
        let local = text.parse::<civil::DateTime>().ok()?;
        local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    Some(at.as_millisecond())
}

/// Tells the line of a position that only moves on.
struct Lines<'a> {
    text: &'a str,
    counted_to: usize,
    line: usize,
}

impl Lines<'_> {
    fn at(&mut self, position: u64) -> usize {
        let position = usize::try_from(position).unwrap_or(usize::MAX).min(self.text.len());
        if position > self.counted_to {
            let passed = &self.text.as_bytes()[self.counted_to..position];
            self.line += passed.iter().filter(|byte| **byte == b'\n').count();
            self.counted_to = position;
        }
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixes(recording: &Recording) -> Vec<(i64, Fix)> {
        let fix = |message: &Message| match &message.body {
            Body::Fix(fix) => (message.at_ms, fix.clone()),
            Body::Sent(_) => panic!("not a fix"),
        };
        recording.messages.iter().map(fix).collect()
    }

    const TWO_SEGMENTS: &str = r#"<?xml version="1.0"?>
<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1">
 <metadata><time>2022-05-28T06:53:00Z</time></metadata>
 <wpt lat="1" lon="2"><time>2022-05-28T06:53:00Z</time></wpt>
 <trk><name>Lunch & more</name>
  <trkseg>
   <trkpt lat="48.356433" lon="10.081652">
    <ele>511.6</ele>
    <time>2022-05-28T06:53:52Z</time>
    <extensions><g:TrackPointExtension><g:speed>13.5</g:speed></g:TrackPointExtension></extensions>
   </trkpt>
  </trkseg>
  <trkseg>
   <trkpt lon='10.08173' lat='48.356009'><time>2022-05-28T08:53:54.5+02:00</time></trkpt>
   <trkpt lat="48.3" lon="10.1"><time>2022-05-28T06:53:56</time></trkpt>
  </trkseg>
 </trk>
</gpx>"#;

    #[test]
    fn points_of_all_segments_come_in_order_and_waypoints_do_not() {
        let recording = read(TWO_SEGMENTS, "telemetry/car/car-01", 10.0).unwrap();
        let fixes = fixes(&recording);
        let first_ms = 1_653_720_832_000;
        let times: Vec<i64> = fixes.iter().map(|(at_ms, _)| at_ms - first_ms).collect();
        assert_eq!(times, [0, 2_500, 4_000]);
        let (lat, lon) = (48.356433, 10.081652);
        let (altitude_m, speed_mps) = (Some(511.6), Some(13.5));
        assert_eq!(fixes[0].1, Fix { seq: 1, lat, lon, accuracy_m: 10.0, altitude_m, speed_mps });
        assert_eq!((fixes[1].1.seq, fixes[1].1.altitude_m), (2, None));
        assert_eq!(recording.unusable.count + recording.out_of_order.count, 0);
    }

    #[test]
    fn points_that_cannot_be_used_are_noted_with_their_line() {
        let text = "<gpx><trk><trkseg>\n<trkpt lat='1' lon='2'/>\n<trkpt lat='91' lon='2'><time>2022-05-28T06:53:52Z</time></trkpt>\n\
            <trkpt lat='1' lon='2'><time>noon</time></trkpt>\n<trkpt lat='1'>\n<time>2022-05-28T06:53:52Z</time></trkpt>\n</trkseg></trk></gpx>";
        let recording = read(text, "t", 10.0).unwrap();
        assert!(recording.messages.is_empty());
        assert_eq!(
            recording.unusable.first,
            [
                "line 2: no time",
                "line 3: no valid lat and lon",
                "line 4: `noon` is no time",
                "line 5: no valid lat and lon",
            ]
        );
    }

    #[test]
    fn broken_xml_is_named_with_its_line() {
        let error = read("<gpx>\n<trk>\n</gpx>", "t", 10.0).unwrap_err();
        assert_eq!(error.to_string(), "line 3: not well-formed XML");
    }
}
