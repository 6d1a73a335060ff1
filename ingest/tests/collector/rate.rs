//! How fast the collector is. A measurement, not a test:
//! `cargo test --release -p ingest --features collector --test collector -- --ignored --nocapture`

use std::time::{Duration, Instant};

use bytes::Bytes;
use ingest::source::Sources;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions};

use crate::rig::{Mosquitto, Rig, options, publish};

const READINGS: u64 = 200_000;
const TOPIC: &str = "telemetry/car/car-1";

#[test]
#[ignore = "a measurement"]
fn draining_a_queue_against_a_subscriber_that_only_decodes_and_acknowledges() {
    for round in 1..=3 {
        let (bare, collector) = (bare(), collector());
        let share = collector / bare * 100.0;
        println!("{round}: bare {bare:.0}/s, collector {collector:.0}/s: {share:.0} %");
    }
}

fn collector() -> f64 {
    let mosquitto = Mosquitto::start();
    let mut rig = Rig::start(&[options(mosquitto.addr)]);
    rig.collecting();
    drop(rig.drop_connections());
    publish(&mut mosquitto.publisher(), TOPIC, 0..READINGS);
    let started = Instant::now();
    let rig = Rig::start(&[options(mosquitto.addr)]);
    let (runtime, mut arrivals) = rig.into_pipeline();
    runtime.block_on(async {
        let (mut count, mut batch) = (0, Vec::new());
        while count < READINGS {
            arrivals.recv_many(&mut batch, 5_000).await;
            count += batch.len() as u64;
            for arrival in batch.drain(..) {
                arrival.acknowledge.send(()).ok();
            }
        }
    });
    READINGS as f64 / started.elapsed().as_secs_f64()
}

fn bare() -> f64 {
    let mosquitto = Mosquitto::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let connect = || {
        let mut mqtt = MqttOptions::new("bare", "127.0.0.1", mosquitto.addr.port());
        mqtt.set_clean_start(false);
        mqtt.set_session_expiry_interval(Some(3_600));
        mqtt.set_receive_maximum(Some(2_000));
        mqtt.set_manual_acks(true);
        AsyncClient::new(mqtt, 65_535)
    };
    async fn next(eventloop: &mut EventLoop) -> Incoming {
        loop {
            if let Event::Incoming(packet) = eventloop.poll().await.unwrap() {
                return packet;
            }
        }
    }
    runtime.block_on(async {
        let (client, mut eventloop) = connect();
        client.subscribe("telemetry/#", QoS::AtLeastOnce).await.unwrap();
        while !matches!(next(&mut eventloop).await, Incoming::SubAck(_)) {}
    });
    publish(&mut mosquitto.publisher(), TOPIC, 0..READINGS);
    let started = Instant::now();
    runtime.block_on(async {
        let (client, mut eventloop) = connect();
        let sources = Sources::default();
        let mut count = 0;
        while count < READINGS {
            if let Incoming::Publish(publish) = next(&mut eventloop).await {
                let payload: Bytes = publish.payload.clone();
                assert!(sources.decode(TOPIC, &payload, 1_790_000_000_000).is_ok());
                client.try_ack(&publish).unwrap();
                count += 1;
            }
        }
    });
    READINGS as f64 / started.elapsed().max(Duration::from_millis(1)).as_secs_f64()
}
