//! Places by the names people write: "Vaals", "Innsbruck, AT", "Innsbruck, Tirol, Oostenrijk".

use std::sync::LazyLock;

use ingest::Fix;

use super::folded::folded;
use super::towns::{TOWNS, Town};
use crate::Country;

/// All towns by their folded names: whoever waits for weather is looked up with each answer of a feed.
static BY_NAME: LazyLock<Vec<&'static Town>> = LazyLock::new(|| {
    let mut towns: Vec<&Town> = TOWNS.all().iter().collect();
    towns.sort_by_cached_key(|town| called(town));
    towns
});

/// What stands behind a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Named {
    One(NamedTown),
    /// Several towns are called so: which one is meant is not guessed.
    Several,
    /// No town of some size is called so, or not in that country.
    None,
}

/// A town that was meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NamedTown {
    pub name: &'static str,
    pub country: Country,
    /// Its middle.
    pub fix: Fix,
}

impl Named {
    /// Looks a name up among towns of at least 5,000 inhabitants, in Europe 2,000, of larger ones in other
    /// languages as well; behind a comma there may be its country, by code or by name in English or
    /// Dutch.
    #[must_use]
    pub fn look_up(text: &str) -> Self {
        let mut parts = text.split(',').map(str::trim);
        let town = folded(parts.next().unwrap_or_default());
        let last = parts.next_back();
        let country = last.and_then(named_country);
        if town.is_empty() || last.is_some() && country.is_none() {
            return Self::None;
        }
        let from = BY_NAME.partition_point(|it| called(it) < town);
        let theirs = BY_NAME.iter().skip(from).take_while(|it| called(it) == town).copied();
        // What is a town's own name may be what another is called abroad: that is not guessed either.
        let theirs = theirs.chain(TOWNS.also_called(&town));
        let mut theirs = theirs.filter(|it| country.is_none_or(|country| country == it.country));
        match (theirs.next(), theirs.next()) {
            (None, _) => Self::None,
            (Some(it), None) => Fix::new(it.lat, it.lon, None).map_or(Self::None, |fix| {
                Self::One(NamedTown { name: it.name, country: it.country, fix })
            }),
            (Some(_), Some(_)) => Self::Several,
        }
    }

    /// The name used in messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::One(_) => "one",
            Self::Several => "several",
            Self::None => "none",
        }
    }

    #[must_use]
    pub fn town(&self) -> Option<NamedTown> {
        match self {
            Self::One(town) => Some(*town),
            Self::Several | Self::None => None,
        }
    }
}

fn named_country(text: &str) -> Option<Country> {
    let upper = text.to_ascii_uppercase();
    let name = folded(text);
    let called = |country: &Country| {
        ["en", "nl"].into_iter().any(|language| {
            let known = folded(country.name(language));
            let plain = known.strip_prefix("the ").or(known.strip_prefix("het "));
            known == name || plain == Some(&name)
        })
    };
    Country::new(&upper).or_else(|| Country::known().find(called))
}

/// Some have their province behind a comma.
fn called(town: &Town) -> String {
    folded(town.name.split(',').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Named, TOWNS};

    fn found(text: &str) -> Option<(&'static str, String)> {
        Named::look_up(text).town().map(|town| (town.name, town.country.to_string()))
    }

    #[test]
    fn a_town_is_found_by_its_name_however_it_is_typed() {
        let vaals = || Some(("Vaals", "NL".to_owned()));
        assert_eq!(found("Vaals"), vaals());
        assert_eq!(found(" vaals , nl"), vaals());
        assert_eq!(found("Vaals, Limburg, Nederland"), vaals());
        for text in
            ["Innsbruck, AT", "innsbruck, Austria", "INNSBRUCK, Oostenrijk", "Innsbruck, Tirol, AT"]
        {
            assert_eq!(found(text), Some(("Innsbruck", "AT".to_owned())), "{text}");
        }
        assert_eq!(found("Zurich, CH"), found("Zürich, Zwitserland"));
        assert!(found("Zurich, CH").is_some());
        for (typed, written) in [("Lodz, PL", "Łódź, PL"), ("Tromso, NO", "Tromsø, Norway")] {
            assert!(found(typed).is_some() && found(typed) == found(written), "{typed}");
        }
        let town = Named::look_up("Vaals").town().unwrap();
        assert!((town.fix.lat() - 50.77).abs() < 0.02 && (town.fix.lon() - 6.02).abs() < 0.02);
    }

    #[test]
    fn large_towns_are_found_by_what_other_languages_call_them() {
        for (names, known) in [
            (&["Luik", "Liège", "Lüttich", "Luettich", "LIEGE, België"][..], ("Liège", "BE")),
            (&["Köln", "Keulen", "Koeln", "Cologne, Germany", "Keulen, DE"], ("Köln", "DE")),
            (&["Milan, IT", "Mailand", "Milano", "Milaan"], ("Milan", "IT")),
            (&["Wien", "Wenen", "Vienna, AT", "Bécs"], ("Vienna", "AT")),
            (&["München", "Muenchen", "Munich", "Monaco di Baviera, DE"], ("Munich", "DE")),
            (&["Brussel", "Bruxelles", "Brüssel"], ("Brussels", "BE")),
            (&["Rijsel", "Lille, FR"], ("Lille", "FR")),
            (&["Straatsburg", "Straßburg"], ("Strasbourg", "FR")),
            (&["Aix-la-Chapelle"], ("Aachen", "DE")),
        ] {
            for name in names {
                assert_eq!(found(name), Some((known.0, known.1.to_owned())), "{name}");
            }
        }
        // There is a Cologne in Lombardy, and an Aken on the Elbe.
        assert_eq!(Named::look_up("Cologne"), Named::Several);
        assert_eq!(Named::look_up("Aken, DE"), Named::Several);
        assert_eq!(found("Cologne, IT"), Some(("Cologne", "IT".to_owned())));
    }

    #[test]
    fn every_town_has_its_name() {
        for town in TOWNS.all().iter().step_by(20) {
            let text = format!("{}, {}", town.name.to_uppercase(), town.country.code());
            let found = Named::look_up(&text);
            let itself = found.town().is_some_and(|found| found.name == town.name);
            assert!(itself || found == Named::Several, "{text}: {found:?}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        assert_eq!(
            Named::look_up("Valencia"),
            Named::Several,
            "in Spain, in Venezuela and elsewhere"
        );
        assert!(found("Valencia, ES").is_some());
        for text in [
            "",
            ",",
            "Nergenshuizen",
            "Vaals, AT",
            "Vaals, Nergens",
            "on the A12",
            "Vaal",
            "\u{301}",
        ] {
            assert_eq!(Named::look_up(text), Named::None, "{text}");
        }
    }
}
