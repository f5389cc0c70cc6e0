//! TLS with rustls (feature `tls`).

use crate::dial::{self, Dialer, Stream};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// A TLS client configuration: the certificate authorities that it trusts. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
}

/// The error of a [`Tls`] configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The system has no certificate authorities: install its package of CA certificates, or name a file.
    #[error("the system has no certificate authorities")]
    NoSystemRoots,
    /// The file of certificate authorities cannot be used.
    #[error("cannot read certificate authorities from {}", path.display())]
    #[non_exhaustive]
    File {
        /// The file.
        path: PathBuf,
        /// The fault: it cannot be read or is not PEM.
        source: pem::Error,
    },
    /// The file contains no certificate.
    #[error("{} contains no certificate in PEM", path.display())]
    #[non_exhaustive]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in the file, or the set of protocol versions, cannot be used.
    #[error("TLS cannot be configured")]
    Config(#[source] rustls::Error),
}

impl Tls {
    /// Trusts the certificate authorities of the system (on Linux the usual files, or `SSL_CERT_FILE` and `SSL_CERT_DIR`).
    /// Single certificates that cannot be read are skipped.
    ///
    /// # Errors
    ///
    /// When the system has none.
    pub fn with_system_roots() -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() { Err(TlsError::NoSystemRoots) } else { Self::new(roots) }
    }

    /// Trusts the certificate authorities in a PEM file, and no others.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or has no usable certificate.
    pub fn with_ca_file(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = path.as_ref();
        let file = |source| TlsError::File { path: path.to_owned(), source };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(file)? {
            roots.add(certificate.map_err(file)?).map_err(TlsError::Config)?;
        }
        if roots.is_empty() { Err(TlsError::Empty { path: path.to_owned() }) } else { Self::new(roots) }
    }

    fn new(roots: RootCertStore) -> Result<Self, TlsError> {
        // The provider is named: a process-wide default would be another program's decision.
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Config)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // A WebSocket begins with HTTP/1.1: servers that prefer HTTP/2 must not choose it.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }
}

impl Dialer {
    /// TCP, and TLS over it for targets that ask for it.
    #[must_use]
    pub fn tls(tls: Tls) -> Self {
        Self::streams(move |target| {
            let connector = target.tls.then(|| tls.connector.clone());
            async move {
                let stream = dial::connect(&target).await?;
                let Some(connector) = connector else { return Ok(Stream::new(stream)) };
                let name = ServerName::try_from(target.host)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                Ok(Stream::new(connector.connect(name, stream).await?))
            }
        })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
