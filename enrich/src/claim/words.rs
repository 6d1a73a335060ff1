//! A claim's context in plain words.

use super::{Certainty, Context, Found};
use crate::law::Demand;
use crate::places::Named;
use crate::road::Condition;
use crate::rules::Text;

pub(super) fn explain(context: &Context) -> Text {
    let sentences = [place(context), road(context), drive(context), law(context)];
    let [en, nl] = [0, 1].map(|language| {
        let said = sentences.iter().map(|sentence| sentence[language].as_str());
        said.filter(|sentence| !sentence.is_empty()).collect::<Vec<_>>().join(" ")
    });
    Text { en, nl }
}

/// English and Dutch.
type Sentence = [String; 2];

fn both(en: impl Into<String>, nl: impl Into<String>) -> Sentence {
    [en.into(), nl.into()]
}

fn hedge<T>(found: &Found<T>) -> [&'static str; 2] {
    match found.certainty {
        Certainty::Certain => ["", ""],
        Certainty::Likely | Certainty::Unknown => ["probably ", "waarschijnlijk "],
    }
}

fn place(context: &Context) -> Sentence {
    let Some(place) = &context.place.value else {
        return match context.named {
            Some(Named::Several) => both(
                "Where it happened is not known: several places are called what was said.",
                "Waar het gebeurde is niet bekend: meer plaatsen heten zoals werd gezegd.",
            ),
            Some(Named::None) => both(
                "Where it happened is not known: no town we know is called what was said.",
                "Waar het gebeurde is niet bekend: geen plaats die wij kennen heet zoals werd gezegd.",
            ),
            _ => both("Where it happened is not known.", "Waar het gebeurde is niet bekend."),
        };
    };
    let Some(country) = place.country else {
        return both("It happened at sea.", "Het gebeurde op zee.");
    };
    let [en, nl] = hedge(&context.place);
    let town = place.town.map(|town| format!("{town}, ")).unwrap_or_default();
    both(
        format!("It {en}happened near {town}{}.", country.name("en")),
        format!("Het gebeurde {nl}bij {town}{}.", country.name("nl")),
    )
}

fn road(context: &Context) -> Sentence {
    let Some(road) = context.road.value else {
        return both("What the road was like is not known.", "Hoe de weg was is niet bekend.");
    };
    let (en, nl) = match road.condition {
        Condition::Unknown => return both("", ""),
        Condition::Dry => ("dry", "droog"),
        Condition::Wet => ("wet", "nat"),
        Condition::Snow => ("covered with snow", "besneeuwd"),
        Condition::Ice => ("icy", "glad"),
    };
    let [maybe_en, maybe_nl] = hedge(&context.road);
    both(
        format!("The road was {maybe_en}{en} ({}).", road.reason.text("en")),
        format!("De weg was {maybe_nl}{nl} ({}).", road.reason.text("nl")),
    )
}

fn drive(context: &Context) -> Sentence {
    let tyres = match &context.tyres.value {
        Some(fitted) => {
            let (en, nl) = fitted.tyre.words();
            let [maybe_en, maybe_nl] = hedge(&context.tyres);
            both(format!("The car {maybe_en}had {en}"), format!("De auto had {maybe_nl}{nl}"))
        }
        None => {
            both("Which tyres the car had is not known", "Welke banden de auto had is niet bekend")
        }
    };
    let speed = match context.speed.value {
        Some(speed_mps) => {
            let kmh = (speed_mps * 3.6).round();
            let [maybe_en, maybe_nl] = hedge(&context.speed);
            both(
                format!("; it {maybe_en}drove {kmh} km/h."),
                format!("; hij reed {maybe_nl}{kmh} km/u."),
            )
        }
        None => both("; nor is its speed.", "; de snelheid evenmin."),
    };
    let speed = match (context.tyres.value.is_some(), context.speed.value.is_some()) {
        (true, false) => both("; its speed is not known.", "; de snelheid is niet bekend."),
        _ => speed,
    };
    both(format!("{}{}", tyres[0], speed[0]), format!("{}{}", tyres[1], speed[1]))
}

fn law(context: &Context) -> Sentence {
    match context.law.value.map(|law| (law.demand, law.met)) {
        Some((Demand::Required, Some(true))) => both(
            "The law asked for winter tyres, and it had them.",
            "De wet vroeg om winterbanden, en die had hij.",
        ),
        Some((Demand::Required, Some(false))) => both(
            "The law asked for winter tyres with enough tread, and it had none.",
            "De wet vroeg om winterbanden met genoeg profiel, en die had hij niet.",
        ),
        Some((Demand::Required, None)) => {
            both("The law asked for winter tyres.", "De wet vroeg om winterbanden.")
        }
        Some((Demand::NotRequired, _)) => {
            both("The law did not ask for winter tyres.", "De wet vroeg niet om winterbanden.")
        }
        _ => both(
            "Whether the law asked for winter tyres is not known.",
            "Of de wet om winterbanden vroeg is niet bekend.",
        ),
    }
}
