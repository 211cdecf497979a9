//! A WebSocket on the command line: lines of standard input are sent, messages are printed.
//!
//! ```sh
//! cargo run --release -p ws-async-std --example connect_async_std -- ws://127.0.0.1:8181/chat
//! ```
//!
//! Binary messages are printed as hex after `binary `. At the end of the input the connection is closed. How it ended
//! is told on standard error, as `closed CODE "REASON" clean` or `unclean`; the exit status is 0 only if clean.
//! Input that can't be read or is not UTF-8 ends the connection, too, and the exit status is then not 0.

mod common;

use common::block_on;
use examples_common::Parser;
use examples_common::connect::{Options, end, run};
use ws_async_std::FuturesIo;

fn main() {
    end(block_on(run::<FuturesIo>(&Options::parse())))
}
