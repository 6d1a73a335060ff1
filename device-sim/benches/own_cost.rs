//! What the simulator costs: its rate on one connection at QoS 1 against a bare loop over rumqttc
//! with the same payloads, made beforehand, in turns, to a broker that only acknowledges.
//!
//!     cargo bench -p device-sim --bench own_cost
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use device_sim::{Broker, Fleet, Kind, Mix, Options, Protocol, Rate};
use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, Packet, PingResp, PubAck};
use rumqttc::{AsyncClient, Event, MqttOptions, QoS};

const WINDOW: u16 = 100;
const EACH: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;

fn main() {
    let broker = broker();
    let payloads = payloads();
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let (bare, ours) = (bare_per_s(broker, &payloads), simulator_per_s(broker));
        println!("{round}: bare rumqttc {bare:.0}/s, device-sim {ours:.0}/s, {:.2}", ours / bare);
        ratios.push(ours / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2} (at least 0.80)", ratios[ROUNDS / 2]);
}

/// A broker that only acknowledges.
fn broker() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (mut buffer, mut chunk) = (BytesMut::new(), vec![0; 64 * 1024]);
    loop {
        let length = stream.read(&mut chunk).ok().filter(|&length| length > 0)?;
        buffer.extend_from_slice(&chunk[..length]);
        let mut answer = BytesMut::new();
        while let Ok(packet) = Packet::read(&mut buffer, 1 << 20) {
            match packet {
                Packet::Connect(_) => {
                    ConnAck::new(ConnectReturnCode::Success, false).write(&mut answer).ok()?;
                }
                Packet::Publish(publish) => {
                    PubAck::new(publish.pkid).write(&mut answer).ok()?;
                }
                Packet::PingReq => {
                    PingResp.write(&mut answer).ok()?;
                }
                _ => {}
            }
        }
        stream.write_all(&answer).ok()?;
    }
}

fn fleet() -> Fleet {
    Fleet::load(Kind::Car, 100, "bench-car-", Rate::Max, 1)
}

fn payloads() -> Vec<(String, Bytes)> {
    let mut fleet = fleet();
    fleet.start(1_768_867_200_000);
    let messages = (0..20_000).map(|n| fleet.next(n * 50).unwrap());
    messages.map(|message| (message.topic.to_string(), message.payload.into())).collect()
}

#[tokio::main]
async fn bare_per_s(broker: SocketAddr, payloads: &[(String, Bytes)]) -> f64 {
    let mut options = MqttOptions::new("bare", broker.ip().to_string(), broker.port());
    options.set_inflight(WINDOW);
    let (client, mut events) = AsyncClient::new(options, WINDOW.into());
    let mut acknowledged = 0u64;
    let mut waiting = payloads.iter().cycle().peekable();
    let start = Instant::now();
    while start.elapsed() < EACH {
        while let Some((topic, payload)) = waiting.peek()
            && client.try_publish(topic, QoS::AtLeastOnce, false, payload.clone()).is_ok()
        {
            waiting.next();
        }
        if let Event::Incoming(rumqttc::Packet::PubAck(_)) = events.poll().await.unwrap() {
            acknowledged += 1;
        }
    }
    acknowledged as f64 / start.elapsed().as_secs_f64()
}

#[tokio::main]
async fn simulator_per_s(broker: SocketAddr) -> f64 {
    let (host, port) = (broker.ip().to_string(), broker.port());
    let mut options = Options::new(Broker { host, port, tls: false });
    options.protocol = Mix::all(Protocol::V3_1_1);
    options.connections = 1;
    options.window = WINDOW;
    options.duration = Some(EACH);
    device_sim::run(fleet(), options, std::future::pending()).await.acknowledged_per_s
}
