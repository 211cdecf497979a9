//! Sends every message back.
//!
//! ```sh
//! cargo run --release -p ws-blocking --example echo_server_blocking -- --listen 127.0.0.1:8080
//! ```
//!
//! It takes WebSockets of the chosen versions on any path, and ends after SIGINT or SIGTERM once all connections are closed.

mod common;

use std::error::Error;

use common::server;
use examples_common::echo::{GOODBYE, Options};
use examples_common::{Parser, at_end};
use ws_blocking::WebSocket;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let server = server(&options.server, options.config())?;
    let handle = server.handle();
    at_end(move || handle.shutdown(GOODBYE))?;
    println!("listening on {}", options.server.url("ws", &server.local_addr()?, ""));
    server.serve(|ws, _| echo(ws));
    options.server.clean_up()?;
    Ok(())
}

fn echo(mut ws: WebSocket) {
    while let Ok(Some(message)) = ws.recv() {
        // If the connection is closing, `recv` sees to the rest.
        let _ = ws.send(message);
    }
}
