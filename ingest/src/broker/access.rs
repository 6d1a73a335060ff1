//! Who may connect, and what each may see.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::access::{Action, Role, allows, is_id};

/// The SHA-256 of a token. Tokens are long and random, so a fast hash is as good as a slow one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// The hash as the registry keeps it: 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(digits: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let pairs = digits.as_bytes().chunks(2);
        if digits.len() != 64 || !digits.is_ascii() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(pairs) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }

    /// Takes the same time whichever byte differs.
    fn matches(self, token: &[u8]) -> bool {
        let presented = Self::of(token);
        self.0.iter().zip(presented.0).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

/// Somebody who may log in, by the id that is also the user name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// Publishes as itself; sees `errors/{id}`.
    Device(Arc<str>),
    /// Reports on `claims/{id}` and the like; sees `triggers/{id}/…` and `errors/{id}`.
    Insurer(Arc<str>),
}

impl Account {
    fn id(&self) -> &Arc<str> {
        match self {
            Self::Device(id) | Self::Insurer(id) => id,
        }
    }
}

/// Who has an id, and the hash of the token that proves it; `None` where only the demo goes without.
pub type Known = (Account, Option<TokenHash>);

/// Asks who is known. Whoever owns the registry answers from it as it is now: a change holds for
/// the next connection, and after [`Broker::recheck`](super::Broker::recheck) for those there are.
#[derive(Clone)]
pub struct Credentials(Arc<LookUp>);

type LookUp = dyn Fn(&str) -> Option<Known> + Send + Sync;

impl Credentials {
    pub fn new(look_up: impl Fn(&str) -> Option<Known> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look_up))
    }

    /// These and no others. Devices and insurers share one space of ids: of two with the same id
    /// the later holds.
    pub fn of(accounts: impl IntoIterator<Item = Known>) -> Self {
        let accounts: HashMap<Arc<str>, Known> =
            accounts.into_iter().map(|known| (Arc::clone(known.0.id()), known)).collect();
        Self::new(move |id| accounts.get(id).cloned())
    }

    fn get(&self, id: &str) -> Option<Known> {
        (self.0)(id)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// User name and password of Datanaut's own sender, made anew at every start.
#[derive(Clone)]
pub struct Login {
    pub username: String,
    pub password: String,
}

impl Login {
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret)?;
        let mut password = String::with_capacity(64);
        for byte in secret {
            // Writing to a string cannot fail.
            write!(password, "{byte:02x}").ok();
        }
        // No id may contain a dollar sign, so no device or insurer can have this name.
        Ok(Self { username: "$datanaut".to_owned(), password })
    }
}

/// The password stays out of logs.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// How a connection has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Plain,
    /// With whom the client's certificate names, if it showed one.
    Tls {
        certificate: Option<Arc<str>>,
    },
}

/// What a connection was let in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It is believed: it comes from this machine.
    Nothing,
    Token(TokenHash),
    Certificate,
}

/// Decides who a connection is.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) credentials: Credentials,
    pub(super) internal: Login,
    /// Only ever set when the broker listens on loopback alone.
    pub(super) anonymous: bool,
}

impl Door {
    /// Whether somebody who logged in with this proof would be let in today.
    pub(super) fn still_holds(&self, peer: &Peer, proof: Proof) -> bool {
        let (Peer::Device(id) | Peer::Insurer(id)) = peer else { return true };
        let Some((account, known)) = self.credentials.get(id) else { return false };
        let same_kind = matches!(
            (peer, account),
            (Peer::Device(_), Account::Device(_)) | (Peer::Insurer(_), Account::Insurer(_))
        );
        same_kind
            && match (proof, known) {
                (Proof::Certificate, _) => true,
                (Proof::Token(token), Some(known)) => token == known,
                (Proof::Nothing, Some(_)) => false,
                (_, None) => self.anonymous,
            }
    }

    /// `None`: refused.
    pub(super) fn identify(
        &self,
        way: &Way,
        username: Option<&str>,
        password: Option<&[u8]>,
    ) -> Option<(Peer, Proof)> {
        let anonymous = self.anonymous && *way == Way::Plain;
        if let (Way::Tls { certificate: Some(name) }, None) = (way, password) {
            return (username.is_none() || username == Some(&**name))
                .then(|| self.certified(name))?;
        }
        let Some(username) = username else {
            return (anonymous && password.is_none()).then_some((Peer::Anonymous, Proof::Nothing));
        };
        if username == self.internal.username {
            let known = TokenHash::of(self.internal.password.as_bytes());
            return known.matches(password?).then_some((Peer::Internal, Proof::Token(known)));
        }
        if !is_id(username) {
            return None;
        }
        let (account, token) = self.credentials.get(username)?;
        let proof = match token {
            Some(token) => token.matches(password?).then_some(Proof::Token(token)),
            None => anonymous.then_some(Proof::Nothing),
        };
        let peer = match account {
            Account::Device(id) => Peer::Device(id),
            Account::Insurer(id) => Peer::Insurer(id),
        };
        Some((peer, proof?))
    }

    /// The device that a certificate names. Whoever makes certificates for devices should not be
    /// able to make an insurer.
    fn certified(&self, name: &str) -> Option<(Peer, Proof)> {
        match self.credentials.get(name).filter(|_| is_id(name))? {
            (Account::Device(id), _) => Some((Peer::Device(id), Proof::Certificate)),
            (Account::Insurer(_), _) => None,
        }
    }
}

/// Who a connection proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// Datanaut's own sender.
    Internal,
    Anonymous,
    Device(Arc<str>),
    Insurer(Arc<str>),
}

impl Peer {
    /// The name under which the broker keeps the session and reports every event.
    pub(super) fn user_id(&self) -> String {
        match self {
            Self::Internal => "internal".to_owned(),
            Self::Anonymous => "anonymous".to_owned(),
            Self::Device(id) => format!("device/{id}"),
            Self::Insurer(id) => format!("insurer/{id}"),
        }
    }

    pub(super) fn from_user_id(user_id: Option<&str>) -> Option<Self> {
        match user_id?.split_once('/') {
            None if user_id == Some("internal") => Some(Self::Internal),
            None if user_id == Some("anonymous") => Some(Self::Anonymous),
            Some(("device", id)) => Some(Self::Device(id.into())),
            Some(("insurer", id)) => Some(Self::Insurer(id.into())),
            _ => None,
        }
    }

    /// Whether a message is a question to Datanaut, which is routed to it: an insurer asks in its
    /// own name.
    pub(super) fn may_ask(&self, topic: &str) -> bool {
        let mut levels = topic.split('/');
        let asked = (levels.next(), levels.next(), levels.next(), levels.next());
        let (Some("requests"), Some(_), Some("triggers"), None) = asked else { return false };
        match self {
            Self::Anonymous => true,
            Self::Insurer(id) => allows(Role::Insurer, Action::Publish, id, topic),
            Self::Internal | Self::Device(_) => false,
        }
    }

    /// Nothing but questions and Datanaut's own messages is ever routed, so what anonymous
    /// subscribers on loopback see through `#` is these too; whoever has an id sees only what
    /// lies below it.
    pub(super) fn may_subscribe(&self, filter: &str) -> bool {
        let (filter, _share) = mqtt5::parse_shared_subscription(filter);
        match self {
            Self::Internal => true,
            Self::Anonymous => matches!(
                filter.split('/').next(),
                Some("triggers" | "replies" | "errors" | "$SYS" | "#" | "+")
            ),
            Self::Insurer(id) => allows(Role::Insurer, Action::Subscribe, id, filter),
            Self::Device(id) => allows(Role::Device, Action::Subscribe, id, filter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Account, Credentials, Door, Login, Peer, Proof, TokenHash, Way};

    fn door(anonymous: bool) -> Door {
        let credentials = Credentials::of([
            (Account::Device("car-1".into()), Some(TokenHash::of(b"secret"))),
            (Account::Device("car-2".into()), None),
            (Account::Insurer("acme".into()), Some(TokenHash::of(b"pssst"))),
            (Account::Insurer("+".into()), None),
        ]);
        Door { credentials, internal: Login::random().unwrap(), anonymous }
    }

    #[test]
    fn a_token_proves_who_it_is_and_only_the_demo_goes_without() {
        let car_1 = Some(Peer::Device("car-1".into()));
        let car_2 = Some(Peer::Device("car-2".into()));
        for (username, password, in_public, in_the_demo) in [
            (Some("car-1"), Some("secret"), car_1.clone(), car_1.clone()),
            (Some("car-1"), Some("Secret"), None, None),
            (Some("car-1"), None, None, None),
            (Some("car-2"), None, None, car_2.clone()),
            (Some("car-2"), Some("whatever"), None, car_2),
            (
                Some("acme"),
                Some("pssst"),
                Some(Peer::Insurer("acme".into())),
                Some(Peer::Insurer("acme".into())),
            ),
            (Some("car-3"), Some("secret"), None, None),
            (Some("+"), None, None, None),
            (Some(""), None, None, None),
            (Some("$datanaut"), None, None, None),
            (Some("$datanaut"), Some("guess"), None, None),
            (None, None, None, Some(Peer::Anonymous)),
            (None, Some("secret"), None, None),
        ] {
            for (anonymous, expected) in [(false, in_public), (true, in_the_demo)] {
                let known =
                    door(anonymous).identify(&Way::Plain, username, password.map(str::as_bytes));
                assert_eq!(
                    known.map(|(peer, _)| peer),
                    expected,
                    "{username:?} {password:?} anonymous {anonymous}"
                );
            }
        }
    }

    #[test]
    fn the_internal_login_works_and_is_another_at_every_start() {
        let door = door(false);
        let Login { username, password } = door.internal.clone();
        let known = door.identify(&Way::Plain, Some(&username), Some(password.as_bytes()));
        assert_eq!(known.map(|(peer, _)| peer), Some(Peer::Internal));
        assert_ne!(password, Login::random().unwrap().password);
        assert!(!format!("{door:?}").contains(&password));
    }

    #[test]
    fn a_login_holds_as_long_as_its_token() {
        let door = door(false);
        let token = |text: &[u8]| Proof::Token(TokenHash::of(text));
        for (user, proof, holds) in [
            ("device/car-1", token(b"secret"), true),
            ("device/car-1", token(b"old"), false),
            ("device/car-1", Proof::Nothing, false),
            ("device/car-1", Proof::Certificate, true),
            ("device/gone", token(b"old"), false),
            ("device/gone", Proof::Certificate, false),
            ("insurer/acme", token(b"pssst"), true),
            ("insurer/acme", Proof::Nothing, false),
            ("insurer/car-1", token(b"secret"), false),
            ("internal", Proof::Nothing, true),
        ] {
            assert_eq!(door.still_holds(&Peer::from_user_id(Some(user)).unwrap(), proof), holds);
        }
    }

    #[test]
    fn a_certificate_is_a_devices_login_and_nobody_elses() {
        let car = Some((Peer::Device("car-1".into()), Proof::Certificate));
        for (certificate, username, password, expected) in [
            (Some("car-1"), None, None, car.clone()),
            (Some("car-1"), Some("car-1"), None, car),
            (Some("car-1"), Some("car-2"), None, None),
            (Some("car-1"), Some("car-1"), Some("wrong"), None),
            (Some("acme"), None, None, None),
            (Some("+"), None, None, None),
            (Some("nobody"), None, None, None),
            (Some("$datanaut"), None, None, None),
            (None, None, None, None),
            (None, Some("car-2"), None, None),
        ] {
            for anonymous in [false, true] {
                let way = Way::Tls { certificate: certificate.map(Into::into) };
                let known = door(anonymous).identify(&way, username, password.map(str::as_bytes));
                assert_eq!(known, expected, "{certificate:?} {username:?} anonymous {anonymous}");
            }
        }
        let way = Way::Tls { certificate: Some("car-2".into()) };
        let known = door(false).identify(&way, Some("car-1"), Some(b"secret"));
        assert!(matches!(known, Some((Peer::Device(id), Proof::Token(_))) if &*id == "car-1"));
    }

    #[test]
    fn a_user_id_leads_back_to_its_peer() {
        for peer in [
            Peer::Internal,
            Peer::Anonymous,
            Peer::Device("internal".into()),
            Peer::Insurer("device".into()),
        ] {
            assert_eq!(Peer::from_user_id(Some(&peer.user_id())), Some(peer));
        }
        assert_eq!(Peer::from_user_id(None), None);
        assert_eq!(Peer::from_user_id(Some("root")), None);
    }

    #[test]
    fn everybody_subscribes_to_their_own_only() {
        let insurer = Peer::Insurer("acme".into());
        let device = Peer::Device("car-1".into());
        for (filter, anonymous, acme, car_1) in [
            ("triggers/acme/#", true, true, false),
            ("triggers/acme/travel/+", true, true, false),
            ("$share/workers/triggers/acme/#", true, true, false),
            ("triggers/other/#", true, false, false),
            ("triggers/acme2/#", true, false, false),
            ("triggers/ACME/#", true, false, false),
            ("triggers/#", true, false, false),
            ("triggers/+/travel/x", true, false, false),
            ("$share/acme/triggers/#", true, false, false),
            ("$share/g/$share/g/triggers/acme/#", false, false, false),
            ("+/acme/#", true, false, false),
            ("#", true, false, false),
            ("$share/g/#", true, false, false),
            ("/triggers/acme/#", false, false, false),
            ("errors/car-1", true, false, true),
            ("$share/g/errors/car-1", true, false, true),
            ("errors/car-1/#", true, false, false),
            ("errors/+", true, false, false),
            ("errors/car-12", true, false, false),
            ("errors/acme", true, true, false),
            ("errors/acme/#", true, false, false),
            ("claims/acme", false, false, false),
            ("replies/acme/#", true, true, false),
            ("replies/acme/desk/1", true, true, false),
            ("replies/other/#", true, false, false),
            ("replies/#", true, false, false),
            ("requests/acme/triggers", false, false, false),
            ("telemetry/#", false, false, false),
            ("owntracks/#", false, false, false),
            ("$SYS/#", true, false, false),
        ] {
            assert_eq!(Peer::Anonymous.may_subscribe(filter), anonymous, "anonymous {filter}");
            assert_eq!(insurer.may_subscribe(filter), acme, "insurer {filter}");
            assert_eq!(device.may_subscribe(filter), car_1, "device {filter}");
            assert!(Peer::Internal.may_subscribe(filter));
        }
    }

    #[test]
    fn insurers_ask_in_their_own_name() {
        let (acme, car) = (Peer::Insurer("acme".into()), Peer::Device("car-1".into()));
        assert!(acme.may_ask("requests/acme/triggers"));
        assert!(Peer::Anonymous.may_ask("requests/acme/triggers"));
        assert!(!car.may_ask("requests/car-1/triggers"));
        for topic in [
            "requests/other/triggers",
            "requests/acme",
            "requests/acme/triggers/x",
            "triggers/acme/x/y",
        ] {
            assert!(!acme.may_ask(topic), "{topic}");
        }
    }
}
