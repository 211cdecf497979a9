//! A chat server and its web page, on one port.
//!
//! The protocol at `/chat`: each text message to the server is a line that somebody says, and each text message
//! from it is a line to show (`me: hi`, `alice: hi`, `server: alice left`). That is all that a client needs, so
//! the example `connect ws://127.0.0.1:8181/chat` can chat, too. A client that asks for the subprotocol `chat.people`,
//! as the page does, also gets the list of people whenever it changes: a binary message with one name in each line,
//! the client's own first. Versions of the protocol without binary messages have no list.

mod hub;
mod pace;
mod room;
mod session;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ws_adapter::Decision;
use ws_adapter::ws_proto::deflate::Deflate;
use ws_adapter::ws_proto::handshake::{SubprotocolError, SubprotocolPolicy};
use ws_adapter::ws_proto::http::HeaderError;
use ws_adapter::ws_proto::{Accept, CloseCode, Config, Negotiated, Reply, Request, ServerConfig};

use crate::options::deflate_if;
use crate::{Lines, ServerOptions};

pub use async_channel::Receiver as Mail;
pub use hub::{Hub, News, Place, Seat};
pub use pace::Pace;
pub use session::session;

/// The page that people chat with in a browser. It brings everything along.
pub const PAGE: &str = include_str!("index.html");
/// How long people have for the closing handshake when the server ends.
pub const GOODBYE: Duration = Duration::from_secs(3);

/// The page talks to its own host only.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
    connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The subprotocol of those who want to know who is there.
const PEOPLE: &str = "chat.people";
/// The longest message, in bytes; the page sends at most 6,000.
const MAX_MESSAGE: u64 = 8 * 1024;

/// A chat server and its web page, on one port.
///
/// On the console, `users` prints how many people there are and `quit` ends the server.
#[derive(Debug, clap::Parser)]
#[command(mut_arg("listen", |arg| arg.default_value("127.0.0.1:8181")))]
pub struct Options {
    /// Where to listen, and for whom.
    #[command(flatten)]
    pub server: ServerOptions,
    /// Compress messages with permessage-deflate, if the client can
    #[arg(long)]
    deflate: bool,
}

impl Options {
    /// The settings of handshakes and connections.
    ///
    /// # Errors
    /// None that happens.
    pub fn config(&self) -> Result<ServerConfig, SubprotocolError> {
        let mut config = Config::default();
        config.limits.message = MAX_MESSAGE;
        let mut config = ServerConfig::from(config);
        config.subprotocols = SubprotocolPolicy::client_order([PEOPLE])?;
        config.extensions = deflate_if(self.deflate, Deflate::default());
        Ok(config)
    }
}

/// Does what is typed on the console, in a thread of its own: `quit` calls `quit`.
pub fn console(hub: Arc<Hub>, quit: impl Fn() + Send + 'static) {
    thread::spawn(move || {
        for line in Lines::new(io::stdin().lock()).map_while(Result::ok) {
            match line.trim() {
                "users" => println!("{}", hub.len()),
                "quit" => quit(),
                "" => {}
                _ => eprintln!("commands: users, quit"),
            }
        }
    });
}

/// What a request gets.
#[must_use]
pub fn decide(request: &Request) -> Decision {
    let host = request.header("host").unwrap_or_default();
    match (request.path(), request.is_websocket()) {
        // Any page in the world can open a WebSocket to here, from the browser of somebody who can.
        ("/chat", true) if request.origin().is_some_and(|origin| !is_same_host(origin, host)) => {
            Reply::text(403, "This chat has a page of its own.\n").into()
        }
        ("/chat", true) => Accept::new().into(),
        ("/", false) => page().unwrap_or_else(|_| Reply::new(500)).into(),
        ("/healthz", false) => Reply::text(200, "ok\n").into(),
        _ => Reply::text(404, "There is nothing here.\n").into(),
    }
}

fn page() -> Result<Reply, HeaderError> {
    Reply::new(200)
        .header("Cache-Control", "no-cache")?
        .header("Content-Security-Policy", POLICY)?
        .header("Referrer-Policy", "no-referrer")?
        .header("X-Content-Type-Options", "nosniff")?
        .body("text/html; charset=utf-8", PAGE)
}

/// Whether `origin` (as in the header `Origin`) is a page from `host` (as in the header `Host`).
fn is_same_host(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// Whether the other side of a connection wants the list of people.
#[must_use]
pub fn wants_people(subprotocol: Option<&str>, negotiated: &Negotiated) -> bool {
    subprotocol == Some(PEOPLE) && negotiated.version.has_binary()
}

/// Why we end somebody's visit, as it stands in the Close.
pub type Farewell = (CloseCode, &'static str);

/// To those who send what is no text.
pub const TEXT_ONLY: Farewell = (CloseCode::UNSUPPORTED_DATA, "text only");
/// To those for whom the system has nothing left.
pub const NO_ROOM: Farewell = (CloseCode::TRY_AGAIN_LATER, "there is no room");
/// To those whose mailbox is full.
pub const TOO_SLOW: Farewell = (CloseCode::TRY_AGAIN_LATER, "you are reading too slowly");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_of_the_same_host() {
        for (origin, host) in [
            ("http://127.0.0.1:8181", "127.0.0.1:8181"),
            ("https://chat.example", "chat.example"),
            ("http://Chat.example", "chat.example"),
            ("http://[::1]:8181", "[::1]:8181"),
        ] {
            assert!(is_same_host(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://evil.example", "127.0.0.1:8181"),
            ("http://127.0.0.1:8182", "127.0.0.1:8181"),
            ("http://127.0.0.1", "127.0.0.1:8181"),
            ("http://127.0.0.1:8181.evil.example", "127.0.0.1:8181"),
            ("127.0.0.1:8181", "127.0.0.1:8181"),
            ("file://127.0.0.1:8181", "127.0.0.1:8181"),
            ("null", "null"),
            ("http://", "127.0.0.1:8181"),
        ] {
            assert!(!is_same_host(origin, host), "{origin} {host}");
        }
    }
}
