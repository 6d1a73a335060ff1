use std::path::{Path, PathBuf};

use super::validate::Wrong;

/// What is wrong with the configuration, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}:{line}:{column}: unknown key `{key}`, {advice}", path.display())]
    UnknownKey { path: PathBuf, line: usize, column: usize, key: String, advice: String },
    #[error("{}:{line}:{column}: {what}", path.display())]
    Invalid { path: PathBuf, line: usize, column: usize, what: String },
    #[error("{0}")]
    Flags(Wrong),
}

impl ConfigError {
    pub(super) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let (line, column) = line_and_column(text, error.span().map_or(0, |span| span.start));
        let path = path.to_owned();
        match unknown_key(error.message()) {
            Some((key, advice)) => Self::UnknownKey { path, line, column, key, advice },
            None => Self::Invalid { path, line, column, what: error.message().replace('\n', "; ") },
        }
    }

    pub(super) fn from_wrong(path: &Path, text: &str, wrong: &Wrong) -> Self {
        let (line, column) = line_and_column(text, offset_of_key(text, &wrong.key).unwrap_or(0));
        Self::Invalid { path: path.to_owned(), line, column, what: wrong.to_string() }
    }
}

/// Line and column of a byte, both from 1; the column in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The key and what to write instead, when serde's message is about an unknown field: it quotes
/// that field first and the known ones after it.
fn unknown_key(message: &str) -> Option<(String, String)> {
    let quoted = message.strip_prefix("unknown field ")?;
    let mut words = quoted.split('`').skip(1).step_by(2);
    let key = words.next()?.to_owned();
    let known: Vec<&str> = words.collect();
    let likeness = |name: &&str| strsim::jaro_winkler(&key, name);
    let closest = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let advice = match closest {
        // Below this, names share little more than a letter or two.
        Some(name) if likeness(&name) > 0.7 => format!("did you mean `{name}`?"),
        _ => format!("known here: {}", known.join(", ")),
    };
    Some((key, advice))
}

/// Where a key like `section.key` or `section.list[place].key` is written; the last part of the way
/// there that is.
fn offset_of_key(text: &str, key: &str) -> Option<usize> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut offset = None;
    for part in key.split('.') {
        let (name, place) = match part.strip_suffix(']').and_then(|list| list.split_once('[')) {
            Some((name, place)) => (name, place.parse::<usize>().ok()),
            None => (part, None),
        };
        let Some((found, mut value)) = table.iter().find(|(found, _)| found.get_ref() == name)
        else {
            return offset;
        };
        let array = place.and_then(|place| value.get_ref().as_array()?.get(place));
        value = array.unwrap_or(value);
        match value.get_ref().as_table() {
            Some(next) => {
                offset = Some(value.span().start);
                table = next;
            }
            None => return Some(found.span().start),
        }
    }
    offset
}
