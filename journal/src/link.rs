//! Signed links: whoever has one may look at, and decide about, one customer until it ends.

use enrich::trigger::{Key, same_secret};

/// Makes and checks links. It knows the journal's secret, and shows none of it.
#[derive(Clone, Debug)]
pub struct Links(Key);

impl Links {
    pub(crate) fn new(key: Key) -> Self {
        Self(key)
    }

    /// A token for a customer's page, good until then.
    #[must_use]
    pub fn token(&self, customer: &str, until_ms: i64) -> String {
        format!("{customer}.{until_ms}.{}", self.0.link(customer, until_ms))
    }

    /// Whose page it opens now, if any.
    #[must_use]
    pub fn customer<'a>(&self, token: &'a str, now_ms: i64) -> Option<&'a str> {
        let (rest, signature) = token.rsplit_once('.')?;
        let (customer, until) = rest.rsplit_once('.')?;
        let until_ms: i64 = until.parse().ok()?;
        let expected = self.0.link(customer, until_ms);
        (same_secret(&expected, signature) && now_ms < until_ms).then_some(customer)
    }
}

#[cfg(test)]
mod tests {
    use super::Links;
    use enrich::trigger::Key;

    #[test]
    fn a_link_opens_one_page_until_it_ends() {
        let links = Links::new(Key::new([7; 32]));
        let token = links.token("anna.b", 1_000);
        assert_eq!(links.customer(&token, 999), Some("anna.b"));
        assert_eq!(links.customer(&token, 1_000), None);
        assert_eq!(Links::new(Key::new([8; 32])).customer(&token, 0), None);
        for forged in [
            token.replace("anna", "bram"),
            token.replace("1000", "9000"),
            token[..token.len() - 1].to_owned(),
            String::new(),
            "..".to_owned(),
        ] {
            assert_eq!(links.customer(&forged, 0), None, "{forged}");
        }
    }
}
