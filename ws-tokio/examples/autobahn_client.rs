//! Runs every case of an Autobahn fuzzing server, and has it write its report.
//!
//! ```sh
//! cargo run --release -p ws-tokio --example autobahn_client -- ws://127.0.0.1:9001 --agent ws-tokio
//! ```

mod common;

use std::error::Error;

use clap::Parser;
use common::{Compression, Limits};
use ws_tokio::ws_proto::Version;
use ws_tokio::{Connector, WebSocket};

/// Runs every case of an Autobahn fuzzing server, and has it write its report.
#[derive(Parser)]
struct Options {
    /// The fuzzing server: ws://host:port
    url: String,
    /// The name in the report
    #[arg(long, value_name = "NAME", default_value = "ws-tokio")]
    agent: String,
    /// The version of the protocol: hixie-75, hixie-76, hybi-01 to hybi-08, or 13
    #[arg(long, value_name = "V", default_value = "13")]
    version: Version,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    compression: Compression,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let url = options.url.trim_end_matches('/');
    let agent = &options.agent;
    let extensions = options.compression.extensions();
    let connect = async |path: String| -> Result<WebSocket, Box<dyn Error>> {
        let connector = Connector::new(&format!("{url}/{path}"))?.version(options.version);
        let connector = connector.config(options.limits.config()).extensions(extensions.clone());
        Ok(connector.connect().await?.0)
    };

    let mut ws = connect("getCaseCount".to_owned()).await?;
    let count: u32 =
        ws.recv().await.and_then(|m| m.as_text()?.parse().ok()).ok_or("the server did not say how many")?;
    ws.close(1000, "").await?;
    for case in 1..=count {
        match connect(format!("runCase?case={case}&agent={agent}")).await {
            Ok(ws) => echo(ws).await,
            Err(error) => eprintln!("case {case}: {error}"),
        }
    }
    let mut ws = connect(format!("updateReports?agent={agent}")).await?;
    while ws.recv().await.is_some() {}
    println!("{count} cases");
    Ok(())
}

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        // If the connection is closing, `recv` sees to the rest.
        let _ = ws.send(message).await;
    }
}
