//! A WebSocket on the command line: lines of standard input are sent, messages are printed.
//!
//! ```sh
//! cargo run --release -p ws-blocking --example connect_blocking -- ws://127.0.0.1:8181/chat
//! ```
//!
//! Binary messages are printed as hex after `binary `. At the end of the input the connection is closed. How it ended
//! is told on standard error, as `closed CODE "REASON" clean` or `unclean`; the exit status is 0 only if clean.
//! Input that can't be read or is not UTF-8 ends the connection, too, and the exit status is then not 0.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use examples_common::connect::{Options, end, print, print_agreed, print_closed};
use examples_common::{Lines, Parser, connector};
use ws_blocking::{CloseCode, Connector, Sender};

fn main() {
    end(run(&Options::parse()))
}

/// Says whether all input was good and the connection ended cleanly.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let (ws, _) = connector!(Connector, &options.url, &options.client).connect()?;
    print_agreed(ws.negotiated());
    let (mut receiver, sender) = ws.split();
    let good_input = Arc::new(AtomicBool::new(true));
    thread::spawn({
        let good_input = good_input.clone();
        move || send_lines(&sender, &good_input)
    });
    while let Some(message) = receiver.recv()? {
        print(&message)?;
    }
    Ok(print_closed(receiver.closed()) && good_input.load(Ordering::Relaxed))
}

fn send_lines(sender: &Sender, good_input: &AtomicBool) {
    for line in Lines::new(io::stdin().lock()) {
        let Ok(line) = line.inspect_err(|error| eprintln!("standard input: {error}")) else {
            good_input.store(false, Ordering::Relaxed);
            break;
        };
        if sender.send(line).is_err() {
            return;
        }
    }
    // The code and the (empty) reason are legal.
    let _ = sender.close(CloseCode::NORMAL, "");
}
