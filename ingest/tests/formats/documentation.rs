//! docs/formats.md says what the decoder does.

use ingest::measure::Shape;
use ingest::{Measure, Reason};

/// The columns of the row that starts with `name` in code type.
fn row(name: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let start = format!("| `{name}` |");
    let row = page.lines().find(|line| line.starts_with(&start));
    let row = row.unwrap_or_else(|| panic!("docs/formats.md has no row for {name}"));
    row.trim_matches('|').split('|').map(|column| column.trim().to_owned()).collect()
}

#[test]
fn every_measure_is_documented_with_its_range() {
    for measure in Measure::ALL {
        let range = match measure.shape() {
            Shape::Number { min, max } => format!("{min} to {max}"),
            Shape::Flag => "true, false".into(),
            Shape::Choice(words) => words.join(", "),
            Shape::Text { max_bytes } => format!("up to {max_bytes} bytes"),
        };
        assert_eq!(row(measure.name())[2], range, "{}", measure.name());
    }
}

#[test]
fn every_reason_is_documented_with_its_advice() {
    for reason in Reason::ALL {
        assert_eq!(row(reason.name())[2], reason.advice(), "{}", reason.name());
    }
}
