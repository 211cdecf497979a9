//! Certificates and keys from PEM (RFC 7468).

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};

use super::{PemSource, TlsError};

/// PEM text, or where it is.
#[derive(Clone)]
pub(super) enum Pem {
    Memory(Vec<u8>),
    File(PathBuf),
}

impl Pem {
    pub(super) fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Memory(text.as_ref().to_vec())
    }

    pub(super) fn file(path: impl AsRef<Path>) -> Self {
        Self::File(path.as_ref().to_owned())
    }

    fn source(&self) -> PemSource {
        match self {
            Self::Memory(_) => PemSource::Memory,
            Self::File(path) => PemSource::File(path.clone()),
        }
    }

    fn read(&self) -> Result<Cow<'_, [u8]>, TlsError> {
        match self {
            Self::Memory(text) => Ok(Cow::Borrowed(text)),
            Self::File(path) => match std::fs::read(path) {
                Ok(text) => Ok(Cow::Owned(text)),
                Err(error) => Err(TlsError::Read { path: path.clone(), error }),
            },
        }
    }

    /// All certificates; there is at least one.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found = CertificateDer::pem_slice_iter(&self.read()?).collect::<Result<Vec<_>, _>>();
        match found {
            Ok(certificates) if certificates.is_empty() => Err(TlsError::NoCertificate(self.source())),
            Ok(certificates) => Ok(certificates),
            Err(error) => Err(TlsError::Pem { source: self.source(), error }),
        }
    }

    /// The first private key.
    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        match PrivateKeyDer::from_pem_slice(&self.read()?) {
            Ok(key) => Ok(key),
            Err(pem::Error::NoItemsFound) => Err(TlsError::NoKey(self.source())),
            Err(error) => Err(TlsError::Pem { source: self.source(), error }),
        }
    }

    /// Adds all certificates as roots.
    pub(super) fn add_roots(&self, roots: &mut RootCertStore) -> Result<(), TlsError> {
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| TlsError::Certificate { source: self.source(), error })?;
        }
        Ok(())
    }
}

/// Keys are nobody's business.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source().fmt(f)
    }
}

/// A chain of certificates, the own one first, and the key of that one.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) certificate: Pem,
    pub(super) key: Pem,
}

impl Identity {
    pub(super) fn text(certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        Self { certificate: Pem::text(certificate), key: Pem::text(key) }
    }

    pub(super) fn files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        Self { certificate: Pem::file(certificate), key: Pem::file(key) }
    }

    pub(super) fn load(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
        let chain = self.certificate.certificates()?;
        let key = provider
            .key_provider
            .load_private_key(self.key.key()?)
            .map_err(|error| TlsError::Key { source: self.key.source(), error })?;
        let identity = CertifiedKey::new(chain, key);
        match identity.keys_match() {
            // A key that lives in hardware may not say what its public half is.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(identity)),
            Err(Error::InconsistentKeys(_)) => {
                Err(TlsError::KeyMismatch { certificate: self.certificate.source(), key: self.key.source() })
            }
            Err(error) => Err(TlsError::Certificate { source: self.certificate.source(), error }),
        }
    }
}
