//! Rule files: TOML, and what can be wrong in one.

use jiff::SignedDuration;
use serde::Deserialize;
use toml::Spanned;

use super::condition::Condition;
use super::moment::Schema;
use super::text::Template;
use super::{Also, Offering, Quiet, Rule, Sort, Value};
use crate::Happening;
use crate::registry::Product;

/// A rule file that cannot be used: where, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct RuleError {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub what: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: Spanned<String>,
    version: u32,
    #[serde(default = "yes")]
    enabled: bool,
    on: Spanned<String>,
    when: Option<Spanned<String>>,
    product: Product,
    purpose: Product,
    #[serde(default)]
    sort: Sort,
    #[serde(default = "middle")]
    priority: u8,
    cooldown: Option<Spanned<SignedDuration>>,
    #[serde(default)]
    quiet_hours: Quiet,
    valid_for: Spanned<SignedDuration>,
    value: Option<Value>,
    #[serde(default)]
    facts: Vec<Spanned<String>>,
    offer: Spanned<Vec<OfferTable>>,
    #[serde(default)]
    also: Vec<AlsoTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfferTable {
    kind: String,
    /// By default the rule's.
    sort: Option<Sort>,
    when: Option<Spanned<String>>,
    en: Spanned<String>,
    nl: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlsoTable {
    #[serde(default)]
    with: Vec<Spanned<String>>,
    kind: Spanned<String>,
    #[serde(default = "advice")]
    sort: Sort,
    when: Option<Spanned<String>>,
    en: Spanned<String>,
    nl: Spanned<String>,
}

fn yes() -> bool {
    true
}

/// What is said beside an offer is no offer by itself.
fn advice() -> Sort {
    Sort::Advice
}

fn middle() -> u8 {
    50
}

/// Most offers in a rule.
const MOST_OFFERS: usize = 16;

/// Most facts that a rule tells.
const MOST_FACTS: usize = 32;

/// Reads the file `name`; a rule that is switched off is `None` with its id.
pub(super) fn parse(name: &str, source: &str) -> Result<(String, Option<Rule>), RuleError> {
    let at = |offset: usize, what: String| {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        RuleError {
            file: name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            what,
        }
    };
    let file: File = toml::from_str(source).map_err(|error| {
        at(error.span().map_or(0, |span| span.start), error.message().replace('\n', "; "))
    })?;
    let start = |span: std::ops::Range<usize>| span.start;
    let id = file.id.get_ref().clone();
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !(1..=64).contains(&id.len()) || !id.bytes().all(usable) {
        let what = "the id is not 1 to 64 of A-Z a-z 0-9 . _ -".to_owned();
        return Err(at(start(file.id.span()), what));
    }
    let on = file.on.get_ref();
    let Some(schema) = Schema::of(on) else {
        let known = Happening::NAMES.join(", ");
        let what = format!("there is no event \"{on}\"; known: {known}");
        return Err(at(start(file.on.span()), what));
    };
    let condition = |text: &Option<Spanned<String>>| {
        let Some(text) = text else { return Ok(None) };
        let begins = start(text.span());
        Condition::compile(text.get_ref(), &schema).map(Some).map_err(|wrong| {
            at(begins + quotes(&source[begins..]) + wrong.at, format!("when: {}", wrong.what))
        })
    };
    let template = |text: &Spanned<String>| {
        Template::parse(text.get_ref(), &schema).map_err(|what| at(start(text.span()), what))
    };
    let duration = |spanned: &Spanned<SignedDuration>, key: &str| {
        let millis = i64::try_from(spanned.get_ref().as_millis()).unwrap_or(i64::MAX);
        if millis > 0 {
            return Ok(millis);
        }
        let what = format!("{key} must be longer than nothing, as in \"12h\"");
        Err(at(start(spanned.span()), what))
    };
    let offers = file.offer.get_ref();
    if offers.is_empty() || offers.len() > MOST_OFFERS {
        let what = format!("give 1 to {MOST_OFFERS} [[offer]] tables");
        return Err(at(start(file.offer.span()), what));
    }
    let offering = |(kind, sort): (&str, Sort),
                    when: &Option<Spanned<String>>,
                    [en, nl]: [&Spanned<String>; 2]| {
        let (kind, when) = (kind.to_owned(), condition(when)?);
        Ok(Offering { kind, sort, when, en: template(en)?, nl: template(nl)? })
    };
    let offers = offers
        .iter()
        .map(|offer| {
            let kind = (offer.kind.as_str(), offer.sort.unwrap_or(file.sort));
            offering(kind, &offer.when, [&offer.en, &offer.nl])
        })
        .collect::<Result<Vec<_>, RuleError>>()?;
    let mut also = Vec::with_capacity(file.also.len());
    for table in &file.also {
        if also.len() == MOST_OFFERS {
            let what = format!("give at most {MOST_OFFERS} [[also]] tables");
            return Err(at(start(table.kind.span()), what));
        }
        let unknown = table
            .with
            .iter()
            .find(|with| !offers.iter().any(|offer| offer.kind == *with.get_ref()));
        if let Some(with) = unknown {
            let what = format!("no [[offer]] here is of kind \"{}\"", with.get_ref());
            return Err(at(start(with.span()), what));
        }
        let kind = (table.kind.get_ref().as_str(), table.sort);
        let said = offering(kind, &table.when, [&table.en, &table.nl])?;
        let with = table.with.iter().map(|with| with.get_ref().clone()).collect();
        also.push(Also { said, with });
    }
    let unknown = file.facts.iter().find(|name| schema.type_of(name.get_ref()).is_none());
    if let Some(name) = unknown {
        return Err(at(start(name.span()), schema.unknown(name.get_ref())));
    }
    if let Some(more) = file.facts.get(MOST_FACTS) {
        return Err(at(start(more.span()), format!("give at most {MOST_FACTS} facts")));
    }
    if let Some(value) = &file.value
        && !(value.amount.is_finite() && value.amount >= 0.0)
    {
        return Err(at(0, "value.amount must be 0 or more".to_owned()));
    }
    let rule = Rule {
        id: id.clone(),
        version: file.version,
        on: on.clone(),
        product: file.product,
        purpose: file.purpose,
        sort: file.sort,
        priority: file.priority,
        cooldown_ms: file.cooldown.as_ref().map(|span| duration(span, "cooldown")).transpose()?,
        quiet: file.quiet_hours,
        valid_for_ms: duration(&file.valid_for, "valid_for")?,
        value: file.value,
        when: condition(&file.when)?,
        offers,
        also,
        facts: file.facts.into_iter().map(Spanned::into_inner).collect(),
        source: source.to_owned(),
    };
    Ok((id, file.enabled.then_some(rule)))
}

/// How many quotes, and the line break behind three, a TOML text begins with.
fn quotes(text: &str) -> usize {
    let triple = text.starts_with("'''") || text.starts_with("\"\"\"");
    match (triple, text.as_bytes().get(3)) {
        (true, Some(b'\n')) => 4,
        (true, _) => 3,
        (false, _) => 1,
    }
}
