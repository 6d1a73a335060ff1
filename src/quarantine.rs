//! `datanaut quarantine`: asks the running server over its HTTP API.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::{ListArgs, QuarantineCommand, RowsArgs, ShowArgs};
use crate::client::{agent, read};

pub(crate) fn run(command: &QuarantineCommand) -> Result<ExitCode> {
    match command {
        QuarantineCommand::List(args) => list(args),
        QuarantineCommand::Show(args) => show(args),
        QuarantineCommand::Retry(args) => deal(args, What::Retry),
        QuarantineCommand::Drop(args) => deal(args, What::Drop),
    }
}

#[derive(Clone, Copy)]
enum What {
    Retry,
    Drop,
}

#[derive(Deserialize)]
struct Row {
    number: i64,
    device: Option<String>,
    #[serde(default)]
    insurer: Option<String>,
    received_at: String,
    reason: Option<String>,
    advice: Option<String>,
    detail: String,
    broker: Option<String>,
    topic: String,
    sent_bytes: u64,
    payload_bytes: u64,
    payload_text: Option<String>,
    payload_hex: Option<String>,
}

impl Row {
    /// The device or insurer that sent it.
    fn whose(&self) -> Option<&str> {
        self.device.as_deref().or(self.insurer.as_deref())
    }
}

#[derive(Deserialize)]
struct Page {
    rows: Vec<Dealt>,
    next: Option<i64>,
}

/// What became of a row.
#[derive(Deserialize)]
struct Dealt {
    number: i64,
    outcome: String,
    reason: Option<String>,
    detail: Option<String>,
    error: Option<String>,
}

fn list(args: &ListArgs) -> Result<ExitCode> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.reason.clone().map(|reason| ("reason", reason)));
    query.extend(args.device.clone().map(|device| ("device", device)));
    query.extend(args.before.map(|before| ("before", before.to_string())));
    let answer =
        args.server.ask(agent().get(args.server.url("/quarantine")).query_pairs(query).call())?;
    if args.server.json {
        println!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Row> = read(answer)?;
    for row in &rows {
        let (whose, reason) = (row.whose(), row.reason.as_deref());
        println!(
            "{:>6}  {}  {:<18} {:<18} {}",
            row.number,
            row.received_at,
            reason.unwrap_or("?"),
            whose.unwrap_or("?"),
            row.detail
        );
    }
    if rows.is_empty() {
        println!("nothing in quarantine is like that");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowArgs) -> Result<ExitCode> {
    let url = args.server.url(&format!("/quarantine/{}", args.number));
    let answer = args.server.ask(agent().get(url).call())?;
    if args.server.json {
        println!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let row: Row = read(answer)?;
    println!("number    {}", row.number);
    println!("of        {}", row.whose().unwrap_or("nobody in the registry any more"));
    let broker = row.broker.as_deref().unwrap_or("an output that could not take it");
    println!("received  {} through {broker}", row.received_at);
    println!("topic     {}", row.topic);
    println!("reason    {}: {}", row.reason.as_deref().unwrap_or("?"), row.detail);
    println!("advice    {}", row.advice.as_deref().unwrap_or("none"));
    println!("payload   {} bytes, {} of them kept", row.sent_bytes, row.payload_bytes);
    println!();
    println!("{}", row.payload_text.or(row.payload_hex).unwrap_or_default());
    Ok(ExitCode::SUCCESS)
}

fn deal(args: &RowsArgs, what: What) -> Result<ExitCode> {
    let mut tally = Tally::default();
    for number in &args.numbers {
        let (url, agent) = (args.server.url(&format!("/quarantine/{number}")), agent());
        let answer = match what {
            What::Retry => agent
                .post(format!("{url}/retry"))
                .header("Content-Type", "application/json")
                .send_empty(),
            What::Drop => agent.delete(url).header("Content-Type", "application/json").call(),
        };
        let answer = args.server.ask(answer).with_context(|| format!("row {number}"))?;
        tally.page(args, answer, |answer| Ok((vec![read(answer)?], None)))?;
    }
    let mut next = None;
    while args.numbers.is_empty() {
        let many = match what {
            What::Retry => "/retry",
            What::Drop => "/drop",
        };
        let mut body = json!({ "all": args.all, "before": next });
        for (key, value) in [("reason", &args.reason), ("device", &args.device)] {
            if let Some(value) = value {
                body[key] = Value::from(value.as_str());
            }
        }
        let answer = args
            .server
            .ask(agent().post(args.server.url(&format!("/quarantine{many}"))).send_json(body))?;
        next = tally.page(args, answer, |answer| {
            let Page { rows, next } = read(answer)?;
            Ok((rows, next))
        })?;
        if next.is_none() {
            break;
        }
    }
    if !args.server.json {
        tally.print(what);
    }
    Ok(if tally.left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Tally {
    gone: u64,
    /// Why, and how often.
    left: BTreeMap<String, u64>,
}

impl Tally {
    /// Takes in what became of some rows; returns where to go on.
    fn page(
        &mut self,
        args: &RowsArgs,
        answer: Value,
        rows: impl Fn(Value) -> Result<(Vec<Dealt>, Option<i64>)>,
    ) -> Result<Option<i64>> {
        if args.server.json {
            println!("{answer}");
        }
        let (rows, next) = rows(answer)?;
        for row in rows {
            let why = match (row.outcome.as_str(), row.reason, row.error) {
                ("gone", ..) => {
                    self.gone += 1;
                    continue;
                }
                ("stays", Some(reason), _) => reason,
                (_, _, Some(error)) => error,
                _ => "for a reason that this version does not know".to_owned(),
            };
            // Of a few rows one wants to know what exactly.
            if !args.numbers.is_empty() && !args.server.json {
                println!("{:>6}  {why} {}", row.number, row.detail.unwrap_or_default());
            }
            *self.left.entry(why).or_default() += 1;
        }
        Ok(next)
    }

    fn print(&self, what: What) {
        let done = match what {
            What::Retry => "left quarantine",
            What::Drop => "dropped",
        };
        println!("{} {done}", self.gone);
        for (why, rows) in &self.left {
            println!("{rows} stay: {why}");
        }
    }
}
