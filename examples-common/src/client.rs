//! Options that all clients have.

use std::error::Error;
use std::path::PathBuf;

use ws_adapter::tls::{ClientTls, TlsError};
use ws_adapter::ws_proto::Version;
use ws_adapter::{Connector, Runtime};

use crate::{Compression, Limits};

/// How a client asks for a WebSocket.
#[derive(Clone, Debug, clap::Args)]
pub struct ClientOptions {
    /// A subprotocol to offer; may be repeated, the preferred first
    #[arg(long = "protocol", value_name = "P")]
    pub protocols: Vec<String>,
    /// A header to send; may be repeated
    #[arg(long = "header", value_name = "'K: V'", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// The version of the protocol: hixie-75, hixie-76, hybi-01 to hybi-08, or 13
    #[arg(long, value_name = "V", default_value = "13")]
    pub version: Version,
    /// The origin to send
    #[arg(long, value_name = "O")]
    pub origin: Option<String>,
    /// Connect to the Unix socket at this path, whatever host the URL names
    #[cfg(unix)]
    #[arg(long, value_name = "PATH")]
    pub unix: Option<PathBuf>,
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
    /// Limits of the connection.
    #[command(flatten)]
    pub limits: Limits,
    /// Whether to compress.
    #[command(flatten)]
    pub compression: Compression,
}

fn header(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once(':').ok_or("there is no colon")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl ClientOptions {
    /// A connector with these options.
    ///
    /// # Errors
    /// If the options are not possible here.
    pub fn connector<R: Runtime>(&self, url: &str) -> Result<Connector<R>, Box<dyn Error>> {
        Ok(crate::connector!(Connector::<R>, url, self))
    }

    /// How to speak TLS.
    ///
    /// # Errors
    /// If a file is not what it should be, or the system has no certificates to trust.
    pub fn tls(&self) -> Result<ClientTls, TlsError> {
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

/// A connector to a URL with [`ClientOptions`]. It is a macro for the sake of `ws-blocking`, whose connector is a type of its
/// own, with the same words. What goes wrong is returned by the function around it.
#[macro_export]
macro_rules! connector {
    ($connector:ty, $url:expr, $options:expr) => {{
        let (target, options) = ($crate::Target::parse($url)?, $options);
        let is_secure = target.is_secure();
        let mut connector = <$connector>::to(target).version(options.version).subprotocols(options.protocols.iter())?;
        for (name, value) in &options.headers {
            connector = connector.header(name, value)?;
        }
        if let Some(origin) = &options.origin {
            connector = connector.origin(origin)?;
        }
        #[cfg(unix)]
        if let Some(path) = &options.unix {
            connector = connector.connect_to(path.clone());
        }
        if is_secure {
            connector = connector.tls(options.tls()?);
        }
        connector.config(options.limits.config()).extensions(options.compression.extensions())
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_split_at_the_first_colon() {
        assert_eq!(header("K: V:W "), Ok(("K".to_owned(), "V:W".to_owned())));
        assert!(header("K").is_err());
    }
}
