//! Runs every case of an Autobahn fuzzing server, and has it write its report.
//!
//! ```sh
//! cargo run --release -p ws-tokio --example autobahn_client -- ws://127.0.0.1:9001 --agent ws-tokio
//! ```

use std::error::Error;

use examples_common::Parser;
use examples_common::autobahn::{Options, run};
use ws_tokio::Tokio;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run::<Tokio>(&Options::parse(), "ws-tokio").await
}
