//! Which broker, how to talk to it, and for how long.

use std::fmt;
use std::fs::File;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::broker::Broker;
use crate::faults::Faults;
use crate::progress::Show;
use crate::transport::Tls;
use crate::truth::Truth;

/// The version of MQTT to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    V3_1_1,
    V5,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3_1_1 => "3.1.1",
            Self::V5 => "5",
        })
    }
}

impl FromStr for Protocol {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        match text {
            "5" => Ok(Self::V5),
            "3.1.1" => Ok(Self::V3_1_1),
            _ => Err(MixError(text.into(), "5 or 3.1.1")),
        }
    }
}

/// How sure the delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnce,
}

impl fmt::Display for Qos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtMostOnce => "0",
            Self::AtLeastOnce => "1",
            Self::ExactlyOnce => "2",
        })
    }
}

impl FromStr for Qos {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        match text {
            "0" => Ok(Self::AtMostOnce),
            "1" => Ok(Self::AtLeastOnce),
            "2" => Ok(Self::ExactlyOnce),
            _ => Err(MixError(text.into(), "0, 1 or 2")),
        }
    }
}

/// One thing, or several by their shares: `1`, or `1=9,2=1` for nine in ten and one in ten.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix<T>(Vec<(T, f64)>);

/// Why a text is no mix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not {1}, alone or with shares as in a=9,b=1")]
pub struct MixError(pub(crate) String, pub(crate) &'static str);

impl<T: Copy> Mix<T> {
    #[must_use]
    pub fn all(only: T) -> Self {
        Self(vec![(only, 1.0)])
    }

    pub(crate) fn pick(&self, rng: &mut fastrand::Rng) -> T {
        // A mix is never empty.
        let mut at = if self.0.len() > 1 {
            rng.f64() * self.0.iter().map(|(_, share)| share).sum::<f64>()
        } else {
            0.0
        };
        for &(what, share) in &self.0 {
            if at < share {
                return what;
            }
            at -= share;
        }
        self.0[self.0.len() - 1].0
    }
}

impl<T: fmt::Display> fmt::Display for Mix<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [(only, _)] => only.fmt(f),
            several => {
                let parts: Vec<_> =
                    several.iter().map(|(what, share)| format!("{what}={share}")).collect();
                f.write_str(&parts.join(","))
            }
        }
    }
}

impl<T: FromStr<Err = MixError>> FromStr for Mix<T> {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut parts = Vec::new();
        for part in text.split(',') {
            let (what, share) = part.split_once('=').unwrap_or((part, "1"));
            let what = what.trim().parse()?;
            match share.trim().parse::<f64>() {
                Ok(share) if share.is_finite() && share > 0.0 => parts.push((what, share)),
                _ => return Err(MixError(share.into(), "a share above 0")),
            }
        }
        Ok(Self(parts))
    }
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

/// What a clock showed, in milliseconds since 1970, and when that was.
#[derive(Clone, Copy, Debug)]
pub struct ClockStart {
    pub ms: i64,
    pub instant: Instant,
}

/// Which part of a fleet, written `0/4` for the first of four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub index: usize,
    pub of: usize,
}

impl FromStr for Part {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, of)) if index < of => Ok(Self { index, of }),
            _ => Err("a part is written 0/4, for the first of four"),
        }
    }
}

/// Holds back the schedule, so that several processes begin it together.
#[derive(Debug)]
pub struct Gate {
    /// Told when the connections are up.
    pub ready: oneshot::Sender<()>,
    /// Tells when to begin.
    pub go: oneshot::Receiver<()>,
}

/// New connections a second: brokers let in only so many newcomers at a time, Datanaut's 4,096 in 10 s.
pub(crate) const CONNECT_RATE: f64 = 350.0;

/// How [`run`](crate::run) publishes.
#[derive(Debug)]
pub struct Options {
    pub broker: Broker,
    /// For `mqtts://`; a broker with TLS is not connected to without.
    pub tls: Option<Tls>,
    /// Drawn for each connection.
    pub protocol: Mix<Protocol>,
    /// Drawn for each message.
    pub qos: Mix<Qos>,
    pub login: Login,
    /// Connections that several devices share have this and a number as client id.
    pub client_prefix: String,
    /// Connect from these addresses in turn: one address has some 28,000 ports to connect from.
    /// If empty, the system chooses.
    pub sources: Vec<IpAddr>,
    /// At most so many connections; a fleet of more devices shares them.
    pub connections: usize,
    /// So many a second come up; who was up before comes back at once.
    pub connect_rate: f64,
    /// At most so many messages of a connection wait for their acknowledgement, 1 to 100.
    /// More would cost memory and may be above what the broker receives at once.
    pub window: u16,
    pub faults: Faults,
    /// The same seed draws the same faults.
    pub seed: u64,
    /// Publish for so long (until told to stop, if `None`).
    pub duration: Option<Duration>,
    /// Then wait so long for what is still to be sent or acknowledged.
    pub drain: Duration,
    /// The schedule starts when all connections are up, or so long after all have had their turn. If there is
    /// a duration and no connection after so long, the run ends without having begun.
    pub settle: Duration,
    /// What the fleet's clock shows; the time of day, if `None`.
    pub clock_start: Option<ClockStart>,
    /// It runs so many times as fast as time does.
    pub clock_speed: f64,
    /// What was due before counts in no latency.
    pub warm_up: Duration,
    /// Wait with the schedule until told, when the connections are up.
    pub gate: Option<Gate>,
    /// Gets what happens to the fleet and ought to be noticed.
    pub ledger: Option<File>,
    /// What will happen in any case, for the ledger.
    pub planned: Vec<Truth>,
    /// The same is kept for the [`Run`](crate::Run).
    pub keep_truths: bool,
    /// Gets a line `device ts seq` for each message once its acknowledgement has arrived.
    pub acked: Option<File>,
    /// Who is told how it goes.
    pub progress: Show,
}

impl Options {
    /// The same broker and login, for another client.
    pub(crate) fn connect_only(&self) -> Self {
        let mut options = Self::new(self.broker.clone());
        options.tls = self.tls.clone();
        options.login = self.login.clone();
        options.protocol = Mix::all(self.best_protocol());
        options
    }

    /// For a client that is alone: MQTT 5, where that is spoken at all.
    pub(crate) fn best_protocol(&self) -> Protocol {
        let v5 = self.protocol.0.iter().any(|(protocol, _)| *protocol == Protocol::V5);
        if v5 { Protocol::V5 } else { Protocol::V3_1_1 }
    }

    /// MQTT 5, QoS 1, a connection for each of up to 1,000 devices, until told to stop.
    #[must_use]
    pub fn new(broker: Broker) -> Self {
        Self {
            broker,
            tls: None,
            protocol: Mix::all(Protocol::V5),
            qos: Mix::all(Qos::AtLeastOnce),
            client_prefix: "device-sim-".into(),
            sources: Vec::new(),
            clock_start: None,
            clock_speed: 1.0,
            faults: Faults::default(),
            seed: 1,
            warm_up: Duration::ZERO,
            gate: None,
            ledger: None,
            planned: Vec::new(),
            keep_truths: false,
            login: Login::Device { password: None },
            connections: 1_000,
            connect_rate: CONNECT_RATE,
            window: 50,
            duration: None,
            drain: Duration::from_secs(10),
            settle: Duration::from_secs(2),
            acked: None,
            progress: Show::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mix, Protocol, Qos};

    #[test]
    fn a_mix_is_drawn_by_its_shares() {
        let mix: Mix<Qos> = "0=1, 1=8,2=1".parse().unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        let drawn: Vec<_> = (0..10_000).map(|_| mix.pick(&mut rng)).collect();
        let share = |qos| drawn.iter().filter(|&&one| one == qos).count();
        assert!((7_800..8_200).contains(&share(Qos::AtLeastOnce)));
        assert!((900..1_100).contains(&share(Qos::ExactlyOnce)));
        assert_eq!("3.1.1".parse(), Ok(Mix::all(Protocol::V3_1_1)));
        assert_eq!(
            (mix.to_string(), Mix::all(Protocol::V5).to_string()),
            ("0=1,1=8,2=1".into(), "5".into())
        );
        assert!("3".parse::<Mix<Qos>>().is_err() && "1=0".parse::<Mix<Qos>>().is_err());
    }
}
