//! The chat server of the examples, talked to by clients that read and write lines.

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use examples_common::Parser;
use examples_common::chat::{Hub, Options, PAGE, decide, session};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use ws_tokio::{
    CloseCode, Config, ConnectError, Connector, Message, Negotiated, NetStream, Report, Role, Server, ServerHandle,
    Version, WebSocket,
};

/// Ends a wait for something that never comes; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

struct Running {
    address: SocketAddr,
    hub: Arc<Hub>,
    handle: ServerHandle,
    task: JoinHandle<Report>,
}

impl Running {
    async fn start() -> Self {
        let options = Options::parse_from(["chat", "--listen", "127.0.0.1:0"]);
        let server: Server = options.server.server(options.config().unwrap()).await.unwrap();
        let server = server.decide(|request, _| ready(decide(request)));
        let hub = Arc::new(Hub::default());
        let (address, handle) = (server.local_addr().unwrap().tcp().unwrap(), server.handle());
        let task = tokio::spawn({
            let hub = hub.clone();
            server.serve(move |socket, _| session(socket, hub.join()))
        });
        Self { address, hub, handle, task }
    }

    async fn end(self) -> Report {
        self.handle.shutdown(PATIENCE);
        timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }

    fn connector(&self) -> Connector {
        Connector::new(&format!("ws://{}/chat", self.address)).unwrap()
    }

    async fn join(&self, connector: Connector) -> Person {
        let there = self.hub.len();
        let (socket, _) = connector.connect().await.unwrap();
        let person = Person { socket };
        // The server may not have given them a place yet.
        while self.hub.len() == there {
            tokio::task::yield_now().await;
        }
        person
    }

    /// What a request gets: the head and the body of the answer.
    async fn ask(&self, request: &str) -> (String, String) {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(format!("{request} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

struct Person<T = NetStream> {
    socket: WebSocket<T>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Person<T> {
    async fn say(&mut self, line: &str) {
        self.socket.send(line).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        timeout(PATIENCE, self.socket.recv()).await.unwrap().unwrap()
    }

    async fn sees(&mut self, line: &str) {
        assert_eq!(self.next().await.as_text(), Some(line));
    }

    /// Reads until the list of people is this one.
    async fn sees_people(&mut self, names: &[&str]) {
        loop {
            let message = self.next().await;
            assert_eq!(message.as_text(), None);
            if message.as_bytes() == names.join("\n").as_bytes() {
                return;
            }
        }
    }

    /// Reads to the end, and gives the close code.
    async fn end(mut self) -> CloseCode {
        while timeout(PATIENCE, self.socket.recv()).await.unwrap().is_some() {}
        self.socket.closed().unwrap().code()
    }

    async fn leave(mut self) {
        assert!(self.socket.close(CloseCode::NORMAL, "").await.unwrap().is_clean());
    }
}

#[tokio::test]
async fn a_134_nicks_messages_and_leaving() {
    let server = Running::start().await;
    let mut a = server.join(server.connector()).await;
    let mut b = server.join(server.connector()).await;
    a.say("/nick bob").await;
    for person in [&mut a, &mut b] {
        person.sees("server: john doe is now bob").await;
    }
    b.say("/nick bob").await;
    for person in [&mut a, &mut b] {
        person.sees("server: john doe is now bob_").await;
    }
    a.say("hi").await;
    a.sees("me: hi").await;
    b.sees("bob: hi").await;
    b.say("Κόσμε 💬 <b>").await;
    b.sees("me: Κόσμε 💬 <b>").await;
    a.sees("bob_: Κόσμε 💬 <b>").await;
    b.leave().await;
    a.sees("server: bob_ left").await;
    a.say("anyone?").await;
    a.sees("me: anyone?").await;
    drop(a);
    server.end().await;
}

#[tokio::test]
async fn who_vanishes_has_left() {
    let server = Running::start().await;
    let mut a = server.join(server.connector()).await;
    let mut b = server.join(server.connector()).await;
    b.say("/nick bob").await;
    a.sees("server: john doe is now bob").await;
    drop(b);
    a.sees("server: bob left").await;
    drop(a);
    server.end().await;
}

#[tokio::test]
async fn people_are_told_to_those_who_ask() {
    let server = Running::start().await;
    let connector = server.connector().subprotocols(["chat.people"]).unwrap();
    let mut a = server.join(connector.clone()).await;
    assert_eq!(a.socket.subprotocol(), Some("chat.people"));
    a.sees_people(&["john doe"]).await;
    let mut b = server.join(connector).await;
    a.sees_people(&["john doe", "john doe"]).await;
    b.sees_people(&["john doe", "john doe"]).await;
    b.say("/nick bob").await;
    // The line and the list may come in any order.
    let mut lines = 0;
    for person in [&mut a, &mut b] {
        for _ in 0..2 {
            lines += usize::from(person.next().await.as_text().is_some());
        }
    }
    assert_eq!(lines, 2);
    assert_eq!(server.hub.len(), 2);
    b.leave().await;
    while server.hub.len() > 1 {
        tokio::task::yield_now().await;
    }
    let mut last = (a.next().await, a.next().await);
    if last.0.as_text().is_some() {
        std::mem::swap(&mut last.0, &mut last.1);
    }
    assert_eq!((last.0.as_bytes(), last.1.as_text()), (&b"john doe"[..], Some("server: bob left")));
    a.leave().await;
    server.end().await;
}

#[tokio::test]
async fn pages_of_other_hosts_are_refused() {
    let server = Running::start().await;
    for (origin, path, status) in [
        ("http://evil.example", "chat", 403),
        ("http://127.0.0.1:1", "chat", 403),
        ("null", "chat", 403),
        (format!("http://{}", server.address).as_str(), "", 404),
        (format!("http://{}", server.address).as_str(), "chat/", 404),
    ] {
        let connector = Connector::new(&format!("ws://{}/{path}", server.address)).unwrap().origin(origin).unwrap();
        match connector.connect().await {
            Err(ConnectError::Refused(response)) => assert_eq!(response.status(), status, "{origin} /{path}"),
            other => panic!("{origin} /{path}: {:?}", other.map(|_| ())),
        }
    }
    let own = server.connector().origin(&format!("http://{}", server.address)).unwrap();
    server.join(own).await.leave().await;
    server.end().await;
}

#[tokio::test]
async fn the_page_comes_from_the_same_port() {
    let server = Running::start().await;
    let (head, page) = server.ask("GET /").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("text/html; charset=utf-8") && head.contains("default-src 'none'"), "{head}");
    assert_eq!(page, PAGE);
    let (head, body) = server.ask("HEAD /").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains(&format!("{}", page.len())), "{head}");
    assert_eq!(body, "");
    assert_eq!(server.ask("GET /healthz").await.1, "ok\n");
    for path in ["/chat", "/index.html", "/../chat.rs", "/?x"] {
        let status = if path == "/?x" { "HTTP/1.1 200 " } else { "HTTP/1.1 404 " };
        let (head, _) = server.ask(&format!("GET {path}")).await;
        assert!(head.starts_with(status), "{path}: {head}");
    }
    server.end().await;
}

#[tokio::test]
async fn only_short_text_is_heard() {
    let server = Running::start().await;
    let mut a = server.join(server.connector()).await;
    a.socket.send(&b"binary"[..]).await.unwrap();
    assert_eq!(a.end().await, CloseCode::UNSUPPORTED_DATA);
    let mut b = server.join(server.connector()).await;
    b.say(&"x".repeat(8 * 1024 + 1)).await;
    assert_eq!(b.end().await, CloseCode::TOO_BIG);
    server.end().await;
}

#[tokio::test]
async fn everyone_is_told_when_the_server_ends() {
    let server = Running::start().await;
    let a = server.join(server.connector()).await;
    let b = server.join(server.connector()).await;
    let codes = tokio::spawn(async { [a.end().await, b.end().await] });
    let report = server.end().await;
    assert_eq!(codes.await.unwrap(), [CloseCode::GOING_AWAY; 2]);
    assert_eq!((report.served, report.aborted), (2, 0));
}

/// A session over a pipe, so that time can be virtual.
fn visit(hub: &Arc<Hub>, pipe: usize) -> (Person<tokio::io::DuplexStream>, JoinHandle<()>) {
    let (near, far) = tokio::io::duplex(pipe);
    let negotiated = || Negotiated::new(Version::Rfc6455);
    let server = WebSocket::from_upgraded(far, Role::Server, negotiated(), Config::default());
    let session = tokio::spawn(session(server, hub.join()));
    (Person { socket: WebSocket::from_upgraded(near, Role::Client, negotiated(), Config::default()) }, session)
}

#[tokio::test(start_paused = true)]
async fn one_who_does_not_read_holds_nobody_up() {
    let hub = Arc::new(Hub::default());
    let (mut fast, _session) = visit(&hub, 64 * 1024);
    let (deaf, session) = visit(&hub, 64);
    assert_eq!(hub.len(), 2);
    for i in 0..1000 {
        fast.say(&format!("line {i}")).await;
        let seen = fast.next().await;
        if seen.as_text() == Some("server: john doe left") {
            fast.sees(&format!("me: line {i}")).await;
        } else {
            assert_eq!(seen.as_text(), Some(format!("me: line {i}").as_str()));
        }
    }
    assert_eq!(hub.len(), 1);
    // The deadline for a transport that takes nothing ends the session.
    timeout(PATIENCE, session).await.unwrap().unwrap();
    drop(deaf);
}

#[tokio::test(start_paused = true)]
async fn a_torrent_of_lines_is_slowed_down() {
    let hub = Arc::new(Hub::default());
    let (mut person, _session) = visit(&hub, 64 * 1024);
    let start = Instant::now();
    for i in 0..200 {
        person.socket.feed(format!("line {i}")).await.unwrap();
    }
    person.socket.flush().await.unwrap();
    for i in 0..200 {
        person.sees(&format!("me: line {i}")).await;
    }
    // The clock is virtual: 100 lines at once, then 20 in a second.
    assert!(start.elapsed() >= Duration::from_millis(4900), "{:?}", start.elapsed());
}
