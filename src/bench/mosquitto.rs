//! The collector with everything on, against a bare subscriber that only decodes and
//! acknowledges: both drain the same queue of the same Mosquitto, one after the other.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ingest::collector::RECEIVE_MAXIMUM;
use ingest::source::Sources;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions};
use tokio::task::JoinSet;

use super::load::{reading, topic};
use super::report::{Report, Target};
use super::server::{NOON_MS, Server, processor_s};
use super::wait;
use super::wire::{Device, Message};

const SHIPPED: &str = include_str!("../../mosquitto/mosquitto.conf");

const CARS: usize = 100;

/// Messages a second of the run that are queued for each, so that draining takes about as long.
const QUEUED: f64 = 20_000.0;

/// Each begins once: what a disk or a neighbour does in the meantime hits both alike.
const ROUNDS: usize = 2;

pub(super) fn measure(span: Duration, report: &mut Report) -> Result<()> {
    let Some(program) = installed() else {
        report.leave_out(
            "collector on Mosquitto, against a bare subscriber",
            "mosquitto is not installed: apt-get install mosquitto",
        );
        return Ok(());
    };
    let queued = (QUEUED * span.as_secs_f64()).max(1_000.0) as usize;
    let dir = tempfile::tempdir()?;
    let mosquitto = Mosquitto::start(&program, dir.path())?;
    let (mut bare, mut collector) = (Drained::default(), Drained::default());
    // Both have to be known to the broker before anything is queued for them.
    wait(subscribe(mosquitto.addr))?;
    Server::start(dir.path(), &[("car-", CARS)], Some(mosquitto.addr))?.stop()?;
    for round in 0..ROUNDS {
        wait(fill(mosquitto.addr, queued, round))?;
        let turns: [(bool, &mut Drained); 2] = match round % 2 {
            0 => [(true, &mut bare), (false, &mut collector)],
            _ => [(false, &mut collector), (true, &mut bare)],
        };
        for (is_bare, drained) in turns {
            match is_bare {
                true => wait(drain_bare(mosquitto.addr, queued, drained))?,
                false => drain_collector(dir.path(), mosquitto.addr, queued, round, drained)?,
            }
        }
    }
    report.add("Mosquitto, bare subscriber", bare.rate(), "a second");
    report.add("Mosquitto, bare subscriber: processor time", bare.processor_us(), "µs a reading");
    report.add("Mosquitto, collector with everything on", collector.rate(), "a second");
    report.add("Mosquitto, collector: processor time", collector.processor_us(), "µs a reading");
    let share = collector.rate() / bare.rate() * 100.0;
    report.add_for(
        "Mosquitto, collector against bare subscriber",
        share,
        "%",
        Target::AtLeast(60.0),
    );
    Ok(())
}

#[derive(Default)]
struct Drained {
    readings: f64,
    seconds: f64,
    processor_s: f64,
}

impl Drained {
    fn rate(&self) -> f64 {
        self.readings / self.seconds.max(1e-3)
    }

    fn processor_us(&self) -> f64 {
        self.processor_s * 1e6 / self.readings.max(1.0)
    }
}

fn installed() -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian's is in the path of root only.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join("mosquitto"))
        .find(|program| program.is_file())
}

struct Mosquitto {
    child: Child,
    addr: SocketAddr,
}

impl Mosquitto {
    /// As it ships, but for the port and the folder.
    fn start(program: &Path, dir: &Path) -> Result<Self> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = SHIPPED
            .replace("listener 1883 ", &format!("listener {} ", addr.port()))
            .replace("/var/lib/mosquitto/", &format!("{}/", dir.display()));
        let file = dir.join("mosquitto.conf");
        // Started by root it would become a user that may not write here.
        std::fs::write(&file, config + "\nuser root\n")?;
        let mut command = Command::new(program);
        command.arg("-c").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
        let mosquitto = Self { child: command.spawn()?, addr };
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(addr).is_err() {
            if Instant::now() > deadline {
                bail!("mosquitto does not listen; start it by hand to see why");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(mosquitto)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Publishes what is to be drained, `round` after `round` later in the day.
async fn fill(broker: SocketAddr, queued: usize, round: usize) -> Result<()> {
    const CONNECTIONS: usize = 10;
    let mut publishing = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let device = Device::connect(broker, &format!("gateway-{connection}")).await?;
        let messages = (connection..queued).step_by(CONNECTIONS).map(move |at| {
            let (car, seq) = (at % CARS, round * queued / CARS + at / CARS);
            // Behind the server's clock, and never two at once.
            let time_ms = NOON_MS - 3_600_000 + seq as i64 * 100;
            Message { due: None, topic: topic("car-", car), payload: reading(car, time_ms, seq) }
        });
        publishing.spawn(device.publish(messages, 100));
    }
    while let Some(done) = publishing.join_next().await {
        done.context("a publisher panicked")??;
    }
    Ok(())
}

/// With room for `acknowledgements` on their way: the library writes one for every ten messages it
/// reads, when there is something to be read.
fn bare_client(broker: SocketAddr, acknowledgements: usize) -> (AsyncClient, EventLoop) {
    let mut mqtt = MqttOptions::new("bare", broker.ip().to_string(), broker.port());
    mqtt.set_clean_start(false);
    mqtt.set_session_expiry_interval(Some(3_600));
    mqtt.set_receive_maximum(Some(RECEIVE_MAXIMUM.get()));
    mqtt.set_manual_acks(true);
    mqtt.set_outgoing_inflight_upper_limit(10);
    let mut network = rumqttc::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    mqtt.set_network_options(network);
    AsyncClient::new(mqtt, acknowledgements + 10)
}

async fn next(eventloop: &mut EventLoop) -> Result<Incoming> {
    loop {
        if let Event::Incoming(packet) = eventloop.poll().await? {
            return Ok(packet);
        }
    }
}

async fn subscribe(broker: SocketAddr) -> Result<()> {
    let (client, mut eventloop) = bare_client(broker, 0);
    client.subscribe("telemetry/#", QoS::AtLeastOnce).await?;
    while !matches!(next(&mut eventloop).await?, Incoming::SubAck(_)) {}
    Ok(())
}

async fn drain_bare(broker: SocketAddr, queued: usize, drained: &mut Drained) -> Result<()> {
    let (client, mut eventloop) = bare_client(broker, queued);
    let sources = Sources::default();
    let processor_before = processor_s(std::process::id())?;
    let (mut count, mut began) = (0, Instant::now());
    while count < queued {
        if let Incoming::Publish(publish) = next(&mut eventloop).await? {
            if count == 0 {
                began = Instant::now();
            }
            let topic = String::from_utf8_lossy(&publish.topic);
            if sources.decode(&topic, &publish.payload, NOON_MS).is_err() {
                bail!("the bare subscriber cannot decode what was published");
            }
            client.try_ack(&publish)?;
            count += 1;
        }
    }
    drained.seconds += began.elapsed().as_secs_f64();
    drained.readings += queued as f64;
    drained.processor_s += processor_s(std::process::id())? - processor_before;
    // What is acknowledged has to get there, or it comes again in the next round.
    client.try_disconnect()?;
    while eventloop.poll().await.is_ok() {}
    Ok(())
}

fn drain_collector(
    dir: &Path,
    broker: SocketAddr,
    queued: usize,
    round: usize,
    drained: &mut Drained,
) -> Result<()> {
    let server = Server::start(dir, &[("car-", CARS)], Some(broker))?;
    let all = (queued * (round + 1)) as u64;
    // It began while it started: what came until now is not counted.
    let (before, processor_before, began) =
        (server.stored()?, server.processor_s()?, Instant::now());
    let mut heard = Instant::now();
    let mut stored = before;
    while stored < all {
        // Asking costs what is measured something, too.
        std::thread::sleep(Duration::from_millis(20));
        let now = server.stored()?;
        if now > stored {
            (stored, heard) = (now, Instant::now());
        } else if heard.elapsed() > STUCK {
            bail!("the collector has stored {stored} of {all} readings and no more");
        }
    }
    drained.seconds += began.elapsed().as_secs_f64();
    drained.readings += (all - before.min(all)) as f64;
    drained.processor_s += server.processor_s()? - processor_before;
    server.stop()
}

const STUCK: Duration = Duration::from_secs(30);
