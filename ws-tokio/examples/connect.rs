//! A WebSocket on the command line: lines of standard input are sent, messages are printed.
//!
//! ```sh
//! cargo run --release -p ws-tokio --example connect -- ws://127.0.0.1:8181/chat
//! ```
//!
//! Binary messages are printed as hex after `binary `. At the end of the input the connection is closed. How it ended
//! is told on standard error, as `closed CODE "REASON" clean` or `unclean`; the exit status is 0 only if clean.
//! Input that can't be read or is not UTF-8 ends the connection, too, and the exit status is then not 0.

mod common;

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use common::{Compression, printable};
use tokio::io::{AsyncBufReadExt, BufReader, Stdin, stdin};
use ws_tokio::ws_proto::Version;
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
    /// The version of the protocol: hixie-75, hixie-76, hybi-01 to hybi-08, or 13
    #[arg(long, value_name = "V", default_value = "13")]
    version: Version,
    /// The origin to send
    #[arg(long, value_name = "O")]
    origin: Option<String>,
    #[command(flatten)]
    compression: Compression,
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

/// Says whether all input was good and the connection ended cleanly.
async fn run(options: Options) -> Result<bool, Box<dyn Error>> {
    let mut connector = Connector::new(&options.url)?.version(options.version).subprotocols(options.protocols)?;
    for (name, value) in &options.headers {
        connector = connector.header(name, value)?;
    }
    if let Some(origin) = &options.origin {
        connector = connector.origin(origin)?;
    }
    connector = connector.extensions(options.compression.extensions());
    let (ws, _) = connector.connect().await?;
    if let Some(agreed) = &ws.negotiated().extension {
        eprintln!("agreed on {}", agreed.extension());
    }
    let (mut receiver, sender) = ws.split();
    let bad_input = Arc::new(AtomicBool::new(false));
    tokio::spawn(send_lines(sender, bad_input.clone()));
    while let Some(message) = receiver.recv().await {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", line(&message))?;
        stdout.flush()?;
    }
    let Some(closed) = receiver.closed() else { return Ok(false) };
    let how = if closed.is_clean() { "clean" } else { "unclean" };
    eprintln!("closed {} \"{}\" {how}", closed.code(), printable(closed.reason()));
    Ok(closed.is_clean() && !bad_input.load(Ordering::Relaxed))
}

async fn send_lines(sender: Sender, bad_input: Arc<AtomicBool>) {
    let mut input = BufReader::new(stdin());
    loop {
        match next_line(&mut input).await {
            Ok(Some(line)) => {
                if sender.send(line).await.is_err() {
                    return;
                }
            }
            Ok(None) => break,
            Err(error) => {
                eprintln!("standard input: {error}");
                bad_input.store(true, Ordering::Relaxed);
                break;
            }
        }
    }
    // The code and the (empty) reason are legal.
    let _ = sender.close(CloseCode::NORMAL, "").await;
}

async fn next_line(input: &mut BufReader<Stdin>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if input.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    if line.pop_if(|byte| *byte == b'\n').is_some() {
        line.pop_if(|byte| *byte == b'\r');
    }
    String::from_utf8(line).map(Some).map_err(|_| io::Error::new(ErrorKind::InvalidData, "a line is not UTF-8"))
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
