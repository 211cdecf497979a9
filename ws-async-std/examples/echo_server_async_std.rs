//! Sends every message back.
//!
//! ```sh
//! cargo run --release -p ws-async-std --example echo_server_async_std -- --listen 127.0.0.1:8080
//! ```
//!
//! It takes WebSockets of the chosen versions on any path, and ends after SIGINT or SIGTERM once all connections are closed.

mod common;

use std::error::Error;

use common::block_on;
use examples_common::echo::{GOODBYE, Options, echo};
use examples_common::{Parser, at_end};
use ws_async_std::Server;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    block_on(async {
        let server: Server = options.server.server(options.config()).await?;
        let handle = server.handle();
        at_end(move || handle.shutdown(GOODBYE))?;
        println!("listening on {}", options.server.url("ws", &server.local_addr()?, ""));
        server.serve(|ws, _| echo(ws)).await;
        options.server.clean_up()?;
        Ok(())
    })
}
