//! A chat server and its web page, on one port.
//!
//! ```sh
//! cargo run --release -p ws-tokio --example chat
//! ```
//!
//! Then open <http://127.0.0.1:8181/> in as many windows as you like. `/nick NAME` gives you a name. On the console,
//! `users` prints how many people there are and `quit` ends the server. With `--versions all` programs that speak an old
//! version of the protocol can take part.
//!
//! The protocol at `/chat`: each text message to the server is a line that somebody says, and each text message
//! from it is a line to show (`me: hi`, `alice: hi`, `server: alice left`). That is all that a client needs, so
//! the example `connect ws://127.0.0.1:8181/chat` can chat, too. A client that asks for the subprotocol `chat.people`,
//! as the page does, also gets the list of people whenever it changes: a binary message with one name in each line,
//! the client's own first. Versions of the protocol without binary messages have no list.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Parser;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use ws_tokio::deflate::Deflate;
use ws_tokio::handshake::SubprotocolError;
use ws_tokio::ws_proto::Versions;
use ws_tokio::{
    Accept, Acceptor, Address, CloseCode, Config, Decision, HeaderError, Message, Receiver, Reply, Report, Request,
    Sender, Server, ServerConfig, SubprotocolPolicy, Utf8Bytes, WebSocket,
};

#[path = "common/mod.rs"]
mod common;
#[path = "chat/hub.rs"]
pub(crate) mod hub;
#[path = "chat/room.rs"]
mod room;
use common::{deflate_if, end_signal};
use hub::{Hub, Place, Seat};

const PAGE: &str = include_str!("chat/index.html");
/// The page brings everything along and talks to its own host only.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
    connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The subprotocol of those who want to know who is there.
const PEOPLE: &str = "chat.people";
/// The longest message, in bytes; the page sends at most 6,000.
const MAX_MESSAGE: u64 = 8 * 1024;
/// One person may say a line this often, in the long run...
const LINE_INTERVAL: Duration = Duration::from_millis(50);
/// ...and be ahead of that by this much. Further ones wait; nobody can drown the others.
const AHEAD: Duration = Duration::from_secs(5);
/// How long people have for the closing handshake when the server ends.
const GOODBYE: Duration = Duration::from_secs(3);

#[derive(Parser)]
#[command(about = "A chat server and its web page, on one port")]
struct Options {
    /// The address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:8181")]
    listen: String,
    /// The versions of the protocol to accept: modern (13 only), deployed, all, or names with commas between.
    #[arg(long, value_name = "LIST", default_value = "modern")]
    versions: Versions,
    /// Compress messages with permessage-deflate, if the client can
    #[arg(long)]
    deflate: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let hub = Arc::new(Hub::default());
    let server = bind(&options.listen, options.versions, options.deflate).await?;
    let handle = server.handle();
    let mut end = std::pin::pin!(end_signal()?);
    println!("listening on http://{}/", server.local_addr()?);
    let mut console = console();
    let serving = tokio::spawn(serve(server, hub.clone()));
    loop {
        tokio::select! {
            signal = &mut end => break signal?,
            Some(command) = console.recv() => match command.trim() {
                "users" => println!("{}", hub.len()),
                "quit" => break,
                "" => {}
                _ => eprintln!("commands: users, quit"),
            },
        }
    }
    handle.shutdown(GOODBYE);
    serving.await?;
    Ok(())
}

/// The page and the WebSocket, on a port.
pub(crate) async fn bind(address: &str, versions: Versions, deflate: bool) -> Result<Server, Box<dyn Error>> {
    let mut config = Config::default();
    config.limits.message = MAX_MESSAGE;
    let mut config = ServerConfig::from(config);
    config.versions = versions;
    config.subprotocols = subprotocols()?;
    config.extensions = deflate_if(deflate, Deflate::default());
    let server = Server::bind(address).await?.acceptor(Acceptor::new(config));
    Ok(server.decide(|request: &Request, _: &Address| {
        let decision = decide(request);
        async move { decision }
    }))
}

/// Serves until the server is shut down.
pub(crate) async fn serve(server: Server, hub: Arc<Hub>) -> Report {
    server.serve(move |socket, _| session(socket, hub.join())).await
}

fn subprotocols() -> Result<SubprotocolPolicy, SubprotocolError> {
    SubprotocolPolicy::client_order([PEOPLE])
}

/// What a request gets.
fn decide(request: &Request) -> Decision {
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

/// One person's visit.
pub(crate) async fn session<T>(socket: WebSocket<T>, seat: Seat)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let wants_people = socket.subprotocol() == Some(PEOPLE) && socket.negotiated().version.has_binary();
    let Seat { place, lines, people } = seat;
    let (mut receiver, sender) = socket.split();
    // Side by side: while a slow reader keeps us from telling, we still listen, and notice if he goes.
    let farewell = tokio::select! {
        farewell = listen(&mut receiver, &place) => farewell,
        farewell = tell(&sender, &place, lines, people, wants_people) => farewell,
    };
    drop(place);
    if let Some((code, reason)) = farewell {
        // Until the end we have to listen: the answer to our Close and the deadline for it come that way.
        let rest = async { while receiver.recv().await.is_some() {} };
        let _ = tokio::join!(sender.close(code, reason), rest);
    }
}

/// Why we end a visit; `None` if the connection has ended by itself.
type Farewell = Option<(CloseCode, &'static str)>;

/// Hears what a person says, at a bearable pace.
async fn listen<T>(receiver: &mut Receiver<T>, place: &Place) -> Farewell
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    // When the next line would be due if they came evenly.
    let mut due = Instant::now();
    while let Some(message) = receiver.recv().await {
        let Message::Text(text) = message else { return Some((CloseCode::UNSUPPORTED_DATA, "text only")) };
        place.say(text.as_str());
        let now = Instant::now();
        due = due.max(now) + LINE_INTERVAL;
        let ahead = due - now;
        if ahead > AHEAD {
            sleep(ahead - AHEAD).await;
        }
    }
    None
}

/// Tells a person what is said, and who is there.
async fn tell<T>(
    sender: &Sender<T>,
    place: &Place,
    mut lines: mpsc::Receiver<Utf8Bytes>,
    mut people: watch::Receiver<()>,
    wants_people: bool,
) -> Farewell
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let sent = tokio::select! {
            line = lines.recv() => match line {
                Some(line) => sender.send(line).await,
                None => return Some((CloseCode::TRY_AGAIN_LATER, "you are reading too slowly")),
            },
            Ok(()) = people.changed(), if wants_people => sender.send(place.people().into_bytes()).await,
        };
        if sent.is_err() {
            return None;
        }
    }
}

/// The lines typed on the console. A thread of its own, because reading them can't be called off.
fn console() -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    thread::spawn(move || io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    lines
}

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
