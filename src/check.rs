//! `datanaut check FILE`: says what a configuration sets, or what is wrong with it.

use std::process::ExitCode;

use crate::cli::CheckArgs;
use crate::config::{Config, ConfigError, collecting, writing_to_influx};

pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    match Config::load(&args.file) {
        Ok(config) => {
            println!("{}: ok\n{}", args.file.display(), summary(&config));
            for warning in config.warnings() {
                println!("warning: {warning}");
            }
            ExitCode::SUCCESS
        }
        Err(error @ ConfigError::Unreadable { .. }) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn summary(config: &Config) -> String {
    let Config { mqtt, http, data, sim, clock, weather, rules, journal, .. } = config;
    let clients =
        mqtt.max_clients.map_or("as many clients as open files allow".to_owned(), |most| {
            format!("at most {most} clients")
        });
    let embedded = match mqtt.embedded {
        true => format!(
            "mqtt     {}{}, {}, {clients}",
            mqtt.addr(),
            if mqtt.port_auto() { " or the next free port" } else { "" },
            if mqtt.anonymous { "without login" } else { "login needed" },
        ),
        false => "mqtt     no broker embedded; triggers go to the first collector's".to_owned(),
    };
    let lines = [
        format!("http     {}", http.listen),
        format!(
            "data     {}, registry {}",
            data.dir.display(),
            data.registry.as_ref().map_or("of the demo".into(), |file| file.to_string_lossy()),
        ),
        match sim.enabled {
            true => format!("sim      on, seed {}", sim.seed),
            false => "sim      off".to_owned(),
        },
        format!(
            "clock    from {}, {} times real time",
            clock.start.map_or("now".to_owned(), |start| start.to_string()),
            clock.speed,
        ),
        format!("weather  {}", weather.summary()),
        match &rules.dir {
            Some(dir) => format!("rules    those that ship, and those in {}", dir.display()),
            None => "rules    those that ship".to_owned(),
        },
        format!(
            "journal  horizon {:#}, at most {} messages a commit",
            hours(journal.horizon),
            journal.max_batch,
        ),
        config.retention.summary(),
    ];
    let lines = std::iter::once(embedded)
        .chain(collecting(config))
        .chain(lines)
        .chain(writing_to_influx(config));
    lines.map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn hours(duration: std::time::Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Config, summary};

    #[test]
    fn the_summary_tells_the_defaults() {
        let text = summary(&Config::default());
        for part in
            ["127.0.0.1:1883, without login", "127.0.0.1:8080", "horizon 72h", "quarantine 168h"]
        {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
}
