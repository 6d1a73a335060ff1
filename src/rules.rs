//! The rules in force: those that ship, and an operator's own, which may change while we serve.

mod backtest;
mod example;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use enrich::relevance::Relevance;
use enrich::rules::RuleSet;
use journal::Journal;
use tokio::sync::watch;

use crate::cli::RulesCommand;
use crate::config::Config;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Most files in a folder of rules, and most bytes of one: more is some other folder.
const MOST_FILES: usize = 10_000;
const MOST_BYTES: u64 = 64 << 10;

/// The rules that ship and those in `dir`.
///
/// # Errors
/// When the folder cannot be read, or all that is wrong in its files.
pub(crate) fn load(dir: Option<&Path>, relevance: Relevance) -> Result<RuleSet> {
    let files = dir.map_or(Ok(Vec::new()), read)?;
    let mut rules = RuleSet::with(&files).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("\n"))
    })?;
    rules.relevance = relevance;
    Ok(rules)
}

/// Name and text of each rule file in a folder, or of one file.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for file in files(path)? {
        let name = file.display().to_string();
        let size = std::fs::metadata(&file).with_context(|| name.clone())?.len();
        if size > MOST_BYTES {
            bail!("{name}: a rule has at most {MOST_BYTES} bytes, this has {size}");
        }
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
        texts.push((name, text));
    }
    Ok(texts)
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let cannot = || format!("cannot read the rules in {}", path.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(cannot)? {
        let file = entry.with_context(cannot)?.path();
        if file.extension().is_some_and(|ending| ending == "toml") {
            files.push(file);
        }
    }
    if files.len() > MOST_FILES {
        bail!("{} has more than {MOST_FILES} rules", path.display());
    }
    files.sort();
    Ok(files)
}

/// Lets the journal go by the rules in `dir` as they change, until told to stop. What is wrong is
/// named, and the rules before stay in force.
pub(crate) async fn watch(
    dir: PathBuf,
    relevance: Relevance,
    journal: Journal,
    mut stopped: watch::Receiver<bool>,
) {
    let mut seen = fingerprint(&dir);
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        let now = fingerprint(&dir);
        if now == seen {
            continue;
        }
        seen = now;
        let from = dir.clone();
        match tokio::task::spawn_blocking(move || load(Some(&from), relevance)).await {
            Ok(Ok(rules)) => {
                let (name, count) = (rules.name().to_owned(), rules.rules().count());
                if journal.set_rules(rules).await.is_err() {
                    return;
                }
                tracing::info!(set = name, rules = count, "the rules have changed");
            }
            Ok(Err(wrong)) => {
                tracing::error!("the rules stay as they were, until this is put right:\n{wrong:#}");
            }
            Err(error) => tracing::error!(%error, "the rules could not be read"),
        }
    }
}

/// Changes when a file is added, removed or written.
fn fingerprint(dir: &Path) -> Vec<(PathBuf, Option<SystemTime>, u64)> {
    let files = files(dir).unwrap_or_default();
    let look = |file: PathBuf| {
        let metadata = std::fs::metadata(&file).ok();
        let written = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        (file, written, metadata.map_or(0, |metadata| metadata.len()))
    };
    files.into_iter().map(look).collect()
}

/// `datanaut rules …`
pub(crate) fn run(command: &RulesCommand) -> Result<ExitCode> {
    match command {
        RulesCommand::Check { paths, config } => {
            let dir = rules_dir(config.as_deref())?;
            let paths = if paths.is_empty() { dir.into_iter().collect() } else { paths.clone() };
            let mut files = Vec::new();
            for path in &paths {
                files.extend(read(path)?);
            }
            match RuleSet::with(&files) {
                Ok(rules) => {
                    let (own, all) = (files.len(), rules.rules().count());
                    println!("ok: {own} of your own, {all} in force with those that ship");
                    Ok(ExitCode::SUCCESS)
                }
                Err(errors) => {
                    errors.iter().for_each(|error| eprintln!("{error}"));
                    Ok(ExitCode::FAILURE)
                }
            }
        }
        RulesCommand::List { config } => {
            list(&load(rules_dir(config.as_deref())?.as_deref(), Relevance::default())?);
            Ok(ExitCode::SUCCESS)
        }
        RulesCommand::Test { rule, event, config } => {
            let rules = one(rule, config.as_deref())?;
            example::run(&rules, event)
        }
        RulesCommand::Backtest(args) => backtest::run(args),
    }
}

fn rules_dir(config: Option<&Path>) -> Result<Option<PathBuf>> {
    Ok(config.map(Config::load).transpose()?.and_then(|config| config.rules.dir))
}

/// The rule of that file, or with that id among those in force, alone.
fn one(rule: &str, config: Option<&Path>) -> Result<RuleSet> {
    let path = Path::new(rule);
    if path.extension().is_some_and(|ending| ending == "toml") {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {rule}"))?;
        return Ok(RuleSet::alone(rule, &text)?);
    }
    let rules = load(rules_dir(config)?.as_deref(), Relevance::default())?;
    let Some(found) = rules.rule(rule) else {
        let known: Vec<&str> = rules.rules().map(|rule| rule.id.as_str()).collect();
        bail!("there is no rule \"{rule}\"; in force: {}", known.join(", "));
    };
    Ok(RuleSet::alone(rule, &found.source)?)
}

fn list(rules: &RuleSet) {
    let row = |cells: [&str; 6]| {
        let [id, version, on, product, sort, priority] = cells;
        println!("{id:<28} {version:>7}  {on:<20} {product:<16} {sort:<7} {priority:>8}");
    };
    row(["rule", "version", "on", "product", "sort", "priority"]);
    for rule in rules.rules() {
        let sort = format!("{:?}", rule.sort).to_lowercase();
        let (version, priority) = (rule.version.to_string(), rule.priority.to_string());
        row([&rule.id, &version, &rule.on, rule.product.name(), &sort, &priority]);
    }
}
