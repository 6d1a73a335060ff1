//! Whether a mobile contract of one country is used in another at no extra charge.
//!
//! Regulation (EU) 2022/612, in force until 30 June 2032, has providers of the European Economic Area
//! charge there as at home ("roam like at home"), within fair use. It holds in the EU's outermost
//! regions too. By decisions of the Council of July 2025 the same goes for Ukraine and Moldova from
//! 1 January 2026. It does not hold in Switzerland, the United Kingdom, Andorra, Monaco, San Marino,
//! the Vatican or the Faroe Islands, where a contract may or may not include it.

use jiff::civil::{Date, date};

use crate::Country;

/// The European Economic Area, and regions of it with codes of their own.
const AREA: &[&str] = &[
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IS",
    "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK", "AX", "GF",
    "GP", "MF", "MQ", "RE", "YT",
];

/// Who has joined since, from when on.
const JOINED: &[(&str, Date)] = &[("MD", date(2026, 1, 1)), ("UA", date(2026, 1, 1))];

/// What using a mobile phone abroad costs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roaming {
    AtHome,
    /// Nothing, by law.
    LikeAtHome,
    /// What the contract says: no law forbids it.
    Extra,
}

impl Roaming {
    /// Of a contract of `home` in `there`, on the day it is there.
    #[must_use]
    pub fn of(home: Country, there: Country, on: Date) -> Self {
        let within = |country: Country| {
            let joined = JOINED.iter().any(|(code, from)| *code == country.code() && *from <= on);
            AREA.contains(&country.code()) || joined
        };
        match (home == there, within(home) && within(there)) {
            (true, _) => Self::AtHome,
            (false, true) => Self::LikeAtHome,
            (false, false) => Self::Extra,
        }
    }

    /// The name used in rules and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AtHome => "at_home",
            Self::LikeAtHome => "like_at_home",
            Self::Extra => "extra",
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::Roaming;
    use crate::Country;

    #[test]
    fn the_law_ends_at_the_borders_of_the_economic_area() {
        let of = |home, there, on| {
            Roaming::of(Country::new(home).unwrap(), Country::new(there).unwrap(), on)
        };
        let day = date(2026, 2, 1);
        for there in ["DE", "NO", "IS", "LI", "RE", "UA", "MD"] {
            assert_eq!(of("NL", there, day), Roaming::LikeAtHome, "{there}");
        }
        for there in ["CH", "GB", "AD", "MC", "SM", "VA", "FO", "TR", "RS"] {
            assert_eq!(of("NL", there, day), Roaming::Extra, "{there}");
            assert_eq!(of(there, "NL", day), Roaming::Extra, "{there}");
        }
        assert_eq!(of("CH", "CH", day), Roaming::AtHome);
        assert_eq!(of("NL", "UA", date(2025, 12, 31)), Roaming::Extra);
    }
}
