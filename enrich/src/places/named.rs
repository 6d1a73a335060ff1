//! Places by the names people write: "Vaals", "Innsbruck, AT", "Innsbruck, Tirol, Oostenrijk".

use icu_normalizer::DecomposingNormalizerBorrowed;
use ingest::Fix;

use super::towns::TOWNS;
use crate::Country;

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
    /// Looks a name up among towns of at least 5,000 inhabitants, in Europe 2,000; behind a comma there
    /// may be its country, by code or by name in English or Dutch. Takes about a millisecond.
    #[must_use]
    pub fn look_up(text: &str) -> Self {
        let mut parts = text.split(',').map(str::trim);
        let town = folded(parts.next().unwrap_or_default());
        let last = parts.next_back();
        let country = last.and_then(named_country);
        if town.is_empty() || last.is_some() && country.is_none() {
            return Self::None;
        }
        let theirs = TOWNS.all().iter().filter(|town| country.is_none_or(|it| it == town.country));
        // Most names differ in their first letter, and need no folding.
        let first = town.chars().next();
        let begins = |name: &str| {
            let begins = name.chars().next();
            begins.is_some_and(|c| !c.is_ascii() || Some(c.to_ascii_lowercase()) == first)
        };
        let mut called = theirs.filter(|it| begins(it.name) && folded(it.name) == town);
        match (called.next(), called.next()) {
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

/// In small letters without accents, as people type.
fn folded(text: &str) -> String {
    let plain = DecomposingNormalizerBorrowed::new_nfd().normalize(text);
    let letters = plain.chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c));
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::Named;

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
        let town = Named::look_up("Vaals").town().unwrap();
        assert!((town.fix.lat() - 50.77).abs() < 0.02 && (town.fix.lon() - 6.02).abs() < 0.02);
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
