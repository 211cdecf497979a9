//! A WebSocket on the command line: lines of the standard input are sent, messages are printed.

use std::cell::Cell;
use std::error::Error;
use std::fmt::Write as _;
use std::future::pending;
use std::io::{self, Write as _};
use std::process::exit;
use std::thread;

use async_channel::Receiver;
use futures_lite::future::or;
use ws_adapter::Network;
use ws_adapter::ws_proto::{CloseCode, Closed, Message, Negotiated};

use crate::{ClientOptions, Lines, printable};

/// A WebSocket on the command line: lines of standard input are sent, messages are printed.
///
/// Binary messages are printed as hex after `binary `. At the end of the input the connection is closed. How it ended is
/// told on standard error, as `closed CODE "REASON" clean` or `unclean`; the exit status is 0 only if clean.
/// Input that can't be read or is not UTF-8 ends the connection, too, and the exit status is then not 0.
#[derive(Debug, clap::Parser)]
pub struct Options {
    /// Where to connect to: a ws:// URL, or wss:// for TLS
    pub url: String,
    /// How to ask for a WebSocket.
    #[command(flatten)]
    pub client: ClientOptions,
}

/// Runs the program, and says whether all input was good and the connection ended cleanly.
///
/// # Errors
/// If there was no connection, or the standard output can't be written to.
pub async fn run<R: Network>(options: &Options) -> Result<bool, Box<dyn Error>> {
    let (ws, _) = options.client.connector::<R>(&options.url)?.connect().await?;
    print_agreed(ws.negotiated());
    let (mut receiver, sender) = ws.split();
    let good_input = Cell::new(true);
    let sending = async {
        let input = input();
        while let Ok(line) = input.recv().await {
            let Ok(line) = line.inspect_err(|error| eprintln!("standard input: {error}")) else {
                good_input.set(false);
                break;
            };
            if sender.send(line).await.is_err() {
                break;
            }
        }
        // The code and the (empty) reason are legal.
        let _ = sender.close(CloseCode::NORMAL, "").await;
        // It is the receiver who learns how the connection ends.
        pending().await
    };
    let receiving = async {
        while let Some(message) = receiver.recv().await {
            print(&message)?;
        }
        io::Result::Ok(())
    };
    or(receiving, sending).await?;
    Ok(print_closed(receiver.closed()) && good_input.get())
}

/// The lines of the standard input. They are read by a thread, because reading them can't be called off.
fn input() -> Receiver<io::Result<String>> {
    let (sender, lines) = async_channel::bounded(1);
    thread::spawn(move || Lines::new(io::stdin().lock()).try_for_each(|line| sender.send_blocking(line)));
    lines
}

/// Says what was agreed on, if there is something to say.
pub fn print_agreed(negotiated: &Negotiated) {
    if let Some(agreed) = &negotiated.extension {
        eprintln!("agreed on {}", agreed.extension());
    }
}

/// Prints a message, as one line.
///
/// # Errors
/// If the standard output can't be written to.
pub fn print(message: &Message) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", line(message))?;
    stdout.flush()
}

/// Says how the connection ended. True if it was clean.
#[must_use]
pub fn print_closed(closed: Option<&Closed>) -> bool {
    let Some(closed) = closed else { return false };
    let how = if closed.is_clean() { "clean" } else { "unclean" };
    eprintln!("closed {} \"{}\" {how}", closed.code(), printable(closed.reason()));
    closed.is_clean()
}

/// Ends the program: with status 0 if all was well, 1 if not, 2 with a message if there was an error.
pub fn end(result: Result<bool, Box<dyn Error>>) -> ! {
    let status = match result {
        Ok(good) => i32::from(!good),
        Err(error) => {
            eprintln!("{error}");
            2
        }
    };
    // Not by returning: a thread may still be waiting for input.
    exit(status);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_a_line() {
        assert_eq!(line(&Message::from("a\nb")), "a\\u{a}b");
        assert_eq!(line(&Message::from(vec![0, 0xff, 0x2a])), "binary 00ff2a");
        assert_eq!(line(&Message::from(Vec::new())), "binary ");
    }
}
