//! The settings of a client.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DEFAULT_VERSIONS, RootCertStore, SupportedProtocolVersion};

use super::pem::{Identity, Pem};
use super::unverified::Unverified;
use super::{HTTP_1_1, TlsError, checked_alpn, default_provider, roots};

/// What [`ClientTls::new`] gives.
static DEFAULT: Mutex<Option<ClientTls>> = Mutex::new(None);

/// How a client speaks TLS. Cheap to clone.
///
/// Clones share the memory of earlier sessions (256 of them), by which later handshakes with the same server are
/// shorter. So make the settings once, not for each connection.
///
/// A `ClientTls` can be made from a [`rustls::ClientConfig`], which is then used as it is, its ALPN protocols too.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl ClientTls {
    /// The defaults of [`builder`](Self::builder): the platform's roots, ALPN `http/1.1`, no own certificate.
    ///
    /// Every call gives a clone of the same settings, so that whoever uses the defaults shares the earlier sessions. The
    /// first call in a process reads the platform's roots, which blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// [`TlsError::NoPlatformRoots`], [`TlsError::NoProvider`].
    pub fn new() -> Result<Self, TlsError> {
        let mut default = DEFAULT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = &*default
            && tls.has_provider_of_process()
        {
            return Ok(tls.clone());
        }
        let tls = Self::builder().build()?;
        *default = Some(tls.clone());
        Ok(tls)
    }

    /// A program may install its provider after the defaults were first used.
    fn has_provider_of_process(&self) -> bool {
        CryptoProvider::get_default().is_none_or(|installed| Arc::ptr_eq(installed, self.config.crypto_provider()))
    }

    /// Settings, one at a time.
    pub fn builder() -> ClientTlsBuilder {
        ClientTlsBuilder {
            provider: None,
            versions: DEFAULT_VERSIONS.to_vec(),
            platform_roots: None,
            roots: Vec::new(),
            trust: Trust::Roots,
            identity: None,
            alpn: vec![HTTP_1_1.to_vec()],
            server_name: None,
        }
    }

    /// The configuration, for a connection of `rustls`.
    #[must_use]
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The name that the server must prove to have when `host` is dialled: the
    /// [override](ClientTlsBuilder::server_name) of these settings, or `host`.
    ///
    /// `host` is the host of the URL: a name, an IPv4 address, or an IPv6 address with or without brackets. It is the
    /// name in the URL that counts, not what it resolves to.
    ///
    /// # Errors
    ///
    /// [`TlsError::ServerName`] if `host` is neither a name nor an address.
    pub fn name_for(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => parse_name(host),
        }
    }
}

impl From<Arc<ClientConfig>> for ClientTls {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self { config, server_name: None }
    }
}

impl From<ClientConfig> for ClientTls {
    fn from(config: ClientConfig) -> Self {
        Arc::new(config).into()
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// By what the server's certificate is judged.
#[derive(Debug)]
enum Trust {
    Roots,
    Verifier(Arc<dyn ServerCertVerifier>),
    Anything,
}

/// Makes a [`ClientTls`]. Nothing is read or checked before [`build`](Self::build).
#[derive(Debug)]
#[must_use]
pub struct ClientTlsBuilder {
    provider: Option<Arc<CryptoProvider>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    platform_roots: Option<bool>,
    roots: Vec<Pem>,
    trust: Trust,
    identity: Option<Identity>,
    alpn: Vec<Vec<u8>>,
    server_name: Option<String>,
}

impl ClientTlsBuilder {
    /// Whether the roots of the platform are trusted.
    ///
    /// Default: yes, unless other roots were added; then only those. `true` trusts both.
    ///
    /// They are read once per process, where the environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR` say if one
    /// of them is set. Certificates that can't be read are left out.
    pub fn platform_roots(mut self, trusted: bool) -> Self {
        self.platform_roots = Some(trusted);
        self
    }

    /// Trusts servers whose certificates were issued by those in this PEM text. Adds to what was given before.
    pub fn root_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots.push(Pem::text(pem));
        self
    }

    /// Like [`root_pem`](Self::root_pem), from a file.
    pub fn root_file(mut self, path: impl AsRef<Path>) -> Self {
        self.roots.push(Pem::file(path));
        self
    }

    /// The certificate to show to a server that asks for one, with its key: PEM texts.
    ///
    /// The client's own certificate comes first, behind it those that lead to the server's root, without the root. The
    /// key is PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub fn identity_pem(mut self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.identity = Some(Identity::text(certificate, key));
        self
    }

    /// Like [`identity_pem`](Self::identity_pem), from files. Both may be in one file.
    pub fn identity_files(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.identity = Some(Identity::files(certificate, key));
        self
    }

    /// Lets `verifier` judge the server's certificate instead of the roots, which are not read then.
    ///
    /// Of this and [`danger_accept_invalid_certs`](Self::danger_accept_invalid_certs) the later call counts.
    pub fn verifier(mut self, verifier: Arc<dyn ServerCertVerifier>) -> Self {
        self.trust = Trust::Verifier(verifier);
        self
    }

    /// Takes every certificate: of any issuer, for any name, expired or not.
    ///
    /// Anybody on the way can then read and change everything. It is meant for tests, and for programs that look at
    /// [`TlsInfo::peer_certificates`](super::TlsInfo::peer_certificates) themselves before they send anything: the
    /// signatures of the handshake are still checked, so that the server does have the key of the certificate it shows.
    /// Roots are not read.
    pub fn danger_accept_invalid_certs(mut self) -> Self {
        self.trust = Trust::Anything;
        self
    }

    /// The protocols to offer by ALPN (RFC 7301), the preferred one first. Default: `http/1.1`. Empty: ALPN is not used.
    ///
    /// A server that picks one that was not offered is refused, a server that does not pick is accepted.
    pub fn alpn<I>(mut self, protocols: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Vec<u8>>,
    {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The name to ask the server for (SNI, RFC 6066 section 3) and to look for in its certificate, instead of the host
    /// of the URL. Default: the host of the URL.
    ///
    /// It counts for every connection with these settings, whatever its URL. An IP address is looked for and not sent.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
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
    /// A [`TlsError`] that names the file and what is wrong with it; [`TlsError::NoRoots`] without any roots.
    pub fn build(self) -> Result<ClientTls, TlsError> {
        let provider = match self.provider {
            Some(provider) => provider,
            None => default_provider()?,
        };
        let server_name = self.server_name.as_deref().map(parse_name).transpose()?;
        let identity = self.identity.map(|identity| identity.load(&provider)).transpose()?;
        let alpn = checked_alpn(self.alpn)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)
            .map_err(TlsError::Config)?;
        let builder = match self.trust {
            Trust::Roots => builder.with_root_certificates(trusted(self.platform_roots, &self.roots)?),
            Trust::Verifier(verifier) => builder.dangerous().with_custom_certificate_verifier(verifier),
            Trust::Anything => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(Arc::clone(&provider))))
            }
        };
        let mut config = match identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn;
        Ok(ClientTls { config: Arc::new(config), server_name })
    }
}

/// The platform's roots as they are, which all settings share, or a set of one's own.
fn trusted(platform: Option<bool>, added: &[Pem]) -> Result<Arc<RootCertStore>, TlsError> {
    let platform = platform.unwrap_or(added.is_empty());
    if platform && added.is_empty() {
        return roots::platform();
    }
    let mut all = if platform { RootCertStore::clone(&*roots::platform()?) } else { RootCertStore::empty() };
    for pem in added {
        pem.add_roots(&mut all)?;
    }
    if all.is_empty() { Err(TlsError::NoRoots) } else { Ok(Arc::new(all)) }
}

fn parse_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let name = match bracketed {
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(|address| ServerName::IpAddress(address.into())),
        None => ServerName::try_from(host).ok().map(|name| name.to_owned()),
    };
    name.ok_or_else(|| TlsError::ServerName(host.to_owned()))
}
