//! A broker that does just what a test tells it to.

use std::time::Duration;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::Error;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Packet, PingResp, PubAck, PubAckReason, Publish,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longer than anything here takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Peer {
    socket: TcpStream,
    read: BytesMut,
}

impl Peer {
    /// Waits for a client, and for `patience` before it is welcome.
    pub(crate) async fn accept(listener: &TcpListener, patience: Duration) -> Self {
        let (socket, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
        let mut peer = Self { socket, read: BytesMut::new() };
        assert!(matches!(peer.packet().await, Some(Packet::Connect(..))));
        tokio::time::sleep(patience).await;
        let code = ConnectReturnCode::Success;
        peer.write(Packet::ConnAck(ConnAck { session_present: false, code, properties: None }))
            .await;
        peer
    }

    async fn write(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).unwrap();
        // A client that has gone meanwhile is not what a test is about.
        self.socket.write_all(&bytes).await.ok();
    }

    async fn packet(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.read, None) {
                Ok(packet) => return Some(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("{error}"),
            }
            let read = timeout(DEADLINE, self.socket.read_buf(&mut self.read)).await.unwrap();
            if read.ok()? == 0 {
                return None;
            }
        }
    }

    /// The next message; `None` when the client has gone.
    pub(crate) async fn publish(&mut self) -> Option<Publish> {
        loop {
            match self.packet().await? {
                Packet::Publish(publish) => return Some(publish),
                Packet::PingReq(_) => self.write(Packet::PingResp(PingResp)).await,
                _ => {}
            }
        }
    }

    /// The next trigger: its packet and its id.
    pub(crate) async fn trigger(&mut self) -> Option<(u16, String)> {
        loop {
            let publish = self.publish().await?;
            if publish.topic.starts_with(b"triggers/") {
                let body: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap();
                return Some((publish.pkid, body["id"].as_str().unwrap().to_owned()));
            }
        }
    }

    pub(crate) async fn acknowledge(&mut self, packet: u16, reason: PubAckReason) {
        self.write(Packet::PubAck(PubAck { pkid: packet, reason, properties: None })).await;
    }
}
