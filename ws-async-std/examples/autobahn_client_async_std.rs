//! Runs every case of an Autobahn fuzzing server, and has it write its report.
//!
//! ```sh
//! cargo run --release -p ws-async-std --example autobahn_client_async_std -- ws://127.0.0.1:9001
//! ```

mod common;

use std::error::Error;

use common::block_on;
use examples_common::Parser;
use examples_common::autobahn::{Options, run};
use ws_async_std::FuturesIo;

fn main() -> Result<(), Box<dyn Error>> {
    block_on(run::<FuturesIo>(&Options::parse(), "ws-async-std"))
}
