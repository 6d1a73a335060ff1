//! Where the broker is.

use std::fmt;
use std::str::FromStr;

/// A broker's address, written `mqtt://host:port`, or `mqtts://` for TLS. The port may be left
/// out: 1883, with TLS 8883.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Why a text is no broker address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    #[error(
        "{0:?} begins with neither mqtt:// nor mqtts://, write for example mqtt://127.0.0.1:1883"
    )]
    NotMqtt(String),
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
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| BrokerError::NotMqtt(text.into()))?;
        let (tls, default_port) = match scheme {
            "mqtt" | "tcp" => (false, "1883"),
            "mqtts" | "ssl" => (true, "8883"),
            _ => return Err(BrokerError::NotMqtt(text.into())),
        };
        let rest = rest.trim_end_matches('/');
        if rest.contains(['@', '/', '?']) {
            return Err(BrokerError::TooMuch);
        }
        // An IPv6 address keeps its brackets: the resolver wants them too.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (rest, default_port),
        };
        if host.is_empty() {
            return Err(BrokerError::NoHost(text.into()));
        }
        match port.parse() {
            Ok(port) if port > 0 => Ok(Self { host: host.into(), port, tls }),
            _ => Err(BrokerError::BadPort(port.into())),
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
        assert_eq!(ok("mqtts://broker.example"), ("broker.example".into(), 8883));
        let wrong = |text: &str| text.parse::<Broker>().unwrap_err();
        assert_eq!(wrong("localhost:1883"), BrokerError::NotMqtt("localhost:1883".into()));
        assert_eq!(wrong("http://a"), BrokerError::NotMqtt("http://a".into()));
        assert_eq!(wrong("mqtt://:1883"), BrokerError::NoHost("mqtt://:1883".into()));
        assert_eq!(wrong("mqtt://a:0"), BrokerError::BadPort("0".into()));
        assert_eq!(wrong("mqtt://me:secret@a"), BrokerError::TooMuch);
    }
}
