//! Country codes and the names people know them by.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An ISO 3166-1 alpha-2 code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country([u8; 2]);

impl Country {
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        Self::from_code(code.as_bytes().try_into().ok()?)
    }

    /// `None` unless it is two capitals.
    #[must_use]
    pub fn from_code(code: [u8; 2]) -> Option<Self> {
        code.iter().all(u8::is_ascii_uppercase).then_some(Self(code))
    }

    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }

    /// Those that have a name here.
    pub(crate) fn known() -> impl Iterator<Item = Self> {
        NAMES.iter().filter_map(|(code, ..)| Self::new(code))
    }

    /// The country's name in `language` (`nl`, otherwise English); its code where we have none.
    #[must_use]
    pub fn name(&self, language: &str) -> &str {
        let row = NAMES.iter().find(|(code, ..)| *code == self.code());
        match (row, language) {
            (Some((_, _, dutch)), "nl") => dutch,
            (Some((_, english, _)), _) => english,
            (None, _) => self.code(),
        }
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl TryFrom<String> for Country {
    type Error = String;

    fn try_from(code: String) -> Result<Self, String> {
        Self::new(&code).ok_or_else(|| {
            format!("\"{code}\" is no country code: write two capitals, as in \"NL\"")
        })
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.code().to_owned()
    }
}

/// Code, English, Dutch: the countries of Europe and their neighbours.
const NAMES: &[(&str, &str, &str)] = &[
    ("AD", "Andorra", "Andorra"),
    ("AL", "Albania", "Albanië"),
    ("AT", "Austria", "Oostenrijk"),
    ("BA", "Bosnia and Herzegovina", "Bosnië en Herzegovina"),
    ("BE", "Belgium", "België"),
    ("BG", "Bulgaria", "Bulgarije"),
    ("BY", "Belarus", "Belarus"),
    ("CH", "Switzerland", "Zwitserland"),
    ("CY", "Cyprus", "Cyprus"),
    ("CZ", "Czechia", "Tsjechië"),
    ("DE", "Germany", "Duitsland"),
    ("DK", "Denmark", "Denemarken"),
    ("EE", "Estonia", "Estland"),
    ("ES", "Spain", "Spanje"),
    ("FI", "Finland", "Finland"),
    ("FR", "France", "Frankrijk"),
    ("GB", "the United Kingdom", "het Verenigd Koninkrijk"),
    ("GI", "Gibraltar", "Gibraltar"),
    ("GR", "Greece", "Griekenland"),
    ("HR", "Croatia", "Kroatië"),
    ("HU", "Hungary", "Hongarije"),
    ("IE", "Ireland", "Ierland"),
    ("IS", "Iceland", "IJsland"),
    ("IT", "Italy", "Italië"),
    ("LI", "Liechtenstein", "Liechtenstein"),
    ("LT", "Lithuania", "Litouwen"),
    ("LU", "Luxembourg", "Luxemburg"),
    ("LV", "Latvia", "Letland"),
    ("MA", "Morocco", "Marokko"),
    ("MC", "Monaco", "Monaco"),
    ("MD", "Moldova", "Moldavië"),
    ("ME", "Montenegro", "Montenegro"),
    ("MK", "North Macedonia", "Noord-Macedonië"),
    ("MT", "Malta", "Malta"),
    ("NL", "the Netherlands", "Nederland"),
    ("NO", "Norway", "Noorwegen"),
    ("PL", "Poland", "Polen"),
    ("PT", "Portugal", "Portugal"),
    ("RO", "Romania", "Roemenië"),
    ("RS", "Serbia", "Servië"),
    ("RU", "Russia", "Rusland"),
    ("SE", "Sweden", "Zweden"),
    ("SI", "Slovenia", "Slovenië"),
    ("SK", "Slovakia", "Slowakije"),
    ("SM", "San Marino", "San Marino"),
    ("TR", "Türkiye", "Turkije"),
    ("UA", "Ukraine", "Oekraïne"),
    ("VA", "Vatican City", "Vaticaanstad"),
    ("XK", "Kosovo", "Kosovo"),
];
