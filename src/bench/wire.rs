//! As much of MQTT 3.1.1 as a device and a subscriber need, so that the load costs little beside
//! what is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};

/// A server that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Message {
    /// When it should go out, whatever became of the others; its latency counts from then.
    pub(super) due: Option<Instant>,
    pub(super) topic: Arc<str>,
    pub(super) payload: Vec<u8>,
}

pub(super) struct Device {
    stream: TcpStream,
}

impl Device {
    pub(super) async fn connect(addr: SocketAddr, client_id: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(addr).await.with_context(|| {
            format!("cannot connect to {addr}; raise `ulimit -n` if files are short")
        })?;
        stream.set_nodelay(true)?;
        let mut body = b"\x00\x04MQTT\x04\x02\x00\x00".to_vec();
        put_text(&mut body, client_id);
        stream.write_all(&packet(0x10, &body)).await?;
        let mut answer = [0; 4];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await??;
        if answer != [0x20, 2, 0, 0] {
            bail!("{addr} refuses the connection: {answer:?}");
        }
        Ok(Self { stream })
    }

    /// Publishes at QoS 1, at most `window` ahead of their acknowledgements; returns how long each
    /// acknowledgement took. Acknowledgements come in order.
    pub(super) async fn publish(
        self,
        messages: impl Iterator<Item = Message> + Send,
        window: usize,
    ) -> Result<Vec<Duration>> {
        let (mut read, mut write) = self.stream.into_split();
        let room = Arc::new(Semaphore::new(window));
        // Never more than the window.
        let (sent, mut unacknowledged) = mpsc::unbounded_channel();
        let sender = async {
            for (number, message) in messages.enumerate() {
                if let Some(due) = message.due {
                    tokio::time::sleep_until(due.into()).await;
                }
                room.acquire().await?.forget();
                let frame = publish(&message, (number % 60_000) as u16 + 1);
                let from = message.due.unwrap_or_else(Instant::now);
                sent.send(from).context("nobody reads the acknowledgements")?;
                write.write_all(&frame).await?;
            }
            drop(sent);
            anyhow::Ok(())
        };
        let receiver = async {
            let mut took = Vec::new();
            while let Some(from) = unacknowledged.recv().await {
                let mut answer = [0; 4];
                let answered = tokio::time::timeout(PATIENCE, read.read_exact(&mut answer));
                answered.await.context("no acknowledgement came")??;
                if answer[..2] != [0x40, 2] {
                    bail!("{answer:?} is no acknowledgement");
                }
                took.push(from.elapsed());
                room.add_permits(1);
            }
            Ok(took)
        };
        let ((), took) = tokio::try_join!(sender, receiver)?;
        Ok(took)
    }

    /// Subscribes to `filter` at QoS 1; what comes goes to `take` until it says that it has enough,
    /// or `patience` is over.
    pub(super) async fn subscribe(
        mut self,
        filter: &str,
        patience: Duration,
        subscribed: tokio::sync::oneshot::Sender<()>,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<()> {
        let mut body = vec![0, 1];
        put_text(&mut body, filter);
        body.push(1);
        self.stream.write_all(&packet(0x82, &body)).await?;
        let mut subscribed = Some(subscribed);
        let listening = async {
            loop {
                let (kind, body) = self.read().await?;
                match kind >> 4 {
                    9 => {
                        if let Some(subscribed) = subscribed.take() {
                            subscribed.send(()).ok();
                        }
                    }
                    3 => {
                        let topic = body.first_chunk().map_or(0, |n| u16::from_be_bytes(*n));
                        let rest = body.get(2 + usize::from(topic)..).context("half a packet")?;
                        let (id, payload) = rest.split_at_checked(2).context("half a packet")?;
                        self.stream.write_all(&packet(0x40, id)).await?;
                        if take(payload) {
                            return anyhow::Ok(());
                        }
                    }
                    _ => {}
                }
            }
        };
        tokio::time::timeout(patience, listening).await.unwrap_or(Ok(()))
    }

    async fn read(&mut self) -> Result<(u8, Vec<u8>)> {
        let kind = self.stream.read_u8().await?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.stream.read_u8().await?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 || shift > 21 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok((kind, body))
    }
}

fn publish(message: &Message, id: u16) -> Vec<u8> {
    let mut body = Vec::with_capacity(message.topic.len() + message.payload.len() + 4);
    put_text(&mut body, &message.topic);
    body.extend(id.to_be_bytes());
    body.extend(&message.payload);
    packet(0x32, &body)
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    body.extend((text.len() as u16).to_be_bytes());
    body.extend(text.as_bytes());
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut length = body.len();
    loop {
        let more = if length > 127 { 0x80 } else { 0 };
        packet.push((length % 128) as u8 | more);
        length /= 128;
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}
