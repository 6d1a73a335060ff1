//! What is seen to fall or hang in the air, from the codes of feeds and airports.

use serde::{Deserialize, Serialize};

/// Present weather as far as it matters to a road.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phenomena {
    /// Rain or drizzle that freezes where it falls.
    pub freezing_rain: bool,
    pub ice_pellets: bool,
    /// Falling or drifting, grains and crystals included.
    pub snow: bool,
    pub hail: bool,
    /// Rain or drizzle.
    pub rain: bool,
    pub freezing_fog: bool,
    /// Sight below 1 km.
    pub fog: bool,
    pub thunder: bool,
}

impl Phenomena {
    /// From a WMO code (4677 as Open-Meteo uses it, and sleet as the table itself has it).
    #[must_use]
    pub fn from_wmo(code: u8) -> Self {
        let none = Self::default();
        match code {
            45 => Self { fog: true, ..none },
            48 => Self { fog: true, freezing_fog: true, ..none },
            56 | 57 | 66 | 67 => Self { freezing_rain: true, ..none },
            51..=55 | 61..=65 | 80..=82 => Self { rain: true, ..none },
            68 | 69 | 83 | 84 => Self { rain: true, snow: true, ..none },
            71..=78 | 85 | 86 => Self { snow: true, ..none },
            79 => Self { ice_pellets: true, ..none },
            87..=90 => Self { hail: true, ..none },
            95 => Self { rain: true, thunder: true, ..none },
            96 | 99 => Self { rain: true, hail: true, thunder: true, ..none },
            _ => none,
        }
    }

    /// From the present weather of a METAR, groups separated by blanks, as in `-SHSN FZFG`. What is
    /// only in the vicinity (`VC`), was before (`RE`) or is no such group counts for nothing.
    #[must_use]
    pub fn from_metar(groups: &str) -> Self {
        groups.split_ascii_whitespace().fold(Self::default(), |seen, group| seen.with(group))
    }

    fn with(mut self, group: &str) -> Self {
        let group = group.trim_start_matches(['-', '+']);
        if !(2..=8).contains(&group.len()) || group.len() % 2 == 1 || !group.is_ascii() {
            return self;
        }
        let parts = || group.as_bytes().chunks_exact(2);
        if parts().any(|part| !KNOWN.contains(&part)) {
            return self;
        }
        let has = |part: &[u8; 2]| parts().any(|found| found == part);
        let freezing = has(b"FZ");
        let rain = has(b"RA") || has(b"DZ") || has(b"UP");
        self.freezing_rain |= freezing && rain;
        self.rain |= rain && !freezing;
        self.ice_pellets |= has(b"PL");
        self.snow |= has(b"SN") || has(b"SG") || has(b"IC");
        self.hail |= has(b"GR") || has(b"GS");
        self.freezing_fog |= freezing && has(b"FG");
        self.fog |= has(b"FG");
        self.thunder |= has(b"TS");
        self
    }
}

/// The parts a group is made of (WMO 306, code table 4678), without `VC` and `RE`.
const KNOWN: &[&[u8]] = &[
    b"MI", b"BC", b"PR", b"DR", b"BL", b"SH", b"TS", b"FZ", b"DZ", b"RA", b"SN", b"SG", b"IC",
    b"PL", b"GR", b"GS", b"UP", b"FG", b"BR", b"SA", b"DU", b"HZ", b"FU", b"VA", b"PY", b"PO",
    b"SQ", b"FC", b"SS", b"DS",
];

#[cfg(test)]
mod tests {
    use super::Phenomena;

    #[test]
    fn airports_codes_mean_what_they_say() {
        let none = Phenomena::default();
        let check = |groups, expect| assert_eq!(Phenomena::from_metar(groups), expect, "{groups}");
        check("", none);
        check("-FZRA BR", Phenomena { freezing_rain: true, ..none });
        check("FZDZ", Phenomena { freezing_rain: true, ..none });
        check("FZFG", Phenomena { freezing_fog: true, fog: true, ..none });
        check("+SHSN", Phenomena { snow: true, ..none });
        check("BLSN", Phenomena { snow: true, ..none });
        check("-RASN", Phenomena { rain: true, snow: true, ..none });
        check("PL", Phenomena { ice_pellets: true, ..none });
        check("+TSGRRA", Phenomena { hail: true, rain: true, thunder: true, ..none });
        check("VCSH RESN", none);
        check("EDDF 02015G25KT Q1013 9999 //", none);
        check("ÄÖ §§§§", none);
    }

    #[test]
    fn codes_of_freezing_rain_are_no_plain_rain() {
        for code in [56, 57, 66, 67] {
            let seen = Phenomena::from_wmo(code);
            assert!(seen.freezing_rain && !seen.rain, "{code}");
        }
        assert_eq!(Phenomena::from_wmo(3), Phenomena::default());
        assert!(Phenomena::from_wmo(86).snow && Phenomena::from_wmo(75).snow);
    }
}
