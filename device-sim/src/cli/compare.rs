//! `device-sim compare`, `device-sim registry` and `device-sim areas`

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use device_sim::{Outcome, Scenario, compare, risk_areas};

#[derive(Args)]
pub(crate) struct CompareArgs {
    /// The report of a run, as `run SCENARIO --report` writes it
    a: PathBuf,
    /// The report of another one
    b: PathBuf,
}

pub(crate) fn compare_runs(args: &CompareArgs) -> Result<()> {
    print!("{}", compare(&read(&args.a)?, &read(&args.b)?));
    Ok(())
}

fn read(path: &Path) -> Result<Outcome> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    serde_json::from_reader(BufReader::new(file))
        .with_context(|| format!("{name} is no report of a scenario"))
}

pub(crate) fn areas() -> Result<ExitCode> {
    println!("{:#}", risk_areas());
    Ok(ExitCode::SUCCESS)
}

#[derive(Args)]
pub(crate) struct RegistryArgs {
    /// The scenario
    scenario: String,
    /// As in `run --scale`
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
}

pub(crate) fn registry(args: &RegistryArgs) -> Result<()> {
    print!("{}", Scenario::load(&args.scenario)?.registry(args.scale));
    Ok(())
}
