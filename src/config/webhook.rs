//! Where insurers want their triggers posted.

use std::path::PathBuf;

use anyhow::{Context, Result};
use deliver::webhooks::{Endpoint, MOST_ENDPOINTS, Secrets};
use enrich::registry::Product;
use ureq::http::Uri;

use super::Config;
use super::validate::{Wrong, wrong};

/// One `[[webhook]]` table: an endpoint of an insurer.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhook {
    pub(crate) insurer: String,
    url: String,
    secret_file: PathBuf,
    /// By default the insurer's id.
    #[serde(default)]
    name: Option<String>,
    /// None: all.
    #[serde(default)]
    products: Vec<Product>,
    #[serde(default)]
    allow_private: bool,
}

impl Webhook {
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.insurer)
    }

    /// A line for `datanaut check`.
    pub(crate) fn summary(&self) -> String {
        let names: Vec<&str> = self.products.iter().map(|product| product.name()).collect();
        let products = if names.is_empty() { "all".to_owned() } else { names.join(", ") };
        format!("webhook  {}: {products} to {}", self.name(), self.url)
    }
}

impl Config {
    /// Where to post what.
    ///
    /// # Errors
    /// When a secret cannot be read, or is none.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>> {
        self.webhook.iter().map(Webhook::endpoint).collect()
    }

    pub(super) fn validate_webhooks(&self) -> Result<(), Wrong> {
        if self.webhook.len() > MOST_ENDPOINTS {
            let what = format!("are more than {MOST_ENDPOINTS}: leave some out");
            return wrong(format!("webhook[{MOST_ENDPOINTS}].url"), what);
        }
        for (at, webhook) in self.webhook.iter().enumerate() {
            let key = |name: &str| format!("webhook[{at}].{name}");
            webhook.validate_url().or_else(|what| wrong(key("url"), what))?;
            let name = webhook.name();
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if !(1..=64).contains(&name.len()) || !name.chars().all(allowed) {
                let what = format!("`{name}` is no name: use 1 to 64 letters, digits, . _ -");
                return wrong(key("name"), what);
            }
            if self.webhook[..at].iter().any(|other| other.name() == name) {
                let what = format!("`{name}` is another webhook's: give each a name of its own");
                return wrong(key("name"), what);
            }
        }
        Ok(())
    }
}

impl Webhook {
    fn validate_url(&self) -> Result<(), String> {
        let url = &self.url;
        let uri: Uri =
            url.parse().map_err(|_| format!("`{url}` is no URL: give https://HOST/PATH"))?;
        let named = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        if named.is_none_or(|authority| authority.host().is_empty()) {
            return Err(format!("`{url}` names no host, or a login: give https://HOST/PATH"));
        }
        match uri.scheme_str() {
            Some("https") => Ok(()),
            Some("http") if self.allow_private => Ok(()),
            Some("http") => Err(format!(
                "`{url}` would show people's data to everybody on the way: use https://, or, inside \
                 a network of your own, allow_private = true"
            )),
            _ => Err(format!("`{url}` is neither https:// nor http://")),
        }
    }

    fn endpoint(&self) -> Result<Endpoint> {
        let file = self.secret_file.display();
        let text = std::fs::read_to_string(&self.secret_file)
            .with_context(|| format!("cannot read the secret of a webhook in {file}"))?;
        Secrets::parse(&text).map_err(|error| anyhow::anyhow!("{file} {error}"))?;
        Ok(Endpoint {
            name: self.name().into(),
            insurer: self.insurer.clone(),
            url: self.url.clone(),
            secret_file: self.secret_file.clone(),
            products: self.products.iter().map(|product| product.name().to_owned()).collect(),
            allow_private: self.allow_private,
        })
    }
}
