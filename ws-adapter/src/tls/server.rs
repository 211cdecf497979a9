//! The settings of a server.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DEFAULT_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::pem::{Identity, Pem};
use super::{HTTP_1_1, TlsError, checked_alpn, default_provider};

/// How a server speaks TLS. Cheap to clone.
///
/// Clones share the certificate: a [`reload`](Self::reload) of one counts for all. They also share the memory of
/// earlier sessions (256 of them), by which later handshakes of the same client are shorter.
///
/// A `ServerTls` can be made from a [`rustls::ServerConfig`], which is then used as it is, its ALPN protocols too.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    certificate: Option<Arc<Certificate>>,
}

impl ServerTls {
    /// A server with this certificate and key, PEM texts, and the defaults of [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// As [`ServerTlsBuilder::build`].
    pub fn from_pem(certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        Self::builder().certificate_pem(certificate, key).build()
    }

    /// Like [`from_pem`](Self::from_pem), from files, which [`reload`](Self::reload) reads again. Both may be in one
    /// file.
    ///
    /// # Errors
    ///
    /// As [`ServerTlsBuilder::build`].
    pub fn from_files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        Self::builder().certificate_files(certificate, key).build()
    }

    /// Settings, one at a time.
    pub fn builder() -> ServerTlsBuilder {
        ServerTlsBuilder {
            provider: None,
            versions: DEFAULT_VERSIONS.to_vec(),
            certificate: None,
            client_roots: Vec::new(),
            client_auth: None,
            client_verifier: None,
            alpn: vec![HTTP_1_1.to_vec()],
        }
    }

    /// The configuration, for a connection of `rustls`.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Reads the files of the certificate and the key again. It blocks while it reads.
    ///
    /// Handshakes that begin later use the new certificate; connections that are open go on, and a client that comes
    /// back with an earlier session is shown none. Roots for clients are not read again.
    ///
    /// # Errors
    ///
    /// What is wrong with the files: the certificate in use stays then. So it does no harm to call this when only one
    /// of two files has been replaced: that is a [`TlsError::KeyMismatch`], and the next call mends it.
    /// [`TlsError::NotReloadable`] if the certificate did not come from files.
    pub fn reload(&self) -> Result<(), TlsError> {
        let certificate = self.certificate.as_ref().ok_or(TlsError::NotReloadable)?;
        let files = certificate.files.as_ref().ok_or(TlsError::NotReloadable)?;
        certificate.replace(files, self.config.crypto_provider())
    }

    /// Replaces the certificate and the key by these, PEM texts, as [`reload`](Self::reload) does. A later `reload`
    /// goes back to the files, if the first ones came from files.
    ///
    /// # Errors
    ///
    /// What is wrong with the texts: the certificate in use stays then. [`TlsError::NotReloadable`] if a resolver or a
    /// configuration of `rustls` provides the certificate.
    pub fn reload_pem(&self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<(), TlsError> {
        let shared = self.certificate.as_ref().ok_or(TlsError::NotReloadable)?;
        shared.replace(&Identity::text(certificate, key), self.config.crypto_provider())
    }
}

impl From<Arc<ServerConfig>> for ServerTls {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self { config, certificate: None }
    }
}

impl From<ServerConfig> for ServerTls {
    fn from(config: ServerConfig) -> Self {
        Arc::new(config).into()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// The certificate in use.
struct Certificate {
    current: RwLock<Arc<CertifiedKey>>,
    files: Option<Identity>,
}

impl Certificate {
    fn replace(&self, identity: &Identity, provider: &CryptoProvider) -> Result<(), TlsError> {
        let new = identity.load(provider)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

/// What a server makes of clients that show no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are refused.
    Required,
    /// They are accepted. A certificate that is shown must still be good.
    Optional,
}

/// Where the certificate comes from.
#[derive(Debug)]
enum Origin {
    Text(Identity),
    Files(Identity),
    Resolver(Arc<dyn ResolvesServerCert>),
}

/// Makes a [`ServerTls`]. Nothing is read or checked before [`build`](Self::build).
#[derive(Debug)]
#[must_use]
pub struct ServerTlsBuilder {
    provider: Option<Arc<CryptoProvider>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    certificate: Option<Origin>,
    client_roots: Vec<Pem>,
    client_auth: Option<ClientAuth>,
    client_verifier: Option<Arc<dyn ClientCertVerifier>>,
    alpn: Vec<Vec<u8>>,
}

impl ServerTlsBuilder {
    /// The server's certificate and its key: PEM texts.
    ///
    /// The server's own certificate comes first, behind it those that lead to a root, without the root. The key is
    /// PKCS #8, PKCS #1 or SEC 1, not encrypted. Of this, `certificate_files` and `resolver` the last call counts.
    pub fn certificate_pem(mut self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.certificate = Some(Origin::Text(Identity::text(certificate, key)));
        self
    }

    /// Like [`certificate_pem`](Self::certificate_pem), from files, which [`ServerTls::reload`] reads again.
    pub fn certificate_files(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.certificate = Some(Origin::Files(Identity::files(certificate, key)));
        self
    }

    /// Lets `resolver` choose the certificate for each connection: by the name that the client asks for, for example
    /// ([`rustls::server::ResolvesServerCertUsingSni`]).
    pub fn resolver(mut self, resolver: Arc<dyn ResolvesServerCert>) -> Self {
        self.certificate = Some(Origin::Resolver(resolver));
        self
    }

    /// Asks clients for a certificate that was issued by one of those in this PEM text. Adds to what was given before.
    pub fn client_root_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.client_roots.push(Pem::text(pem));
        self
    }

    /// Like [`client_root_pem`](Self::client_root_pem), from a file.
    pub fn client_root_file(mut self, path: impl AsRef<Path>) -> Self {
        self.client_roots.push(Pem::file(path));
        self
    }

    /// Whether clients must show a certificate.
    ///
    /// Default: [`Required`](ClientAuth::Required) once there are roots for clients; without them, clients are not
    /// asked. A verifier of the program's own decides this itself.
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = Some(client_auth);
        self
    }

    /// Lets `verifier` judge the clients' certificates instead of the roots, which are not read then, and of
    /// [`client_auth`](Self::client_auth).
    pub fn client_verifier(mut self, verifier: Arc<dyn ClientCertVerifier>) -> Self {
        self.client_verifier = Some(verifier);
        self
    }

    /// The protocols that are spoken, the preferred one first (RFC 7301). Default: `http/1.1`. Empty: ALPN is not used.
    ///
    /// A client that offers only others is refused with the alert `no_application_protocol`; a client that offers none
    /// is accepted.
    pub fn alpn<I>(mut self, protocols: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Vec<u8>>,
    {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The crypto provider. Default: [`default_provider`].
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// The versions of TLS. Default: 1.2 and 1.3 ([`rustls::DEFAULT_VERSIONS`]).
    pub fn versions(mut self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        self.versions = versions.to_vec();
        self
    }

    /// Reads the files and makes the settings. It blocks while it reads.
    ///
    /// # Errors
    ///
    /// A [`TlsError`] that names the file and what is wrong with it; [`TlsError::NoServerCertificate`] without a
    /// certificate, [`TlsError::NoRoots`] if clients are to be verified and there is nothing to verify them by.
    pub fn build(self) -> Result<ServerTls, TlsError> {
        let provider = match self.provider {
            Some(provider) => provider,
            None => default_provider()?,
        };
        let alpn = checked_alpn(self.alpn)?;
        let verifier = match self.client_verifier {
            Some(verifier) => verifier,
            None => client_verifier(self.client_auth, &self.client_roots, &provider)?,
        };
        let (resolver, certificate) = match self.certificate.ok_or(TlsError::NoServerCertificate)? {
            Origin::Resolver(resolver) => (resolver, None),
            Origin::Text(identity) => shared(identity.load(&provider)?, None),
            Origin::Files(identity) => shared(identity.load(&provider)?, Some(identity)),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .map_err(TlsError::Config)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver);
        config.alpn_protocols = alpn;
        Ok(ServerTls { config: Arc::new(config), certificate })
    }
}

/// The same certificate twice: for handshakes, and for reloads.
fn shared(
    current: Arc<CertifiedKey>,
    files: Option<Identity>,
) -> (Arc<dyn ResolvesServerCert>, Option<Arc<Certificate>>) {
    let certificate = Arc::new(Certificate { current: RwLock::new(current), files });
    (Arc::clone(&certificate) as _, Some(certificate))
}

fn client_verifier(
    auth: Option<ClientAuth>,
    roots: &[Pem],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if roots.is_empty() {
        return if auth.is_none() { Ok(Arc::new(NoClientAuth)) } else { Err(TlsError::NoRoots) };
    }
    let mut all = RootCertStore::empty();
    for pem in roots {
        pem.add_roots(&mut all)?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(all), Arc::clone(provider));
    if auth == Some(ClientAuth::Optional) {
        builder = builder.allow_unauthenticated();
    }
    // There are roots, and no revocation lists that could be wrong.
    builder.build().map_err(|_| TlsError::NoRoots)
}
