//! `datanaut trigger|subject`: a test for an insurer, and the names that insurers know people by.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use crate::cli::{SubjectCommand, TriggerCommand};
use crate::client::agent;

pub(crate) fn test(command: &TriggerCommand) -> Result<ExitCode> {
    let TriggerCommand::Test { insurer, product, server } = command;
    let body = json!({ "insurer": insurer, "product": product });
    let sent = server.post("/triggers/test", &body)?;
    if server.json {
        println!("{sent}");
        return Ok(ExitCode::SUCCESS);
    }
    let text = |key: &str| sent[key].as_str().unwrap_or_default();
    println!("on its way to {insurer}: id {}, sequence {}", text("id"), text("sequence"));
    println!("it comes on {}, and at the insurer's webhooks for {product}", text("topic"));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn subject(command: &SubjectCommand) -> Result<ExitCode> {
    match command {
        SubjectCommand::Show { policy, server } => {
            let known =
                server.ask(agent().get(server.url("/subjects")).query("policy", policy).call())?;
            if server.json {
                println!("{known}");
                return Ok(ExitCode::SUCCESS);
            }
            for subject in known["subjects"].as_array().into_iter().flatten() {
                let name = subject["subject"].as_str().unwrap_or_default();
                println!("{name}  key {}", subject["key_version"]);
            }
        }
        SubjectCommand::Rotate { server, .. } => {
            let rotated = server.post("/subjects/rotate", &json!({}))?;
            match server.json {
                true => println!("{rotated}"),
                false => {
                    println!("what fires from now on bears names of key {}", rotated["key_version"])
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
