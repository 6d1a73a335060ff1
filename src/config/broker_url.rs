//! Where a broker listens.

use std::str::FromStr;

/// From `mqtt://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerUrl {
    /// A name or address; an IPv6 address in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if url.starts_with("mqtts://") {
            return Err("TLS is not supported here: use mqtt:// through a local broker or tunnel"
                .to_owned());
        }
        let rest = url.strip_prefix("mqtt://").ok_or("begin with mqtt://")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| format!("`{port}` is no port: give 1 to 65535"))?)
            }
            _ => (rest, 1883),
        };
        if host.is_empty() || host.contains(['/', '@', '?']) || port == 0 {
            return Err(
                "give mqtt://HOST:PORT; the login goes into username and password_file".to_owned()
            );
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for BrokerUrl {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "mqtt://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::BrokerUrl;

    #[test]
    fn brokers_that_make_no_sense_are_refused() {
        for url in ["127.0.0.1", "mqtts://h", "mqtt://", "mqtt://u:p@h", "mqtt://h:0", "mqtt://h:x"]
        {
            assert!(url.parse::<BrokerUrl>().is_err(), "{url}");
        }
        assert_eq!(
            "mqtt://[::1]:1884".parse(),
            Ok(BrokerUrl { host: "[::1]".to_owned(), port: 1884 })
        );
        assert_eq!("mqtt://[::1]".parse(), Ok(BrokerUrl { host: "[::1]".to_owned(), port: 1883 }));
    }
}
