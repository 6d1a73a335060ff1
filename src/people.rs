//! `datanaut customer|consent|device|registry`: who is who, and what people may ask for, changed on
//! the running server.

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cli::{
    ConsentCommand, CustomerCommand, DeviceCommand, NewDeviceArgs, RegistryCommand, Server,
};
use crate::client::agent;

/// A deletion goes on in slices while the server serves: a long history takes a while.
const DELETED_WITHIN: Duration = Duration::from_secs(3_600);
const ASK_AGAIN: Duration = Duration::from_millis(200);

pub(crate) fn customer(command: &CustomerCommand) -> Result<ExitCode> {
    match command {
        CustomerCommand::Show { id, server } => {
            println!("{:#}", server.get(&format!("/customers/{id}"))?);
        }
        CustomerCommand::Export { id, out, server } => {
            let named = format!("{id}.zip");
            export(server, id, out.as_deref().unwrap_or(Path::new(&named)))?;
        }
        CustomerCommand::Link { id, days, server } => {
            let link = server.post(&format!("/customers/{id}/link"), &json!({ "days": days }))?;
            let (address, path) = (server.server.trim_end_matches('/'), &link["path"]);
            println!("{address}{}", path.as_str().unwrap_or_default());
        }
        CustomerCommand::Erase { id, confirm, server } => {
            if confirm != id {
                bail!("what is erased does not come back: repeat the id with --confirm {id}");
            }
            let path = format!("/customers/{id}/erase");
            let changed = server.post(&path, &json!({ "confirm": confirm }))?;
            receipt(server, &changed)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn export(server: &Server, id: &str, out: &Path) -> Result<()> {
    let url = server.url(&format!("/customers/{id}/export"));
    let mut answer = agent().get(url).call().map_err(|error| server.unreachable(&error))?;
    if !answer.status().is_success() {
        server.ask(Ok(answer))?;
        bail!("the server does not export");
    }
    let name = out.display();
    // Somebody's life is not written over something else.
    let mut file = File::create_new(out).with_context(|| format!("cannot write {name}"))?;
    let written = std::io::copy(&mut answer.body_mut().as_reader(), &mut file);
    let bytes = written.with_context(|| format!("{name} is not complete: try again"))?;
    println!("{name}: {bytes} bytes");
    Ok(())
}

/// Waits until everything is deleted, and shows the proof.
fn receipt(server: &Server, changed: &Value) -> Result<()> {
    let Some(number) = changed["deletion"].as_i64() else { return Ok(()) };
    let since = Instant::now();
    loop {
        let receipt = server.get(&format!("/deletions/{number}"))?;
        if !receipt["done_ms"].is_null() {
            println!("receipt {number}: {receipt}");
            return Ok(());
        }
        if since.elapsed() > DELETED_WITHIN {
            bail!("the server still deletes; see {}", server.url(&format!("/deletions/{number}")));
        }
        std::thread::sleep(ASK_AGAIN);
    }
}

pub(crate) fn consent(command: &ConsentCommand) -> Result<ExitCode> {
    match command {
        ConsentCommand::List { customer, server } => {
            let known = server.get(&format!("/customers/{customer}"))?;
            for consent in known["consents"].as_array().into_iter().flatten() {
                let text = |key: &str| consent[key].as_str().unwrap_or("");
                let until = match &consent["to"] {
                    Value::String(to) => format!("withdrawn {to}"),
                    _ => "holds".to_owned(),
                };
                println!(
                    "{:<16} {:<18} {:<12} given {}  {until}",
                    text("insurer"),
                    text("purpose"),
                    text("wording"),
                    text("from")
                );
            }
        }
        ConsentCommand::Give { which, wording, server } => {
            let body =
                json!({ "insurer": which.insurer, "purpose": which.purpose, "wording": wording });
            server.post(&format!("/customers/{}/consents/give", which.customer), &body)?;
            println!("given");
        }
        ConsentCommand::Withdraw { which, server } => {
            let body = json!({ "insurer": which.insurer, "purpose": which.purpose });
            let path = format!("/customers/{}/consents/withdraw", which.customer);
            let changed = server.post(&path, &body)?;
            println!("withdrawn; nothing that waited is sent, and the insurer is asked to delete");
            receipt(server, &changed)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn device(command: &DeviceCommand) -> Result<ExitCode> {
    match command {
        DeviceCommand::Add(NewDeviceArgs { id, kind, owner, server }) => {
            add(server, vec![json!({ "id": id, "kind": kind.name(), "owner": owner })])?;
        }
        DeviceCommand::Import { file, server } => {
            let name = file.display();
            let text =
                std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
            let devices: Result<Vec<Value>> = text
                .lines()
                .enumerate()
                .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
                .map(|(at, line)| listed(line).with_context(|| format!("{name}, line {}", at + 1)))
                .collect();
            add(server, devices?)?;
        }
        DeviceCommand::Rotate { id, server } => {
            let login = server.post(&format!("/devices/{id}/rotate"), &json!({}))?;
            print_logins(std::slice::from_ref(&login));
        }
        DeviceCommand::Transfer { id, to, server } => {
            server.post(&format!("/devices/{id}/transfer"), &json!({ "to": to }))?;
            println!("{id} is {to}'s from now on");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `id,kind[,owner]`
fn listed(line: &str) -> Result<Value> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    match fields.as_slice() {
        [id, kind] => Ok(json!({ "id": id, "kind": kind })),
        [id, kind, owner] => Ok(json!({ "id": id, "kind": kind, "owner": owner })),
        _ => bail!("write ID,KIND or ID,KIND,OWNER"),
    }
}

fn add(server: &Server, devices: Vec<Value>) -> Result<()> {
    let logins = server.post("/devices", &json!({ "devices": devices }))?;
    print_logins(logins.as_array().map(Vec::as_slice).unwrap_or_default());
    Ok(())
}

/// The only time that tokens are seen: one a line, for a program to read.
fn print_logins(logins: &[Value]) {
    for login in logins {
        let text = |key: &str| login[key].as_str().unwrap_or_default();
        println!("{},{}", text("device"), text("token"));
    }
}

/// A token, and what of it goes into the configuration.
pub(crate) fn token() -> Result<ExitCode> {
    let token = dashboards::new_token().context("the system gives no random numbers")?;
    println!("token         {token}");
    println!("token_sha256  {}", enrich::trigger::sha256_hex(token.as_bytes()));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn registry(command: &RegistryCommand) -> Result<ExitCode> {
    let RegistryCommand::Import { file, server } = command;
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let changed = server.post("/registry", &json!({ "file": text }))?;
    println!("{} entries are new", changed["entries"]);
    Ok(ExitCode::SUCCESS)
}
