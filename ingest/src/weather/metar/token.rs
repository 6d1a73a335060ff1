//! The groups of a METAR that we need: wind, visibility, present weather, temperatures.

use crate::weather::Values;

const KNOT_MPS: f64 = 1_852.0 / 3_600.0;
const MILE_M: f64 = 1_609.344;

/// What a report says; `None` is what it does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metar {
    pub temperature_c: Option<f64>,
    pub dew_point_c: Option<f64>,
    pub wind_mps: Option<f64>,
    pub gust_mps: Option<f64>,
    pub visibility_m: Option<f64>,
    /// The groups of present weather, as they stand.
    pub present: Vec<String>,
}

/// Descriptors and phenomena (WMO-No. 306, code table 4678).
const WEATHER: [&str; 30] = [
    "MI", "PR", "BC", "DR", "BL", "SH", "TS", "FZ", "DZ", "RA", "SN", "SG", "IC", "PL", "GR", "GS",
    "UP", "BR", "FG", "FU", "VA", "DU", "SA", "HZ", "PY", "PO", "SQ", "FC", "SS", "DS",
];

impl Metar {
    /// Reads a report. What it does not know it passes over: reports of the world have more kinds
    /// of groups than their standard.
    #[must_use]
    pub fn parse(raw: &str) -> Self {
        let mut metar = Self::default();
        let mut groups = raw.trim_end_matches(['=', ' ', '$']).split_ascii_whitespace().peekable();
        let mut whole_miles = None;
        while let Some(group) = groups.next() {
            match group {
                "RMK" => break,
                // What follows is expected, not seen; remarks may come after it.
                "TEMPO" | "BECMG" | "NOSIG" | "INTER" => {
                    for group in groups.by_ref() {
                        if group == "RMK" {
                            break;
                        }
                    }
                    break;
                }
                "CAVOK" => metar.visibility_m = Some(10_000.0),
                _ => metar.group(group, whole_miles),
            }
            // "1 1/2SM" is one group in two.
            whole_miles =
                group.parse().ok().filter(|miles: &f64| *miles < 10.0 && group.len() == 1);
        }
        groups.for_each(|remark| metar.remark(remark));
        metar
    }

    fn group(&mut self, group: &str, whole_miles: Option<f64>) {
        if self.wind_mps.is_none()
            && let Some((wind, gust)) = wind(group)
        {
            (self.wind_mps, self.gust_mps) = (wind, gust);
        } else if self.visibility_m.is_none()
            && let Some(metres) = visibility(group, whole_miles)
        {
            self.visibility_m = Some(metres);
        } else if self.temperature_c.is_none()
            && let Some((temperature, dew_point)) = temperatures(group)
        {
            (self.temperature_c, self.dew_point_c) = (temperature, dew_point);
        } else if is_weather(group) {
            self.present.push(group.to_owned());
        }
    }

    /// `T00221056`: both temperatures in tenths.
    fn remark(&mut self, group: &str) {
        let tenths = |text: &str| {
            let sign = if text.starts_with('1') { -1.0 } else { 1.0 };
            Some(sign * f64::from(text.get(1..)?.parse::<u16>().ok()?) / 10.0)
        };
        let Some(digits) = group.strip_prefix('T').filter(|digits| is_digits(digits)) else {
            return;
        };
        if matches!(digits.len(), 4 | 8) {
            self.temperature_c = digits.get(..4).and_then(tenths);
            self.dew_point_c = digits.get(4..8).and_then(tenths).or(self.dew_point_c);
        }
    }

    /// As an hour has it.
    #[must_use]
    pub fn values(&self) -> Values {
        let present = self.present.join(" ");
        Values {
            temperature_c: self.temperature_c,
            dew_point_c: self.dew_point_c,
            wind_mps: self.wind_mps,
            gust_mps: self.gust_mps,
            visibility_m: self.visibility_m,
            code: self.present.iter().filter_map(|group| code(group)).max(),
            present: (!present.is_empty()).then(|| present.into()),
            ..Values::default()
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `24012G25KT`, `VRB03KT`, `00000MPS`: speed and gust in m/s.
fn wind(group: &str) -> Option<(Option<f64>, Option<f64>)> {
    let (digits, unit_mps) = [("KT", KNOT_MPS), ("MPS", 1.0), ("KMH", 1.0 / 3.6)]
        .into_iter()
        .find_map(|(unit, mps)| Some((group.strip_suffix(unit)?, mps)))?;
    let (direction, speeds) = digits.split_at_checked(3)?;
    if !(is_digits(direction) || matches!(direction, "VRB" | "///")) {
        return None;
    }
    let (speed, gust) = speeds.split_once('G').map_or((speeds, None), |(a, b)| (a, Some(b)));
    if !(is_digits(speed) || speed == "//" || speed.starts_with('P')) {
        return None;
    }
    // P99: more than that.
    let mps =
        |text: &str| text.trim_start_matches('P').parse::<f64>().ok().map(|all| all * unit_mps);
    Some((mps(speed), gust.and_then(mps)))
}

/// `0350`, `9999`, `4000NDV`, `10SM`, `1/2SM`, `M1/4SM`: metres.
fn visibility(group: &str, whole_miles: Option<f64>) -> Option<f64> {
    if let Some(miles) = group.strip_suffix("SM") {
        let miles = miles.trim_start_matches(['M', 'P']);
        return match miles.split_once('/') {
            Some((over, under)) => {
                let (over, under) = (over.parse::<f64>().ok()?, under.parse::<f64>().ok()?);
                let part = if under > 0.0 { over / under } else { return None };
                Some((whole_miles.unwrap_or(0.0) + part) * MILE_M)
            }
            None => is_digits(miles).then(|| miles.parse::<f64>().ok())?.map(|all| all * MILE_M),
        };
    }
    let metres = group.strip_suffix("NDV").unwrap_or(group);
    if metres.len() != 4 || !is_digits(metres) {
        return None;
    }
    let metres: f64 = metres.parse().ok()?;
    // 9999 is ten kilometres or more.
    Some(if metres == 9_999.0 { 10_000.0 } else { metres })
}

/// `02/M06`, `15/`, `M01///`: °C.
fn temperatures(group: &str) -> Option<(Option<f64>, Option<f64>)> {
    let (air, dew_point) = group.split_once('/')?;
    let celsius = |text: &str| {
        let (sign, digits) = text.strip_prefix('M').map_or((1.0, text), |digits| (-1.0, digits));
        let fits = digits.len() == 2 && is_digits(digits);
        fits.then(|| digits.parse::<f64>().ok())?.map(|all| sign * all + 0.0)
    };
    let air = celsius(air)?;
    let not_given = matches!(dew_point, "" | "//" | "XX" | "///" | "/");
    match celsius(dew_point) {
        None if !not_given => None,
        dew_point => Some((Some(air), dew_point)),
    }
}

/// Intensity, then descriptors and phenomena of two letters each.
fn is_weather(group: &str) -> bool {
    let letters = group.strip_prefix(['+', '-']).unwrap_or(group);
    let letters = letters.strip_prefix("VC").unwrap_or(letters);
    let pairs = letters.as_bytes().chunks(2);
    !letters.is_empty()
        && letters.len() <= 8
        && pairs.into_iter().all(|pair| WEATHER.iter().any(|known| known.as_bytes() == pair))
}

/// The WMO code, as Open-Meteo uses it, for a group of present weather at the station.
#[must_use]
pub fn code(group: &str) -> Option<u8> {
    if group.contains("VC") {
        return None;
    }
    let strength = match group.as_bytes().first()? {
        b'-' => 0,
        b'+' => 2,
        _ => 1,
    };
    let has = |pair: &str| {
        let letters = group.trim_start_matches(['+', '-']).as_bytes();
        letters.chunks(2).any(|letters| letters == pair.as_bytes())
    };
    Some(match () {
        () if has("GR") => [96, 96, 99][strength],
        () if has("TS") => 95,
        () if has("FZ") && has("RA") => [66, 67, 67][strength],
        () if has("FZ") && has("DZ") => [56, 57, 57][strength],
        () if has("FZ") && has("FG") => 48,
        () if has("PL") => 79,
        () if has("SN") && has("RA") => [68, 69, 69][strength],
        () if has("SN") && has("SH") => [85, 86, 86][strength],
        // Blowing and drifting snow falls from no cloud.
        () if has("SN") && (has("BL") || has("DR")) => return None,
        () if has("SN") => [71, 73, 75][strength],
        () if has("SG") || has("IC") => 77,
        () if has("GS") => [85, 86, 86][strength],
        () if has("RA") && has("SH") => [80, 81, 82][strength],
        () if has("RA") => [61, 63, 65][strength],
        () if has("DZ") => [51, 53, 55][strength],
        () if has("FG") && !(has("MI") || has("BC") || has("PR")) => 45,
        () => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Metar, code};

    #[track_caller]
    fn check(
        raw: &str,
        temperatures: [Option<f64>; 2],
        wind_kt: [f64; 2],
        metres: f64,
        seen: &str,
    ) {
        let metar = Metar::parse(raw);
        assert_eq!([metar.temperature_c, metar.dew_point_c], temperatures, "{raw}");
        let knots = |mps: Option<f64>| (mps.unwrap_or(-1.0) * 3_600.0 / 1_852.0).round();
        assert_eq!([knots(metar.wind_mps), knots(metar.gust_mps)], wind_kt.map(|kt| kt.max(-2.0)));
        assert_eq!(metar.visibility_m.unwrap_or(-1.0).round(), metres, "{raw}");
        assert_eq!(metar.present.join(" "), seen, "{raw}");
    }

    #[test]
    fn reports_are_read_as_they_come() {
        check(
            "EHAM 180755Z 24012G25KT 9999 -RA FEW012 02/M01 Q1009 TEMPO 0800 +SN",
            [Some(2.0), Some(-1.0)],
            [12.0, 25.0],
            10_000.0,
            "-RA",
        );
        check(
            "KADW 180758Z 00000KT 1 1/2SM -FZRA BR OVC004 00/M06 A3008 RMK AO2 T00041056",
            [Some(0.4), Some(-5.6)],
            [0.0, -2.0],
            2_414.0,
            "-FZRA BR",
        );
        check(
            "LOWS 180750Z VRB01KT 0350 R15/0600 FZFG VV001 M02/M02 Q1021 NOSIG",
            [Some(-2.0), Some(-2.0)],
            [1.0, -2.0],
            350.0,
            "FZFG",
        );
        check(
            "UUEE 180800Z ///05MPS CAVOK 15/ Q1009=",
            [Some(15.0), None],
            [10.0, -2.0],
            10_000.0,
            "",
        );
        check("XXXX", [None, None], [-2.0, -2.0], -1.0, "");
    }

    #[test]
    fn groups_have_the_codes_that_make_a_road_dangerous() {
        let cases = [
            ("-FZRA", Some(66)),
            ("FZDZ", Some(57)),
            ("FZFG", Some(48)),
            ("PL", Some(79)),
            ("+SN", Some(75)),
            ("-SHSN", Some(85)),
            ("BLSN", None),
            ("+TSRAGR", Some(99)),
            ("RASN", Some(69)),
            ("DZ", Some(53)),
            ("MIFG", None),
            ("VCSH", None),
            ("BR", None),
        ];
        for (group, expected) in cases {
            assert_eq!(code(group), expected, "{group}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(raw in "[A-Z0-9/+\\-= ]{0,80}|\\PC{0,40}") {
            let metar = Metar::parse(&raw);
            proptest::prop_assert!(metar.wind_mps.is_none_or(f64::is_finite));
        }
    }
}
