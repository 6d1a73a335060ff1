//! Publishes a recorded track through any MQTT broker, as if a device sent it.

mod args;
mod csv;
mod geojson;
mod gpx;
mod json;
mod jsonl;
mod owntracks;
mod publish;
mod recording;
mod schedule;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::options::{Login, Options};
use crate::reading::Kind;
use crate::transport::Tls;
use args::{At, Format, Speed};
use publish::{Report, Target};
use recording::{Notes, Recording, rfc3339};

/// Recordings are read whole; hours of fixes at 1 Hz are a few megabytes.
const MAX_FILE_BYTES: u64 = 1 << 30;

pub use args::ReplayArgs;

/// Publishes a file, and tells what became of it.
///
/// # Errors
/// When there is nothing to publish: the file cannot be read, or holds nothing usable.
pub async fn replay(args: &ReplayArgs) -> Result<ExitCode> {
    publish::check_speed(args.at, args.speed)?;
    let recording = read(args)?;
    tell_about(&recording);
    ensure!(
        !recording.messages.is_empty(),
        "{}: nothing in it can be published: it takes points or lines with a time",
        args.file.display()
    );
    println!(
        "replaying {} as {} to {}, {} messages",
        args.file.display(),
        args.device,
        args.broker,
        recording.messages.len(),
    );
    let report = publish::publish(&recording.messages, &target(args)?).await;
    println!("{}", summary(&recording, &report));
    if let Some(why) = &report.gave_up {
        eprintln!("error: {why:#}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Publishes lines of JSON that say their topic, as `user`, as fast as the broker acknowledges them.
///
/// # Errors
/// When the broker does not let `user` in, or acknowledges nothing for a minute.
pub(crate) async fn publish_lines(lines: &str, options: &Options, user: &str) -> Result<()> {
    let recording = jsonl::read(lines, "");
    if recording.messages.is_empty() && lines.trim().is_empty() {
        return Ok(());
    }
    let (usable, all) = (recording.messages.len(), lines.lines().count());
    ensure!(usable == all, "only {usable} of {all} reports of an insurer can be published");
    let login = match &options.login {
        Login::Device { password } => Some((user.to_owned(), password.clone().unwrap_or_default())),
        Login::User { name, password } => Some((name.clone(), password.clone())),
        Login::Anonymous => None,
    };
    let target = Target {
        broker: options.broker.clone(),
        tls: options.tls.clone(),
        protocol: options.best_protocol(),
        login,
        qos: 1,
        at: At::Recorded,
        speed: Speed(f64::INFINITY),
        patience: Duration::from_secs(60),
    };
    publish::publish(&recording.messages, &target).await.gave_up.map_or(Ok(()), Err)
}

fn target(args: &ReplayArgs) -> Result<Target> {
    let password = args.password.clone().unwrap_or_default();
    let tls = if args.broker.tls { Some(Tls::new(args.ca_file.as_deref())?) } else { None };
    Ok(Target {
        broker: args.broker.clone(),
        tls,
        protocol: args.mqtt,
        login: args.user.clone().map(|user| (user, password)),
        qos: args.qos,
        at: args.at,
        speed: args.speed,
        patience: args.timeout,
    })
}

fn read(args: &ReplayArgs) -> Result<Recording> {
    let accuracy_m = args.accuracy_m;
    ensure!(accuracy_m.is_finite() && accuracy_m >= 0.0, "--accuracy-m must be 0 or more");
    let format = format_of(args)?;
    let topic = match format {
        Format::Owntracks => owntracks_topic(&args.device)?,
        Format::Gpx | Format::Csv | Format::Jsonl | Format::Geojson => {
            native_topic(&args.device, args.kind)?
        }
    };
    let text = read_text(&args.file).with_context(|| args.file.display().to_string())?;
    let text = text.trim_start_matches('\u{feff}');
    match format {
        Format::Gpx => gpx::read(text, &topic, accuracy_m),
        Format::Geojson => geojson::read(text, &topic, accuracy_m),
        Format::Csv => csv::read(text, &topic),
        Format::Owntracks => Ok(owntracks::read(text, &topic)),
        Format::Jsonl => Ok(jsonl::read(text, &topic)),
    }
    .with_context(|| args.file.display().to_string())
}

/// Reads text as each of the formats: what it says of what it cannot use does not matter.
#[cfg(fuzzing)]
pub fn fuzz(text: &str) {
    drop(gpx::read(text, "topic", 5.0));
    drop(geojson::read(text, "topic", 5.0));
    drop(csv::read(text, "topic"));
    drop(owntracks::read(text, "topic"));
    let lines = jsonl::read(text, "topic");
    lines.messages.iter().for_each(|message| drop(message.payload(86_400_000)));
}

fn format_of(args: &ReplayArgs) -> Result<Format> {
    let ending = args.file.extension().unwrap_or_default().to_ascii_lowercase();
    match (args.format, ending.to_str()) {
        (Some(format), _) => Ok(format),
        (None, Some("gpx")) => Ok(Format::Gpx),
        (None, Some("rec")) => Ok(Format::Owntracks),
        (None, Some("jsonl" | "ndjson")) => Ok(Format::Jsonl),
        (None, Some("geojson")) => Ok(Format::Geojson),
        (None, Some("csv")) => Ok(Format::Csv),
        (None, _) => bail!("{}: say what it is with --format", args.file.display()),
    }
}

fn read_text(file: &Path) -> Result<String> {
    let bytes = std::fs::metadata(file)?.len();
    ensure!(bytes <= MAX_FILE_BYTES, "larger than {MAX_FILE_BYTES} bytes: split it");
    std::fs::read_to_string(file).context("cannot be read as text: save it as UTF-8")
}

/// `telemetry/{kind}/{device}`
fn native_topic(device: &str, kind: Option<Kind>) -> Result<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    ensure!(
        (1..=64).contains(&device.len()) && device.bytes().all(is_allowed),
        "`{device}` is no device id: 1 to 64 letters, digits, `.`, `_`, `:` or `-`"
    );
    let prefix = device.split('-').next();
    let kinds = [Kind::Thermostat, Kind::Car, Kind::Tracker, Kind::Product];
    let by_name = kinds.into_iter().find(|kind| prefix == Some(kind.name()));
    let kind = kind.or(by_name).unwrap_or(Kind::Tracker);
    Ok(format!("telemetry/{}/{device}", kind.name()))
}

/// `owntracks/{user}/{device}`; the server knows the device as `{user}-{device}`.
fn owntracks_topic(device: &str) -> Result<String> {
    let (user, name) = device.split_once('/').unwrap_or(("replay", device));
    ensure!(
        !user.is_empty()
            && !name.is_empty()
            && !device.contains(['+', '#', '\0'])
            && !name.contains('/'),
        "`{device}` cannot be in an OwnTracks topic: give USER/DEVICE or DEVICE, without + and #"
    );
    Ok(format!("owntracks/{user}/{name}"))
}

fn tell_about(recording: &Recording) {
    let tell = |what: &str, notes: &Notes| {
        for note in &notes.first {
            eprintln!("{what}: {note}");
        }
        match notes.count - notes.first.len() {
            0 => {}
            more => eprintln!("{what}: and {more} more"),
        }
    };
    tell("unusable", &recording.unusable);
    tell("out of order", &recording.out_of_order);
}

fn summary(recording: &Recording, report: &Report) -> String {
    let seconds = report.took.as_secs_f64();
    let published = || recording.messages[..report.published].iter().map(|message| message.at_ms);
    let stamp = |at_ms: Option<i64>| {
        at_ms.map_or("none".to_owned(), |at_ms| rfc3339(at_ms.saturating_add(report.shift_ms)))
    };
    let rate = if seconds > 0.0 { report.acknowledged as f64 / seconds } else { 0.0 };
    format!(
        "points        {} ({} unusable, {} out of order, {} of other kinds)\n\
         published     {} ({} sent again)\n\
         acknowledged  {}\n\
         seconds       {seconds:.1} ({rate:.0} a second)\n\
         first time    {}\n\
         last time     {}",
        recording.messages.len() + recording.unusable.count,
        recording.unusable.count,
        recording.out_of_order.count,
        recording.skipped,
        report.published,
        report.resent,
        report.acknowledged,
        stamp(published().min()),
        stamp(published().max()),
    )
}
