//! The bytes' way to a broker: TCP, with or without TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::broker::Broker;

/// What a connection runs over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Whom to trust, for `mqtts://`.
#[derive(Clone)]
pub struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{file}: {error}, give a file of certificates in PEM form")]
    Unreadable { file: String, error: String },
    #[error("{0} holds no certificate, give a file of certificates in PEM form")]
    Empty(String),
    #[error("{0}")]
    Setup(#[from] tokio_rustls::rustls::Error),
}

impl Tls {
    /// Trusts the authorities of `ca_file` or, without one, those that browsers trust.
    ///
    /// # Errors
    /// When `ca_file` holds no certificate that can be used.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                let file = path.display().to_string();
                let unreadable = |error: &dyn std::fmt::Display| TlsError::Unreadable {
                    file: file.clone(),
                    error: error.to_string(),
                };
                let certificates =
                    CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| unreadable(&error))?;
                    roots.add(certificate)?;
                }
                if roots.is_empty() {
                    return Err(TlsError::Empty(file));
                }
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

/// Connects to `broker`, from the address `source` if one is given.
///
/// # Errors
/// When nobody answers, or the broker cannot prove who it is.
pub(crate) async fn connect(
    broker: &Broker,
    tls: Option<&Tls>,
    source: Option<IpAddr>,
) -> io::Result<Box<dyn Io>> {
    let mut last = io::Error::other("the broker's name has no address");
    // Brackets of an IPv6 address are for the port's sake only.
    let host = broker.host.trim_start_matches('[').trim_end_matches(']');
    for address in lookup_host((host, broker.port)).await? {
        match open(address, source).await {
            Ok(stream) => {
                let Some(Tls(connector)) = tls else { return Ok(Box::new(stream)) };
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                return Ok(Box::new(connector.connect(name, stream).await?));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn open(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
