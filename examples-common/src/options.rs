//! Options that several programs have.

use std::io;
use std::path::PathBuf;

use ws_adapter::tls::{ClientTls, ServerTls, TlsError};
use ws_adapter::ws_proto::Config;
use ws_adapter::ws_proto::deflate::Deflate;
use ws_adapter::ws_proto::extension::Extensions;
use ws_adapter::{Address, Network, Server};

/// Limits that can be given on the command line.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Limits {
    /// The longest message that is taken, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024 * 1024)]
    max_message: u64,
    /// The most frames that a message may come in
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    max_fragments: u32,
}

impl Limits {
    /// The settings of a connection with these limits.
    #[must_use]
    pub fn config(self) -> Config {
        let mut config = Config::default();
        config.limits.message = self.max_message;
        config.limits.frame = self.max_message;
        config.limits.fragments = self.max_fragments;
        config
    }
}

/// Whether to compress, and how.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Compression {
    /// Compress messages with permessage-deflate, if the other side agrees
    #[arg(long)]
    deflate: bool,
    /// With --deflate: the largest window, both ways, as a power of two: 8 to 15
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(8..=15), requires = "deflate")]
    deflate_window: Option<u8>,
    /// With --deflate: compress each message by itself, both ways
    #[arg(long, requires = "deflate")]
    deflate_no_takeover: bool,
    /// With --deflate: send shorter messages as they are
    #[arg(long, value_name = "BYTES", requires = "deflate")]
    deflate_min: Option<usize>,
}

impl Compression {
    /// The extensions to offer or to agree to.
    #[must_use]
    pub fn extensions(self) -> Extensions {
        let mut settings = Deflate::default();
        if let Some(bits) = self.deflate_window {
            settings.send_window_bits = bits;
            settings.receive_window_bits = bits;
        }
        if self.deflate_no_takeover {
            settings.send_takeover = false;
            settings.receive_takeover = false;
        }
        if let Some(bytes) = self.deflate_min {
            settings.min_size = bytes;
        }
        deflate_if(self.deflate, settings)
    }
}

/// `permessage-deflate` with these settings, or nothing.
pub(crate) fn deflate_if(on: bool, settings: Deflate) -> Extensions {
    if on { Extensions::none().with(settings) } else { Extensions::none() }
}

/// Where a server listens.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "where", multiple = false)]
pub struct Listen {
    /// The address and port to listen on; port 0 is any free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Listen on a Unix socket at this path instead, which must not exist yet
    #[cfg(unix)]
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
}

impl Listen {
    /// A server there.
    ///
    /// # Errors
    /// If the address or the path can't be used.
    pub async fn bind<R: Network>(&self) -> io::Result<Server<R>> {
        #[cfg(unix)]
        if let Some(path) = self.unix() {
            return Server::bind_unix(path).await;
        }
        Server::bind(self.tcp()).await
    }

    /// The address and port.
    #[must_use]
    pub fn tcp(&self) -> &str {
        self.listen.as_deref().unwrap_or_default()
    }

    /// The path of the Unix socket, if it shall be one.
    #[cfg(unix)]
    #[must_use]
    pub fn unix(&self) -> Option<&std::path::Path> {
        self.unix.as_deref()
    }

    /// Removes the Unix socket, which stays behind otherwise.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn clean_up(&self) -> io::Result<()> {
        #[cfg(unix)]
        if let Some(path) = self.unix() {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// How a server speaks TLS, if it does.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerTlsFiles {
    /// Speak TLS, with the certificate (and those between it and a root) in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Take only clients that have a certificate from one of those in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
}

impl ServerTlsFiles {
    /// The settings, if TLS is wanted.
    ///
    /// # Errors
    /// If a file is not what it should be.
    pub fn settings(&self) -> Result<Option<ServerTls>, TlsError> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let mut tls = ServerTls::builder().certificate_files(certificate, key);
        if let Some(roots) = &self.tls_client_ca {
            tls = tls.client_root_file(roots);
        }
        tls.build().map(Some)
    }

    /// How clients reach `path` at `address`: a URL with this scheme (one `s` longer with TLS), or a Unix socket.
    #[must_use]
    pub fn url(&self, scheme: &str, address: &Address, path: &str) -> String {
        let s = if self.tls_cert.is_some() { "s" } else { "" };
        if address.tcp().is_some() { format!("{scheme}{s}://{address}{path}") } else { address.to_string() }
    }
}

/// How a client speaks TLS, where the URL wants it.
#[derive(Clone, Debug, clap::Args)]
pub struct TlsFiles {
    /// Trust the certificates in this PEM file instead of those of the system
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Show the certificate (and those between it and a root) in this PEM file
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Take any certificate: whoever is on the way can read and change everything
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
}

impl TlsFiles {
    /// The settings.
    ///
    /// # Errors
    /// If a file is not what it should be, or the system has no certificates to trust.
    pub fn settings(&self) -> Result<ClientTls, TlsError> {
        let mut tls = ClientTls::builder();
        if let Some(roots) = &self.ca {
            tls = tls.platform_roots(false).root_file(roots);
        }
        if let (Some(certificate), Some(key)) = (&self.cert, &self.key) {
            tls = tls.identity_files(certificate, key);
        }
        if self.insecure {
            tls = tls.danger_accept_invalid_certs();
        }
        tls.build()
    }
}
