//! Which broker, how to talk to it, and for how long.

use std::fs::File;
use std::str::FromStr;
use std::time::Duration;

/// A broker's address, written `mqtt://host:port` (the port may be left out: 1883).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub host: String,
    pub port: u16,
}

/// Why a text is no broker address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    #[error("{0:?} does not begin with mqtt://, write for example mqtt://127.0.0.1:1883")]
    NotMqtt(String),
    #[error("TLS is not built in, use mqtt:// (through a TLS proxy if need be)")]
    Tls,
    #[error("{0:?} names no host, write for example mqtt://127.0.0.1:1883")]
    NoHost(String),
    #[error("{0:?} is no port number, write one from 1 to 65535")]
    BadPort(String),
    #[error("an address has neither user nor path, give the login with --username and --password")]
    TooMuch,
}

impl FromStr for Broker {
    type Err = BrokerError;

    fn from_str(text: &str) -> Result<Self, BrokerError> {
        if text.starts_with("mqtts://") || text.starts_with("ssl://") {
            return Err(BrokerError::Tls);
        }
        let rest = text.strip_prefix("mqtt://").or(text.strip_prefix("tcp://"));
        let rest = rest.ok_or_else(|| BrokerError::NotMqtt(text.into()))?.trim_end_matches('/');
        if rest.contains(['@', '/', '?']) {
            return Err(BrokerError::TooMuch);
        }
        // An IPv6 address keeps its brackets: the resolver wants them too.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (rest, "1883"),
        };
        if host.is_empty() {
            return Err(BrokerError::NoHost(text.into()));
        }
        match port.parse() {
            Ok(port) if port > 0 => Ok(Self { host: host.into(), port }),
            _ => Err(BrokerError::BadPort(port.into())),
        }
    }
}

/// The version of MQTT to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    V3_1_1,
    V5,
}

/// How sure the delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnce,
}

/// As whom the connections log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Each as its device: the username is the device's id. A connection that several devices
    /// share logs in without a name.
    Device {
        password: Option<String>,
    },
    Anonymous,
    /// All as the same user.
    User {
        name: String,
        password: String,
    },
}

/// How [`run`](crate::run) publishes.
#[derive(Debug)]
pub struct Options {
    pub broker: Broker,
    pub protocol: Protocol,
    pub qos: Qos,
    pub login: Login,
    /// At most so many connections; a fleet of more devices shares them.
    pub connections: usize,
    /// At most so many messages of a connection wait for their acknowledgement, 1 to 100.
    /// More would cost memory and may be above what the broker receives at once.
    pub window: u16,
    /// Publish for so long (until told to stop, if `None`).
    pub duration: Option<Duration>,
    /// Then wait so long for what is still to be sent or acknowledged.
    pub drain: Duration,
    /// The schedule starts when all connections are up, or so long after the first. If there is
    /// a duration and no connection after so long, the run ends without having begun.
    pub settle: Duration,
    /// Gets a line `device ts seq` for each message once its acknowledgement has arrived.
    pub acked: Option<File>,
    /// Log the progress this often.
    pub progress: Option<Duration>,
}

impl Options {
    /// MQTT 5, QoS 1, a connection for each of up to 1,000 devices, until told to stop.
    #[must_use]
    pub fn new(broker: Broker) -> Self {
        Self {
            broker,
            protocol: Protocol::V5,
            qos: Qos::AtLeastOnce,
            login: Login::Device { password: None },
            connections: 1_000,
            window: 50,
            duration: None,
            drain: Duration::from_secs(10),
            settle: Duration::from_secs(2),
            acked: None,
            progress: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Broker, BrokerError};

    #[test]
    fn addresses_are_read_and_wrong_ones_say_what_to_do() {
        let ok = |text: &str| {
            let broker: Broker = text.parse().unwrap();
            (broker.host, broker.port)
        };
        assert_eq!(ok("mqtt://127.0.0.1:1884"), ("127.0.0.1".into(), 1884));
        assert_eq!(ok("mqtt://broker.example/"), ("broker.example".into(), 1883));
        assert_eq!(ok("mqtt://[::1]:1884"), ("[::1]".into(), 1884));
        assert_eq!(ok("mqtt://[::1]"), ("[::1]".into(), 1883));
        let wrong = |text: &str| text.parse::<Broker>().unwrap_err();
        assert_eq!(wrong("localhost:1883"), BrokerError::NotMqtt("localhost:1883".into()));
        assert_eq!(wrong("mqtts://a"), BrokerError::Tls);
        assert_eq!(wrong("mqtt://:1883"), BrokerError::NoHost("mqtt://:1883".into()));
        assert_eq!(wrong("mqtt://a:0"), BrokerError::BadPort("0".into()));
        assert_eq!(wrong("mqtt://me:secret@a"), BrokerError::TooMuch);
    }
}
