//! Runs every case of an Autobahn fuzzing server, and has it write its report.
//!
//! ```sh
//! cargo run --release -p ws-blocking --example autobahn_client_blocking -- ws://127.0.0.1:9001
//! ```

use std::error::Error;

use examples_common::autobahn::{Options, count};
use examples_common::{Parser, connector};
use ws_blocking::{Connector, WebSocket};

const LIBRARY: &str = "ws-blocking";

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let connect = |url: String| -> Result<WebSocket, Box<dyn Error>> {
        Ok(connector!(Connector, &url, &options.client).connect()?.0)
    };
    let mut ws = connect(options.count())?;
    let count = count(ws.recv()?)?;
    ws.close(1000, "")?;
    for case in 1..=count {
        match connect(options.case(LIBRARY, case)) {
            Ok(ws) => echo(ws),
            Err(error) => eprintln!("case {case}: {error}"),
        }
    }
    let mut ws = connect(options.report(LIBRARY))?;
    while ws.recv()?.is_some() {}
    println!("{count} cases");
    Ok(())
}

fn echo(mut ws: WebSocket) {
    while let Ok(Some(message)) = ws.recv() {
        // If the connection is closing, `recv` sees to the rest.
        let _ = ws.send(message);
    }
}
