//! A server that sends every message back.

use std::time::Duration;

use ws_adapter::ws_proto::ServerConfig;
use ws_adapter::{Transfer, WebSocket};

use crate::{Compression, Limits, ServerOptions};

/// How long connections have for the closing handshake when the server ends.
pub const GOODBYE: Duration = Duration::from_secs(5);

/// Sends every message back.
///
/// It takes WebSockets on any path, and ends after SIGINT or SIGTERM once all connections are closed.
#[derive(Debug, clap::Parser)]
#[command(mut_group("where", |group| group.required(true)))]
pub struct Options {
    /// Where to listen, and for whom.
    #[command(flatten)]
    pub server: ServerOptions,
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
        config.extensions = self.compression.extensions();
        config
    }
}

/// Sends back what comes, until the connection has ended.
pub async fn echo<T, R: Transfer<T>>(mut ws: WebSocket<T, R>) {
    while let Some(message) = ws.recv().await {
        // If the connection is closing, `recv` sees to the rest.
        let _ = ws.send(message).await;
    }
}
