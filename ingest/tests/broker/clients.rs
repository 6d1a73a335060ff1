//! Ordinary clients, of both versions on one port.

use std::time::Duration;

use ingest::broker::{Broker, Login};
use ingest::{Arrival, Clock};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::rig::{Rig, demo};
use crate::wire::{DEADLINE, Hello, PUBACK, hello};

fn start() -> (Broker, mpsc::Receiver<Arrival>, u16, Login) {
    let (sender, arrivals) = mpsc::channel(64);
    let decode = |_: &str, raw: &bytes::Bytes, _| {
        let (reason, detail) = (ingest::Reason::UnknownTopic, String::new());
        Err((None, ingest::Rejected { reason, detail, raw: raw.clone() })).into()
    };
    let broker = Broker::start(&demo(), decode, Clock::system(), sender).unwrap();
    let (port, login) = (broker.local_addr().port(), broker.internal_login().clone());
    (broker, arrivals, port, login)
}

async fn acknowledge_next(arrivals: &mut mpsc::Receiver<Arrival>) -> Arrival {
    let mut arrival = timeout(DEADLINE, arrivals.recv()).await.unwrap().unwrap();
    let (unused, _) = tokio::sync::oneshot::channel();
    std::mem::replace(&mut arrival.acknowledge, unused).send(()).unwrap();
    arrival
}

#[tokio::test]
async fn version_3_1_1_publishes_and_subscribes() {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
    let (_broker, mut arrivals, port, login) = start();
    let (device, mut device_events) =
        AsyncClient::new(MqttOptions::new("device", "127.0.0.1", port), 8);
    device.publish("telemetry/car/a", QoS::AtLeastOnce, false, "{}").await.unwrap();
    let acknowledged = async {
        while !matches!(device_events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {}
    };
    let ((), arrival) = tokio::join!(acknowledged, acknowledge_next(&mut arrivals));
    assert_eq!(&*arrival.payload, b"{}");

    let mut options = MqttOptions::new("sender", "127.0.0.1", port);
    options.set_credentials(login.username, login.password).set_keep_alive(Duration::from_secs(5));
    let (sender, mut events) = AsyncClient::new(options, 8);
    sender.subscribe("triggers/#", QoS::AtLeastOnce).await.unwrap();
    sender.publish("triggers/acme/travel/s", QoS::AtLeastOnce, false, "go").await.unwrap();
    let received = timeout(DEADLINE, async {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
                return publish.payload;
            }
        }
    });
    assert_eq!(received.await.unwrap(), "go");
}

#[tokio::test]
async fn version_5_publishes_and_subscribes() {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::Packet;
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};
    let (_broker, mut arrivals, port, login) = start();
    let (device, mut device_events) =
        AsyncClient::new(MqttOptions::new("device", "127.0.0.1", port), 8);
    device.publish("telemetry/car/a", QoS::ExactlyOnce, false, "{}").await.unwrap();
    let acknowledged = async {
        while !matches!(device_events.poll().await.unwrap(), Event::Incoming(Packet::PubComp(_))) {}
    };
    let ((), arrival) = tokio::join!(acknowledged, acknowledge_next(&mut arrivals));
    assert_eq!(&*arrival.payload, b"{}");

    let mut options = MqttOptions::new("sender", "127.0.0.1", port);
    options.set_credentials(login.username, login.password);
    let (sender, mut events) = AsyncClient::new(options, 8);
    sender.subscribe("triggers/#", QoS::AtLeastOnce).await.unwrap();
    sender.publish("triggers/acme/travel/s", QoS::AtLeastOnce, false, "go").await.unwrap();
    let received = timeout(DEADLINE, async {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
                return publish.payload;
            }
        }
    });
    assert_eq!(received.await.unwrap(), "go");
}

#[test]
fn a_subscriber_that_was_away_gets_what_it_missed() {
    let rig = Rig::start(&demo());
    for version in [4, 5] {
        let lasting = Hello { clean: false, ..hello(version, "insurer") };
        let mut subscriber = rig.connect(&lasting);
        assert_eq!(subscriber.subscribe("triggers/#"), 1);
        subscriber.disconnect();

        let mut sender = rig.internal("sender");
        for id in 1..=3 {
            sender.publish("triggers/acme/travel/s", &[id], 1, u16::from(id));
            sender.expect(PUBACK);
        }
        let mut subscriber = rig.connect(&lasting);
        for id in 1..=3 {
            assert_eq!(subscriber.message().1, [id]);
        }
        subscriber.disconnect();
        rig.connect(&hello(version, "insurer")).disconnect();
    }
}
