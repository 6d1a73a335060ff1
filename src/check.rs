//! `datanaut check FILE`: says what a configuration sets, or what is wrong with it.

use std::net::SocketAddr;
use std::process::ExitCode;

use crate::cli::CheckArgs;
use crate::config::{Config, ConfigError, Webhook, collecting, writing_to_influx};

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
    let Config { mqtt, http, data, sim, clock, places, weather, rules, relevance, journal, .. } =
        config;
    let clients =
        mqtt.max_clients.map_or("as many clients as open files allow".to_owned(), |most| {
            format!("at most {most} clients")
        });
    let embedded = match mqtt.embedded {
        true => format!(
            "mqtt     {}{}, {}{}, {clients}",
            mqtt.addr(),
            if mqtt.port_auto() { " or the next free port" } else { "" },
            if mqtt.anonymous { "without login" } else { "login needed" },
            encrypted(mqtt.tls_listen),
        ),
        false => "mqtt     no broker embedded; triggers go to the first collector's".to_owned(),
    };
    let lines = [
        format!(
            "http     {}{}, {}",
            http.listen,
            encrypted(http.tls_listen),
            match http.operator.len() {
                0 => "without login".to_owned(),
                operators => format!("login needed, operators: {operators}"),
            },
        ),
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
        format!(
            "places   {}",
            match &places.risk_areas {
                Some(file) => format!("areas of risk in {}", file.display()),
                None => "no areas of risk".to_owned(),
            },
        ),
        format!("weather  {}", weather.summary()),
        match &rules.dir {
            Some(dir) => format!("rules    those that ship, and those in {}", dir.display()),
            None => "rules    those that ship".to_owned(),
        },
        relevance.summary(),
        format!(
            "journal  horizon {:#}, a claim waits {:#}, at most {} messages a commit",
            hours(journal.horizon),
            hours(journal.claim_wait),
            journal.max_batch,
        ),
        config.retention.summary(),
    ];
    let lines = std::iter::once(embedded)
        .chain(collecting(config))
        .chain(lines)
        .chain(config.webhook.iter().map(Webhook::summary))
        .chain(writing_to_influx(config));
    lines.map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn encrypted(listen: Option<SocketAddr>) -> String {
    listen.map_or_else(String::new, |addr| format!(" and with TLS {addr}"))
}

fn hours(duration: std::time::Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Config, summary};

    fn check(config: &Config, parts: &[&str]) {
        let text = summary(config);
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn the_summary_tells_the_defaults() {
        let parts = [
            "127.0.0.1:1883, without login",
            "127.0.0.1:8080",
            "no areas of risk",
            "no cap, quiet hours 22:00-07:00",
            "horizon 72h, a claim waits 1h",
            "quarantine 168h",
        ];
        check(&Config::default(), &parts);
    }

    #[test]
    fn the_summary_tells_who_hears_what_and_where() {
        let text = r#"
            [mqtt]
            tls_listen = "0.0.0.0:8883"
            [http]
            tls_listen = "0.0.0.0:8443"
            [places]
            risk_areas = "areas.geojson"
            [relevance]
            cap = 3
            cap_window = "12h"
            quiet_hours = ""
            [journal]
            claim_wait = "2h"
            [[webhook]]
            insurer = "alpina"
            url = "https://alpina.example/hook"
            secret_file = "alpina.secret"
            products = ["travel", "home"]
        "#;
        let parts = [
            "without login and with TLS 0.0.0.0:8883,",
            "127.0.0.1:8080 and with TLS 0.0.0.0:8443",
            "areas of risk in areas.geojson",
            "at most 3 triggers a customer in 12h, no quiet hours",
            "a claim waits 2h",
            "webhook  alpina: travel, home to https://alpina.example/hook",
        ];
        check(&toml::from_str(text).unwrap(), &parts);
    }
}
