//! The example server on `mio`, driven over loopback.
#![cfg(feature = "getrandom")]

#[allow(dead_code)]
#[path = "../examples/mio_echo.rs"]
mod mio_echo;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::Waker;
use mio_echo::Server;
use ws_proto::connection::Event;
use ws_proto::{
    CloseCode, Closed, Config, Connection, Input, Instant, Message, Negotiated, OsEntropy, Role, Timers, Version,
};

/// Ends a wait for something that never comes; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

struct Running {
    address: SocketAddr,
    stop: Arc<Waker>,
    thread: JoinHandle<io::Result<()>>,
}

impl Running {
    fn start(config: Config) -> Self {
        let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), config).unwrap();
        let address = server.local_addr().unwrap();
        let stop = server.stop();
        Self { address, stop, thread: thread::spawn(move || server.run()) }
    }

    fn stop(self) {
        self.stop.wake().unwrap();
        self.thread.join().unwrap().unwrap();
    }

    fn socket(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn client(&self) -> Client {
        let mut client = Client::begin(self.socket());
        client.socket.write_all(UPGRADE.as_bytes()).unwrap();
        client.read_head();
        client
    }
}

/// A client that blocks: the core does the protocol, the clock stands still.
struct Client {
    socket: TcpStream,
    connection: Connection,
}

impl Client {
    fn begin(socket: TcpStream) -> Self {
        let mut config = Config::default();
        config.timers = Timers::off();
        config.limits.outgoing = usize::MAX;
        let negotiated = Negotiated::new(Version::Rfc6455);
        let connection = Connection::from_upgraded(Role::Client, negotiated, config, Box::new(OsEntropy));
        Self { socket, connection }
    }

    fn read_head(&mut self) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.socket.read_exact(&mut byte).unwrap();
            head.extend_from_slice(&byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    }

    /// What is to be written, in one piece.
    fn take_outgoing(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.connection.take_outgoing(Instant::ZERO)).flatten().collect()
    }

    fn flush(&mut self) {
        let bytes = self.take_outgoing();
        self.socket.write_all(&bytes).unwrap();
    }

    fn send(&mut self, message: &Message) {
        self.connection.send(message).unwrap();
        self.flush();
    }

    /// Reads until `wanted` says that it has seen enough, and gives how the connection ended, if it did.
    fn read_until(&mut self, mut wanted: impl FnMut(&Event<'_>) -> bool) -> Option<Closed> {
        let mut scratch = vec![0; 16 * 1024];
        loop {
            let n = self.socket.read(&mut scratch).unwrap();
            if n == 0 {
                self.connection.eof(Instant::ZERO);
            }
            let mut input = Input::new(&mut scratch[..n]);
            let mut enough = false;
            while let Some(event) = self.connection.poll(Instant::ZERO, &mut input) {
                enough |= wanted(&event);
                if let Event::Closed(closed) = event {
                    return Some(closed);
                }
            }
            self.flush();
            if enough {
                return None;
            }
        }
    }

    fn messages(&mut self, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        self.read_until(|event| {
            match event {
                Event::Text(text) => messages.push(Message::text(text.as_str())),
                Event::Binary(data) => messages.push(Message::binary(data.to_vec())),
                Event::Closed(closed) => panic!("closed: {closed:?}"),
                _ => {}
            }
            messages.len() >= count
        });
        messages
    }

    fn close(mut self) -> Closed {
        self.connection.close(Instant::ZERO, CloseCode::NORMAL, "done").unwrap();
        self.flush();
        self.read_until(|_| false).unwrap()
    }
}

#[test]
fn messages_come_back_as_what_they_were() {
    let server = Running::start(Config::default());
    let mut client = server.client();
    for message in [Message::text("Hello"), Message::binary(vec![0, 255, 1]), Message::text(""), Message::text("κόσμε")]
    {
        client.send(&message);
        assert_eq!(client.messages(1), [message]);
    }
    let closed = client.close();
    assert!(closed.is_clean());
    assert_eq!(closed.code(), CloseCode::NORMAL);
    server.stop();
}

#[test]
fn frames_behind_the_request_are_not_lost() {
    let server = Running::start(Config::default());
    let mut client = Client::begin(server.socket());
    client.connection.send("early").unwrap();
    let mut bytes = UPGRADE.as_bytes().to_vec();
    bytes.extend(client.take_outgoing());
    client.socket.write_all(&bytes).unwrap();
    client.read_head();
    assert_eq!(client.messages(1), [Message::text("early")]);
    drop(client);
    server.stop();
}

#[test]
fn many_connections_share_the_thread() {
    let server = Running::start(Config::default());
    let mut clients: Vec<Client> = (0..100).map(|_| server.client()).collect();
    for round in 0..3 {
        for (i, client) in clients.iter_mut().enumerate() {
            client.connection.send(format!("{round} {i}")).unwrap();
            client.connection.send(vec![i as u8; 1000 * round]).unwrap();
            client.flush();
        }
        for (i, client) in clients.iter_mut().enumerate() {
            let expected = [Message::text(format!("{round} {i}")), Message::binary(vec![i as u8; 1000 * round])];
            assert_eq!(client.messages(2), expected);
        }
    }
    for client in clients {
        assert!(client.close().is_clean());
    }
    server.stop();
}

#[test]
fn one_who_reads_late_gets_everything_and_holds_nobody_up() {
    const MESSAGES: usize = 400;
    let server = Running::start(Config::default());
    let mut late = server.client();
    let mut writer = late.socket.try_clone().unwrap();
    for i in 0..MESSAGES {
        late.connection.send(vec![i as u8; 50_000]).unwrap();
    }
    let bytes = late.take_outgoing();
    // More than the server's backlog and the buffers of both sockets: it blocks until the echoes are read.
    let writing = thread::spawn(move || writer.write_all(&bytes).unwrap());
    let mut other = server.client();
    for _ in 0..20 {
        other.send(&Message::text("still there?"));
        assert_eq!(other.messages(1), [Message::text("still there?")]);
    }
    let echoes = late.messages(MESSAGES);
    assert_eq!(echoes.len(), MESSAGES);
    for (i, echo) in echoes.iter().enumerate() {
        assert_eq!(echo.as_bytes(), vec![i as u8; 50_000]);
    }
    writing.join().unwrap();
    assert!(late.close().is_clean());
    drop(other);
    server.stop();
}

#[test]
fn a_big_message_in_one_piece() {
    let server = Running::start(Config::default());
    let mut client = server.client();
    let big = Message::binary(vec![42; 8 << 20]);
    client.connection.send(&big).unwrap();
    let mut writer = client.socket.try_clone().unwrap();
    let bytes = client.take_outgoing();
    let writing = thread::spawn(move || writer.write_all(&bytes).unwrap());
    assert_eq!(client.messages(1), [big]);
    writing.join().unwrap();
    drop(client);
    server.stop();
}

#[test]
fn a_fault_is_answered_before_the_socket_is_closed() {
    let server = Running::start(Config::default());
    let mut client = server.client();
    // A frame without a mask.
    client.socket.write_all(b"\x81\x01x").unwrap();
    let closed = client.read_until(|_| false).unwrap();
    assert_eq!(closed.code(), CloseCode::PROTOCOL_ERROR);
    drop(client);
    server.stop();
}

#[test]
fn other_requests_get_an_answer() {
    let server = Running::start(Config::default());
    for (request, status) in
        [("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 426 "), ("hello?\r\n\r\n", "HTTP/1.1 400 ")]
    {
        let mut socket = server.socket();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(status), "{answer}");
    }
    server.stop();
}

#[test]
fn a_silent_client_is_sent_away_at_the_deadline() {
    let mut config = Config::default();
    config.timers.handshake = Some(Duration::from_millis(20));
    let server = Running::start(config);
    let mut socket = server.socket();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    drop(socket);
    server.stop();
}

#[test]
fn one_who_is_gone_without_a_word_is_found_out() {
    let mut config = Config::default();
    config.timers.keepalive = Some(Duration::from_millis(20));
    config.timers.pong = Some(Duration::from_millis(20));
    let server = Running::start(config);
    let mut client = server.client();
    // Reads the ping, but does not answer it.
    let mut seen = Vec::new();
    client.socket.read_to_end(&mut seen).unwrap();
    assert_eq!(seen.first(), Some(&0x89));
    server.stop();
}

#[test]
fn a_stop_says_goodbye() {
    let server = Running::start(Config::default());
    let mut client = server.client();
    client.send(&Message::text("before"));
    assert_eq!(client.messages(1), [Message::text("before")]);
    let silent = server.socket();
    server.stop.wake().unwrap();
    let closed = client.read_until(|_| false).unwrap();
    assert!(closed.is_clean());
    assert_eq!(closed.code(), CloseCode::GOING_AWAY);
    server.thread.join().unwrap().unwrap();
    drop(silent);
}
