//! The line that OwnTracks' Greenwich tracker firmware sends instead of JSON:
//! `TID,TST,T,LAT,LON,COG,VEL,ALT,DIST,TRIP`.

use super::draft::{Draft, Field, Problem};
use super::owntracks::put_known;
use super::scalar::Scalar;
use crate::{Measure, Reason};

const COLUMNS: usize = 10;

/// A line's place and motion. The distances since the last report and since the last reboot are
/// no odometer, and are left out.
pub(super) fn read(line: &str) -> Result<Draft, Problem> {
    let columns: Vec<&str> = line.trim_ascii().split(',').take(COLUMNS + 1).collect();
    let &[_, tst, _, lat, lon, cog, vel, alt, _, _] = columns.as_slice() else {
        let detail = "neither a JSON object nor a line of 10 columns";
        return Err(Problem::new(Reason::NotDecodable, detail));
    };
    let seconds = u64::from_str_radix(tst, 16).map_err(|_| not_a_number("TST"))?;
    let mut draft = Draft::default();
    draft.put_as("TST", Field::Time, &Scalar::Whole(seconds));
    draft.put_as("LAT", Field::Lat, &Scalar::Number(whole("LAT", lat)? / 1e6));
    draft.put_as("LON", Field::Lon, &Scalar::Number(whole("LON", lon)? / 1e6));
    let altitude = Scalar::Number(whole("ALT", alt)? * 10.0);
    draft.put_as("ALT", Field::Measure(Measure::AltitudeM), &altitude);
    put_known(&mut draft, "COG", Measure::CourseDeg, &Scalar::Number(whole("COG", cog)?), 10.0);
    put_known(&mut draft, "VEL", Measure::SpeedMps, &Scalar::Number(whole("VEL", vel)?), 1.0 / 3.6);
    Ok(draft)
}

fn whole(name: &str, text: &str) -> Result<f64, Problem> {
    text.parse::<i64>().map(|number| number as f64).map_err(|_| not_a_number(name))
}

fn not_a_number(name: &str) -> Problem {
    Problem::new(Reason::NotDecodable, format!("{name} is not a number"))
}
