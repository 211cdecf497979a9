//! A server that sends every message back.

use std::error::Error;
use std::time::Duration;

use ws_adapter::ws_proto::{ServerConfig, Versions};
use ws_adapter::{Acceptor, Network, Server, Transfer, WebSocket};

use crate::{Compression, Limits, Listen, ServerTlsFiles};

/// How long connections have for the closing handshake when the server ends.
pub const GOODBYE: Duration = Duration::from_secs(5);

/// Sends every message back.
///
/// It takes WebSockets on any path, and ends after SIGINT or SIGTERM once all connections are closed.
#[derive(Debug, clap::Parser)]
#[command(mut_group("where", |group| group.required(true)))]
pub struct Options {
    /// Where to listen.
    #[command(flatten)]
    pub listen: Listen,
    /// How to speak TLS.
    #[command(flatten)]
    pub tls: ServerTlsFiles,
    /// The versions of the protocol to accept: modern (13 only), deployed, all, or names with commas between
    #[arg(long, value_name = "LIST", default_value = "modern")]
    versions: Versions,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    compression: Compression,
}

impl Options {
    /// The settings of handshakes and connections.
    #[must_use]
    pub fn config(&self) -> ServerConfig {
        let mut config = ServerConfig::from(self.limits.config());
        config.versions = self.versions;
        config.extensions = self.compression.extensions();
        config
    }

    /// A server that is not serving yet.
    ///
    /// # Errors
    /// If the options are not possible here.
    pub async fn server<R: Network>(&self) -> Result<Server<R>, Box<dyn Error>> {
        let tls = self.tls.settings()?;
        let server = self.listen.bind().await?.acceptor(Acceptor::new(self.config()));
        Ok(match tls {
            Some(tls) => server.tls(tls),
            None => server,
        })
    }
}

/// Sends back what comes, until the connection has ended.
pub async fn echo<T, R: Transfer<T>>(mut ws: WebSocket<T, R>) {
    while let Some(message) = ws.recv().await {
        // If the connection is closing, `recv` sees to the rest.
        let _ = ws.send(message).await;
    }
}
