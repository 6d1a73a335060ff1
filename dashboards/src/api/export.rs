//! `/v1/customers/{id}/export`: all that is known of a customer, in one ZIP that people and
//! programs can read. It is written while it is sent: a long history never is in memory.

use std::io::{self, Write};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use enrich::registry::Span;
use journal::{QuarantineFilter, ReadError, Reader};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::registry::{Known, known, path};
use crate::Site;
use crate::problem::Problem;
use crate::wire::{Wire, moment};

/// Pieces that wait for a slow reader, of [`PIECE`] bytes each.
const PIECES: usize = 16;
const PIECE: usize = 64 << 10;

/// Rows of a device's quarantine at once.
const QUARANTINED: usize = 100;

const README: &str = "What is known about you, as of the moment this was asked for.

customer.json      who you are here, your devices, contracts, consents and geofences
consents.csv       each consent: to whom, for what, in which wording, from when to when
readings/*.jsonl   what each of your devices reported, one reading a line, with time and place
events.json        what was noticed in it
triggers.json      who was told what, why, and all the evidence it was based on
reports.json       what insurers reported of you: claims, booked trips, how you took what you were told
quarantine.json    what your devices sent that could not be used
";

pub(crate) async fn export(
    State(site): State<Arc<Site>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let (number, known) = known(&site, &path(id)?)?;
    Ok(zipped(&site, number, known))
}

pub(crate) fn zipped(site: &Site, number: u32, known: Known) -> Response {
    let (pieces, sent) = mpsc::channel(PIECES);
    let reader = site.app.reader.clone();
    tokio::task::spawn_blocking(move || {
        let out = Pieces { pieces, piece: Vec::with_capacity(PIECE) };
        if let Err(error) = write(out, &reader, number, &known) {
            tracing::warn!(%error, "an export was cut short");
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/zip"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"datanaut-export.zip\""),
    ];
    (headers, Body::from_stream(ReceiverStream::new(sent))).into_response()
}

fn write(out: Pieces, reader: &Reader, number: u32, known: &Known) -> io::Result<()> {
    let mut zip = ZipWriter::new_stream(out);
    file(&mut zip, "README.txt")?;
    zip.write_all(README.as_bytes())?;
    document(&mut zip, "customer.json", known)?;
    file(&mut zip, "consents.csv")?;
    writeln!(zip, "insurer,purpose,wording,given,withdrawn")?;
    for consent in &known.consents {
        let (entry, held) = (&consent.entry, &consent.held);
        let to = held.to.map(|to| to.to_string()).unwrap_or_default();
        let wording = quoted(&entry.wording);
        writeln!(zip, "{},{},{wording},{},{to}", entry.insurer, entry.purpose.name(), held.from)?;
    }
    for device in &known.devices {
        file(&mut zip, &format!("readings/{}.jsonl", device.device))?;
        let mut outcome = Ok(());
        let theirs = |time_ms| device.spans.iter().any(|span: &Span| span.holds(time_ms));
        let walked = reader.each_reading(device.number, |reading| {
            if theirs(reading.time_ms) && outcome.is_ok() {
                outcome = line(&mut zip, &Wire(reading));
            }
            outcome.is_ok()
        });
        outcome?;
        walked.map_err(io::Error::other)?;
    }
    let events = each(known, |device| {
        let rows = reader.events(device.number)?;
        let theirs = rows
            .into_iter()
            .filter(|row| device.spans.iter().any(|span| span.holds(row.event.cause.time_ms)));
        Ok(theirs.map(|row| json!({
            "device": device.device, "event": row.event, "revision": row.revision, "withdrawn": row.withdrawn,
        })).collect())
    });
    document(&mut zip, "events.json", &events.map_err(io::Error::other)?)?;
    let told = reader.told_of(number).map_err(io::Error::other)?;
    let told: Vec<_> = told.into_iter().map(|(row, evidence)| json!({
        "insurer": row.insurer, "product": row.product, "status": row.status, "outcome": row.outcome,
        "message": row.body, "evidence": serde_json::from_str::<serde_json::Value>(&evidence).ok(),
    })).collect();
    document(&mut zip, "triggers.json", &told)?;
    let reports = reader.reports_of(number).map_err(io::Error::other)?;
    let reports: Vec<_> = reports.into_iter().map(|row| json!({
        "insurer": row.insurer, "legal_basis": "contract", "received_at": moment(row.received_ms),
        "reported": row.report,
    })).collect();
    document(&mut zip, "reports.json", &reports)?;
    let quarantined = each(known, |device| quarantined(reader, device));
    document(&mut zip, "quarantine.json", &quarantined.map_err(io::Error::other)?)?;
    zip.finish()?.into_inner().flush()
}

fn each(
    known: &Known,
    of: impl Fn(&super::registry::Owned) -> Result<Vec<serde_json::Value>, ReadError>,
) -> Result<Vec<serde_json::Value>, ReadError> {
    let mut all = Vec::new();
    for device in &known.devices {
        all.extend(of(device)?);
    }
    Ok(all)
}

fn quarantined(
    reader: &Reader,
    device: &super::registry::Owned,
) -> Result<Vec<serde_json::Value>, ReadError> {
    let mut filter =
        QuarantineFilter { device: Some(device.number), ..QuarantineFilter::default() };
    let mut all = Vec::new();
    loop {
        let rows = reader.quarantine(filter, QUARANTINED)?;
        filter.before = rows.last().map(|row| row.number);
        let more = rows.len() == QUARANTINED;
        let theirs = rows
            .into_iter()
            .filter(|row| device.spans.iter().any(|span| span.holds(row.received_ms)));
        all.extend(theirs.map(|row| json!({
            "device": device.device, "received_at": moment(row.received_ms), "reason": row.reason,
            "detail": row.detail, "topic": row.topic,
            "payload": String::from_utf8_lossy(&row.payload),
        })));
        if !more {
            return Ok(all);
        }
    }
}

type Zip = ZipWriter<zip::write::StreamWriter<Pieces>>;

fn file(zip: &mut Zip, name: &str) -> io::Result<()> {
    zip.start_file(name, SimpleFileOptions::default().large_file(true)).map_err(io::Error::other)
}

fn document(zip: &mut Zip, name: &str, what: &impl Serialize) -> io::Result<()> {
    file(zip, name)?;
    serde_json::to_writer_pretty(&mut *zip, what).map_err(io::Error::other)?;
    zip.write_all(b"\n")
}

fn line(zip: &mut Zip, what: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *zip, what).map_err(io::Error::other)?;
    zip.write_all(b"\n")
}

/// A field of CSV that may hold anything.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Sends what is written, piece by piece, as fast as it is read at the other end.
struct Pieces {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody reads it any more");
        self.pieces.blocking_send(Ok(piece.into())).map_err(gone)
    }
}
