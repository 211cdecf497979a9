//! Options that all servers have.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use ws_adapter::tls::{ServerTls, TlsError};
use ws_adapter::ws_proto::{ServerConfig, Versions};
use ws_adapter::{Acceptor, Address, Network, Server};

/// Where a server listens, and what it takes.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("where").args(WHERE))]
pub struct ServerOptions {
    /// The address and port to listen on; port 0 is any free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Listen on a Unix socket at this path instead, which must not exist yet
    #[cfg(unix)]
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
    /// Speak TLS, with the certificate (and those between it and a root) in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Take only clients that have a certificate from one of those in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// The versions of the protocol to accept: modern (13 only), deployed, all, or names with commas between
    #[arg(long, value_name = "LIST", default_value = "modern")]
    versions: Versions,
}

#[cfg(unix)]
const WHERE: [&str; 2] = ["listen", "unix"];
#[cfg(not(unix))]
const WHERE: [&str; 1] = ["listen"];

impl ServerOptions {
    /// A server that is not serving yet, with these settings and the versions that were asked for.
    ///
    /// # Errors
    /// If the options are not possible here.
    pub async fn server<R: Network>(&self, config: ServerConfig) -> Result<Server<R>, Box<dyn Error>> {
        let tls = self.tls()?;
        let server = self.bind().await?.acceptor(Acceptor::new(self.config(config)));
        Ok(match tls {
            Some(tls) => server.tls(tls),
            None => server,
        })
    }

    async fn bind<R: Network>(&self) -> io::Result<Server<R>> {
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

    /// The settings of TLS, if it is wanted.
    ///
    /// # Errors
    /// If a file is not what it should be.
    pub fn tls(&self) -> Result<Option<ServerTls>, TlsError> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let mut tls = ServerTls::builder().certificate_files(certificate, key);
        if let Some(roots) = &self.tls_client_ca {
            tls = tls.client_root_file(roots);
        }
        tls.build().map(Some)
    }

    /// These settings, with the versions that were asked for.
    #[must_use]
    pub fn config(&self, mut config: ServerConfig) -> ServerConfig {
        config.versions = self.versions;
        config
    }

    /// How clients reach `path` at `address`: a URL with this scheme (one `s` longer with TLS), or a Unix socket.
    #[must_use]
    pub fn url(&self, scheme: &str, address: &Address, path: &str) -> String {
        let s = if self.tls_cert.is_some() { "s" } else { "" };
        if address.tcp().is_some() { format!("{scheme}{s}://{address}{path}") } else { address.to_string() }
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
