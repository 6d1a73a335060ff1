mod acl;
mod bench;
mod certificates;
mod check;
mod cli;
mod client;
mod config;
mod front;
mod people;
mod quarantine;
mod rules;
mod serve;
mod study;
mod trigger;
mod weather;
mod webhook;
mod whereabouts;

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};

/// Gives memory back that a start needed once, and is quicker with what one thread allocates and
/// another frees.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    // The broker's library names clients at every connection; people's devices stay out of logs.
    let filter = EnvFilter::try_new(format!("mqtt5=error,{}", cli.log)).context("--log")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    if let Some(
        Command::Check(_)
        | Command::Rules(_)
        | Command::Acl(_)
        | Command::Study(_)
        | Command::Where(_),
    ) = &cli.command
    {
        // They only print, and end with who reads them, as in `… | head`. Where there are
        // connections, a peer that leaves one must not end the process.
        sigpipe::reset();
    }
    match cli.command {
        Some(Command::Check(args)) => Ok(check::run(&args)),
        Some(Command::Replay(args)) => device_sim::replay(&args).await,
        Some(Command::Bench(args)) => {
            tokio::task::spawn_blocking(move || bench::run(&args)).await?
        }
        Some(Command::Quarantine(command)) => {
            tokio::task::spawn_blocking(move || quarantine::run(&command)).await?
        }
        Some(Command::Customer(command)) => {
            tokio::task::spawn_blocking(move || people::customer(&command)).await?
        }
        Some(Command::Token) => people::token(),
        Some(Command::Consent(command)) => {
            tokio::task::spawn_blocking(move || people::consent(&command)).await?
        }
        Some(Command::Device(command)) => {
            tokio::task::spawn_blocking(move || people::device(&command)).await?
        }
        Some(Command::Registry(command)) => {
            tokio::task::spawn_blocking(move || people::registry(&command)).await?
        }
        Some(Command::Webhook(command)) => {
            tokio::task::spawn_blocking(move || webhook::run(&command)).await?
        }
        Some(Command::Trigger(command)) => {
            tokio::task::spawn_blocking(move || trigger::test(&command)).await?
        }
        Some(Command::Subject(command)) => {
            tokio::task::spawn_blocking(move || trigger::subject(&command)).await?
        }
        Some(Command::Rules(command)) => rules::run(&command),
        Some(Command::Acl(args)) => acl::run(&args),
        Some(Command::Study(command)) => study::run(&command),
        Some(Command::Where(args)) => whereabouts::run(&args),
        None => {
            let config = config::Config::for_serving(&cli.serve)?;
            for warning in config.warnings() {
                tracing::warn!("{warning}");
            }
            serve::run(&config).await
        }
    }
}
