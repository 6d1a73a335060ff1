//! `datanaut webhook`: asks the running server over its HTTP API.

use std::process::ExitCode;

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::{DeadArgs, ResendArgs, ResumeArgs, Server, WebhookCommand};
use crate::client::{agent, read};

pub(crate) fn run(command: &WebhookCommand) -> Result<ExitCode> {
    match command {
        WebhookCommand::List(server) => list(server),
        WebhookCommand::Dead(args) => dead(args),
        WebhookCommand::Resend(args) => resend(args),
        WebhookCommand::Resume(args) => resume(args),
    }
}

#[derive(Deserialize)]
struct Endpoint {
    name: String,
    url: String,
    state: String,
    error: Option<String>,
    unsent: u64,
    waiting: u64,
    dead: u64,
}

#[derive(Deserialize)]
struct Letter {
    position: i64,
    attempts: u32,
    error: String,
    sequence: Option<String>,
    product: Option<String>,
}

fn list(server: &Server) -> Result<ExitCode> {
    let answer = server.ask(agent().get(server.url("/webhooks")).call())?;
    if server.json {
        println!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let endpoints: Vec<Endpoint> = read(answer)?;
    for endpoint in &endpoints {
        let Endpoint { name, url, state, unsent, waiting, dead, .. } = endpoint;
        println!("{name}  {state}  {url}");
        println!("    {unsent} to send, {waiting} to try again, {dead} given up");
        if let Some(error) = &endpoint.error {
            println!("    last: {error}");
        }
    }
    if endpoints.is_empty() {
        println!("no [[webhook]] is configured");
    }
    Ok(ExitCode::SUCCESS)
}

fn dead(args: &DeadArgs) -> Result<ExitCode> {
    let url = args.server.url(&format!("/webhooks/{}/dead", args.name));
    let query = [("after", args.after.to_string()), ("limit", args.limit.to_string())];
    let answer = args.server.ask(agent().get(url).query_pairs(query).call())?;
    if args.server.json {
        println!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let letters: Vec<Letter> = read(answer)?;
    for Letter { position, attempts, error, sequence, product } in &letters {
        let (product, sequence) = (product.as_deref(), sequence.as_deref());
        println!(
            "{position:>8}  {:<16} {:>20}  {attempts} attempts, {error}",
            product.unwrap_or("?"),
            sequence.unwrap_or("?")
        );
    }
    if letters.is_empty() {
        println!("nothing was given up");
    }
    Ok(ExitCode::SUCCESS)
}

fn resend(args: &ResendArgs) -> Result<ExitCode> {
    let url = args.server.url(&format!("/webhooks/{}/resend", args.name));
    let body = match args.all {
        true => json!({ "all": true }),
        false => json!({ "positions": args.positions }),
    };
    loop {
        let answer = args.server.ask(agent().post(&url).send_json(&body))?;
        let more = answer["more"] == Value::Bool(true);
        match args.server.json {
            true => println!("{answer}"),
            false => println!("{} to be sent again", answer["resent"]),
        }
        if !more {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn resume(args: &ResumeArgs) -> Result<ExitCode> {
    let url = args.server.url(&format!("/webhooks/{}/resume", args.name));
    let answer = agent().post(url).header("Content-Type", "application/json").send_empty();
    let answer = args.server.ask(answer)?;
    match args.server.json {
        true => println!("{answer}"),
        false => println!("{} is tried again", args.name),
    }
    Ok(ExitCode::SUCCESS)
}
