//! Sends every message back.
//!
//! ```sh
//! cargo run --release -p ws-tokio --example echo_server -- --listen 127.0.0.1:8080
//! ```
//!
//! It takes WebSockets of the chosen versions on any path, and ends after SIGINT or SIGTERM once all connections are closed.

mod common;

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use common::{Compression, Limits, end_signal};
use ws_tokio::ws_proto::Versions;
use ws_tokio::{Acceptor, Server, ServerConfig, WebSocket};

/// How long connections have for the closing handshake when the server ends.
const GOODBYE: Duration = Duration::from_secs(5);

/// Sends every message back.
#[derive(Parser)]
struct Options {
    /// The address and port to listen on; port 0 is any free one
    #[arg(long, value_name = "ADDR")]
    listen: String,
    /// The versions of the protocol to accept: modern (13 only), deployed, all, or names with commas between
    #[arg(long, value_name = "LIST", default_value = "modern")]
    versions: Versions,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    compression: Compression,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut config = ServerConfig::from(options.limits.config());
    config.versions = options.versions;
    config.extensions = options.compression.extensions();
    let server = Server::bind(&options.listen).await?.acceptor(Acceptor::new(config));
    let end = end_signal()?;
    println!("listening on ws://{}", server.local_addr()?);
    let handle = server.handle();
    let serving = tokio::spawn(server.serve(|ws, _| echo(ws)));
    end.await?;
    handle.shutdown(GOODBYE);
    serving.await?;
    Ok(())
}

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        // If the connection is closing, `recv` sees to the rest.
        let _ = ws.send(message).await;
    }
}
