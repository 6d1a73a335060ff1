//! A strict reader of line protocol, written from its specification for checking what is written.

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Flag(bool),
    Text(String),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) measurement: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) fields: BTreeMap<String, Field>,
    pub(crate) time_ms: i64,
}

/// The lines of a body. A line break within quotes ends none; before the fields a quote is nothing
/// special.
pub(crate) fn split(body: &str) -> Vec<&str> {
    let (mut lines, mut start) = (Vec::new(), 0);
    let (mut fields, mut quoted, mut escaped) = (false, false, false);
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ' ' => fields = true,
            '"' if fields => quoted = !quoted,
            '\n' if !quoted => {
                lines.push(&body[start..at]);
                (start, fields) = (at + 1, false);
            }
            _ => {}
        }
    }
    if start < body.len() {
        lines.push(&body[start..]);
    }
    lines
}

/// One point; says what is wrong with a line that is none.
pub(crate) fn parse(line: &str) -> Result<Point, String> {
    let mut rest = Rest(line);
    let measurement = rest.name(", ", "measurement")?;
    if measurement.starts_with('#') {
        return Err("a comment".to_owned());
    }
    let mut tags = BTreeMap::new();
    while rest.take(',') {
        let key = rest.name("=", "tag key")?;
        rest.expect('=')?;
        let value = rest.name(", ", "tag value")?;
        if tags.insert(key, value).is_some() {
            return Err("a tag twice".to_owned());
        }
    }
    rest.expect(' ')?;
    let mut fields = BTreeMap::new();
    loop {
        let key = rest.name("=", "field key")?;
        rest.expect('=')?;
        if fields.insert(key, rest.field()?).is_some() {
            return Err("a field twice".to_owned());
        }
        if !rest.take(',') {
            break;
        }
    }
    rest.expect(' ')?;
    let time_ms = rest.0.parse().map_err(|_| format!("{:?} is no timestamp", rest.0))?;
    Ok(Point { measurement, tags, fields, time_ms })
}

struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn take(&mut self, c: char) -> bool {
        let rest = self.0.strip_prefix(c);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.take(c) { Ok(()) } else { Err(format!("no {c:?} before {:?}", self.0)) }
    }

    /// Up to one of `ends` without a backslash before it.
    fn name(&mut self, ends: &str, what: &str) -> Result<String, String> {
        let mut name = String::new();
        let mut chars = self.0.char_indices();
        let end = loop {
            match chars.next() {
                None => break self.0.len(),
                Some((at, c)) if ends.contains(c) => break at,
                Some((_, '\\')) => match chars.next() {
                    Some((_, c @ (',' | '=' | ' '))) => name.push(c),
                    _ => return Err(format!("a lone backslash in a {what}")),
                },
                Some((_, c)) if c.is_control() => return Err(format!("{c:?} in a {what}")),
                Some((_, c @ (',' | '=' | ' '))) => {
                    return Err(format!("a bare {c:?} in a {what}"));
                }
                Some((_, c)) => name.push(c),
            }
        };
        self.0 = &self.0[end..];
        if name.is_empty() { Err(format!("an empty {what}")) } else { Ok(name) }
    }

    fn field(&mut self) -> Result<Field, String> {
        if self.take('"') {
            return self.text();
        }
        let end = self.0.find([',', ' ']).unwrap_or(self.0.len());
        let (value, rest) = self.0.split_at(end);
        self.0 = rest;
        let wrong = |_| format!("{value:?} is no value");
        match value {
            "t" | "T" | "true" | "True" | "TRUE" => return Ok(Field::Flag(true)),
            "f" | "F" | "false" | "False" | "FALSE" => return Ok(Field::Flag(false)),
            _ => {}
        }
        if let Some(number) = value.strip_suffix('i') {
            return number.parse().map(Field::Integer).map_err(|_| format!("{value:?}"));
        }
        if let Some(number) = value.strip_suffix('u') {
            return number.parse().map(Field::Unsigned).map_err(|_| format!("{value:?}"));
        }
        // Rust would also read these.
        if value.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) {
            return Err(format!("{value:?} is no number"));
        }
        value.parse().map(Field::Float).map_err(|error: std::num::ParseFloatError| wrong(error))
    }

    fn text(&mut self) -> Result<Field, String> {
        let mut text = String::new();
        let mut chars = self.0.char_indices();
        loop {
            match chars.next() {
                None => return Err("a text without an end".to_owned()),
                Some((at, '"')) => {
                    self.0 = &self.0[at + 1..];
                    return Ok(Field::Text(text));
                }
                Some((_, '\\')) => match chars.next() {
                    Some((_, c @ ('"' | '\\'))) => text.push(c),
                    Some((_, c)) => text.extend(['\\', c]),
                    None => return Err("a text without an end".to_owned()),
                },
                Some((_, c)) => text.push(c),
            }
        }
    }
}
