//! A WebSocket on the command line: lines of standard input are sent, messages are printed.
//!
//! ```sh
//! cargo run --release -p ws-tokio --example connect -- ws://127.0.0.1:8181/chat
//! ```
//!
//! Binary messages are printed as hex after `binary `. At the end of the input the connection is closed. How it ended
//! is told on standard error, as `closed CODE "REASON" clean` or `unclean`; the exit status is 0 only if clean.

mod common;

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::exit;

use clap::Parser;
use common::printable;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use ws_tokio::{CloseCode, Connector, Message, Sender};

/// A WebSocket on the command line: lines of standard input are sent, messages are printed.
#[derive(Parser)]
struct Options {
    /// ws://host[:port]/path
    url: String,
    /// A subprotocol to offer; may be repeated, the preferred first
    #[arg(long = "protocol", value_name = "P")]
    protocols: Vec<String>,
    /// A header to send; may be repeated
    #[arg(long = "header", value_name = "'K: V'", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The origin to send
    #[arg(long, value_name = "O")]
    origin: Option<String>,
}

fn header(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once(':').ok_or("there is no colon")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let status = match run(Options::parse()).await {
        Ok(clean) => i32::from(!clean),
        Err(error) => {
            eprintln!("{error}");
            2
        }
    };
    // Not by returning: a thread may still be waiting for input.
    exit(status);
}

/// Says whether the connection ended cleanly.
async fn run(options: Options) -> Result<bool, Box<dyn Error>> {
    let mut connector = Connector::new(&options.url)?.subprotocols(options.protocols)?;
    for (name, value) in &options.headers {
        connector = connector.header(name, value)?;
    }
    if let Some(origin) = &options.origin {
        connector = connector.origin(origin)?;
    }
    let (ws, _) = connector.connect().await?;
    let (mut receiver, sender) = ws.split();
    tokio::spawn(send_lines(sender));
    while let Some(message) = receiver.recv().await {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", line(&message))?;
        stdout.flush()?;
    }
    let Some(closed) = receiver.closed() else { return Ok(false) };
    let how = if closed.is_clean() { "clean" } else { "unclean" };
    eprintln!("closed {} \"{}\" {how}", closed.code(), printable(closed.reason()));
    Ok(closed.is_clean())
}

async fn send_lines(sender: Sender) {
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if sender.send(line).await.is_err() {
            return;
        }
    }
    // The code and the (empty) reason are legal.
    let _ = sender.close(CloseCode::NORMAL, "").await;
}

fn line(message: &Message) -> String {
    match message {
        Message::Text(text) => printable(text.as_str()),
        Message::Binary(bytes) => {
            let mut line = String::from("binary ");
            for byte in bytes.iter() {
                let _ = write!(line, "{byte:02x}");
            }
            line
        }
    }
}
