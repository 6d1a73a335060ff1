//! The figures, each beside the one to reach.

use anyhow::Result;
use serde::Serialize;

/// Of the longest names of figures.
const WIDTH: usize = 68;

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Serialize)]
pub(super) struct Figure {
    what: String,
    /// `None`: it could not be measured; the note says why.
    value: Option<f64>,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Report {
    version: &'static str,
    /// Figures of a build without optimisation say nothing.
    optimised: bool,
    processor: String,
    cores: usize,
    figures: Vec<Figure>,
    #[serde(skip)]
    printed: usize,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            figures: Vec::new(),
            printed: 0,
        }
    }

    pub(super) fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        let (value, what) = (Some(value), what.into());
        self.figures.push(Figure { what, value, unit, target: None, met: None, note: None });
    }

    pub(super) fn add_for(
        &mut self,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        target: Target,
    ) {
        let met = match target {
            Target::AtLeast(least) => value >= least,
            Target::AtMost(most) => value <= most,
        };
        let (value, what) = (Some(value), what.into());
        let (target, met) = (Some(target), Some(met));
        self.figures.push(Figure { what, value, unit, target, met, note: None });
    }

    pub(super) fn leave_out(&mut self, what: impl Into<String>, why: impl Into<String>) {
        let (what, note) = (what.into(), Some(why.into()));
        self.figures.push(Figure { what, value: None, unit: "", target: None, met: None, note });
    }

    /// Says something about the last figure.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        if let Some(last) = self.figures.last_mut() {
            last.note = Some(note.into());
        }
    }

    /// Prints what has not been printed yet.
    pub(super) fn print_new(&mut self) {
        if self.printed == 0 {
            println!("Datanaut {} on {} cores of {}", self.version, self.cores, self.processor);
            if !self.optimised {
                println!("built without optimisation: these figures mean nothing");
            }
            println!("{:<WIDTH$} {:>10} {:<14} to reach", "", "", "");
        }
        for figure in &self.figures[self.printed..] {
            println!("{}", figure.line());
        }
        self.printed = self.figures.len();
    }

    pub(super) fn print_json(&self) -> Result<()> {
        println!("{}", serde_json::to_string_pretty(self)?);
        Ok(())
    }
}

impl Figure {
    fn line(&self) -> String {
        let value = self.value.map_or("LEFT OUT".to_owned(), rounded);
        let target = match self.target {
            Some(Target::AtLeast(least)) => format!("≥ {}", rounded(least)),
            Some(Target::AtMost(most)) => format!("≤ {}", rounded(most)),
            None => String::new(),
        };
        let met = match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let note = self.note.as_ref().map_or(String::new(), |note| format!("\n    {note}"));
        let line =
            format!("{:<WIDTH$} {value:>10} {:<14} {target:<10} {met}", self.what, self.unit);
        line.trim_end().to_owned() + &note
    }
}

/// To three digits or so, as nothing here is more exact.
fn rounded(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name"));
    let name = model.and_then(|line| line.split_once(": ")).map(|(_, name)| name.to_owned());
    name.unwrap_or_else(|| "an unknown processor".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Report, Target};

    #[test]
    fn a_figure_says_whether_it_is_what_was_promised() {
        let mut report = Report::new();
        report.add_for("rate", 24_900.0, "a second", Target::AtLeast(25_000.0));
        report.add_for("latency", 4.2, "ms", Target::AtMost(5.0));
        report.leave_out("collector", "mosquitto is not installed");
        let lines: Vec<_> = report.figures.iter().map(super::Figure::line).collect();
        assert!(lines[0].contains("24900") && lines[0].ends_with("MISSED"), "{}", lines[0]);
        assert!(lines[1].contains("≤ 5.00") && lines[1].ends_with("met"), "{}", lines[1]);
        assert!(lines[2].contains("LEFT OUT\n    mosquitto is not"), "{}", lines[2]);
    }
}
