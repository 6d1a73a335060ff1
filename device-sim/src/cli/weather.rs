//! `device-sim weather`

use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use device_sim::{ClockStart, Rows, WeatherClock, serve_weather, server_clock, write_weather};
use jiff::Timestamp;
use tokio::net::TcpListener;

use super::connect::{create, interrupted};

#[derive(Args)]
pub(crate) struct WeatherArgs {
    /// Serve it in the shape of Open-Meteo's forecast, on this address
    #[arg(long, value_name = "ADDRESS", required_unless_present = "file")]
    serve: Option<SocketAddr>,
    /// Forecasts go by the clock of this server, as in http://127.0.0.1:8080
    #[arg(long, value_name = "URL", requires = "serve")]
    http: Option<String>,
    /// Write it to this file, for all cells that devices come by: CSV if its name ends so, else JSON
    #[arg(long, value_name = "FILE", conflicts_with = "serve")]
    file: Option<PathBuf>,
    /// From this moment on (now, if left out)
    #[arg(long, requires = "file")]
    from: Option<Timestamp>,
    /// For so many hours
    #[arg(long, default_value_t = 168, requires = "file",
          value_parser = clap::value_parser!(u32).range(1..=8_784))]
    hours: u32,
}

pub(crate) async fn weather(args: WeatherArgs) -> Result<()> {
    if let Some(path) = &args.file {
        let from = args.from.unwrap_or_else(Timestamp::now);
        let is_csv = path.extension().is_some_and(|ending| ending == "csv");
        let shape = if is_csv { Rows::Csv } else { Rows::Json };
        let mut file = BufWriter::new(create(path)?);
        write_weather(&mut file, shape, from, args.hours).context("the weather")?;
        return file.flush().context("the weather");
    }
    let Some(address) = args.serve else { return Ok(()) };
    let clock = match args.http {
        Some(url) => tokio::task::spawn_blocking(move || server_clock(&url)).await??,
        None => {
            let at = ClockStart { ms: Timestamp::now().as_millisecond(), instant: Instant::now() };
            WeatherClock { at, speed: 1.0 }
        }
    };
    ensure!(clock.speed > 0.0, "the server's clock stands still");
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("http://{}/v1/forecast", listener.local_addr()?);
    serve_weather(listener, clock, interrupted()).await.context("serving the weather")
}
