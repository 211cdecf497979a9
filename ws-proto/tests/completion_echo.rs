//! The example server on a completion queue, driven over loopback: the simulated queue always, io_uring where it is.
#![cfg(all(feature = "getrandom", feature = "url"))]

#[allow(dead_code)]
#[path = "../examples/completion_echo.rs"]
mod completion_echo;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as StdInstant};

use completion_echo::{Kind, Server, queue};
use ws_proto::connection::Event;
use ws_proto::{
    Cause, ClientHandshake, ClientRequest, ClientStep, CloseCode, Closed, Config, Connection, Input, Instant, Message,
    OsEntropy, Target, Timers,
};

/// Ends a wait for something that never comes; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

struct Running {
    address: SocketAddr,
    stop: Box<dyn Fn()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Running {
    /// `None`, with a notice, where there is no such queue.
    fn start(kind: Kind, config: Config) -> Option<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, told) = mpsc::channel();
        // A ring stays in the thread that made it.
        let thread = thread::spawn(move || match queue(kind, listener) {
            Ok(queue) => {
                let server = Server::new(queue, config);
                tell.send(Ok(server.stop())).unwrap();
                server.run()
            }
            Err(error) => {
                tell.send(Err(error)).unwrap();
                Ok(())
            }
        });
        match told.recv().unwrap() {
            Ok(stop) => Some(Self { address, stop: Box::new(move || stop.stop()), thread }),
            Err(error) if kind == Kind::IoUring => {
                println!("skipped: there is no io_uring to be had: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn stop(self) {
        (self.stop)();
        self.thread.join().unwrap().unwrap();
    }

    fn socket(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn client(&self) -> Client {
        self.client_that_says(&[])
    }

    /// A client that sends messages together with its request.
    fn client_that_says(&self, early: &[Message]) -> Client {
        let mut config = Config::default();
        config.timers = Timers::off();
        config.limits.outgoing = usize::MAX;
        let target = Target::parse(&format!("ws://{}/", self.address)).unwrap();
        let request = ClientRequest::new(target);
        let mut handshake = ClientHandshake::new(Instant::ZERO, &request, config, Box::new(OsEntropy)).unwrap();
        let mut socket = self.socket();
        let mut bytes: Vec<u8> = std::iter::from_fn(|| handshake.take_outgoing(Instant::ZERO)).flatten().collect();
        bytes.extend(masked(early));
        socket.write_all(&bytes).unwrap();
        let mut scratch = [0; 1024];
        loop {
            let n = socket.read(&mut scratch).unwrap();
            assert_ne!(n, 0, "the handshake was not answered");
            if handshake.poll(Instant::ZERO, &mut Input::new(&mut scratch[..n])) == ClientStep::Done {
                let (connection, _) = handshake.into_connection().unwrap();
                return Client { socket, connection };
            }
        }
    }
}

/// Messages as a client sends them.
fn masked(messages: &[Message]) -> Vec<u8> {
    use ws_proto::{Negotiated, Role, Version};
    let mut connection = Connection::from_upgraded(
        Role::Client,
        Negotiated::new(Version::Rfc6455),
        Config::default(),
        Box::new(OsEntropy),
    );
    for message in messages {
        connection.send(message).unwrap();
    }
    std::iter::from_fn(|| connection.take_outgoing(Instant::ZERO)).flatten().collect()
}

/// Runs a test on each queue.
fn on_each(config: &Config, test: impl Fn(&Running)) {
    for kind in [Kind::Simulated, Kind::IoUring] {
        if let Some(server) = Running::start(kind, config.clone()) {
            test(&server);
            server.stop();
        }
    }
}

/// A client that blocks: the core does the protocol, the clock stands still.
struct Client {
    socket: TcpStream,
    connection: Connection,
}

impl Client {
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

    /// Writes what is queued on a thread of its own.
    fn flush_beside(&mut self) -> JoinHandle<()> {
        let mut writer = self.socket.try_clone().unwrap();
        let bytes = self.take_outgoing();
        thread::spawn(move || writer.write_all(&bytes).unwrap())
    }

    /// Reads until `wanted` says that it has seen enough, and gives how the connection ended, if it did.
    fn read_until(&mut self, mut wanted: impl FnMut(&Event<'_>) -> bool) -> Option<Closed> {
        let mut scratch = vec![0; 16 * 1024];
        // What came behind the answer to the handshake needs no read.
        let mut n = 0;
        loop {
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
            n = self.socket.read(&mut scratch).unwrap();
            if n == 0 {
                self.connection.eof(Instant::ZERO);
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
    on_each(&Config::default(), |server| {
        let mut client = server.client();
        for message in
            [Message::text("Hello"), Message::binary(vec![0, 255, 1]), Message::text(""), Message::text("κόσμε")]
        {
            client.send(&message);
            assert_eq!(client.messages(1), [message]);
        }
        let closed = client.close();
        assert!(closed.is_clean());
        assert_eq!(closed.code(), CloseCode::NORMAL);
    });
}

#[test]
fn many_connections_share_the_queue() {
    on_each(&Config::default(), |server| {
        let mut clients: Vec<Client> = (0..100).map(|_| server.client()).collect();
        for round in 0..3 {
            for (i, client) in clients.iter_mut().enumerate() {
                client.connection.send(format!("{round} {i}")).unwrap();
                client.connection.send(vec![i as u8; 5000 * round]).unwrap();
                client.flush();
            }
            for (i, client) in clients.iter_mut().enumerate() {
                let expected = [Message::text(format!("{round} {i}")), Message::binary(vec![i as u8; 5000 * round])];
                assert_eq!(client.messages(2), expected);
            }
        }
        for client in clients {
            assert!(client.close().is_clean());
        }
    });
}

#[test]
fn requests_and_messages_may_come_at_once() {
    let early: Vec<Message> = (0..200).map(|i| Message::text(format!("message {i}"))).collect();
    on_each(&Config::default(), |server| {
        let mut client = server.client_that_says(&early);
        assert_eq!(client.messages(early.len()), early);
        assert!(client.close().is_clean());
    });
}

#[test]
fn a_big_message_comes_back_in_one_piece() {
    let big = Message::binary((0..8 << 20).map(|i: u32| (i / 251) as u8).collect::<Vec<u8>>());
    on_each(&Config::default(), |server| {
        let mut client = server.client();
        client.connection.send(&big).unwrap();
        let writing = client.flush_beside();
        assert!(client.messages(1) == [big.clone()]);
        writing.join().unwrap();
        assert!(client.close().is_clean());
    });
}

#[test]
fn one_who_reads_late_gets_everything_and_holds_nobody_up() {
    const MESSAGES: usize = 300;
    on_each(&Config::default(), |server| {
        let mut late = server.client();
        for i in 0..MESSAGES {
            late.connection.send(vec![i as u8; 50_000]).unwrap();
        }
        // More than the server's backlog and the buffers of both sockets: it blocks until the echoes are read.
        let writing = late.flush_beside();
        let mut other = server.client();
        for _ in 0..20 {
            other.send(&Message::text("still there?"));
            assert_eq!(other.messages(1), [Message::text("still there?")]);
        }
        for (i, echo) in late.messages(MESSAGES).iter().enumerate() {
            assert!(echo.as_bytes() == vec![i as u8; 50_000], "echo {i}");
        }
        writing.join().unwrap();
        assert!(late.close().is_clean());
    });
}

#[test]
fn what_was_sent_before_the_close_arrives_before_it() {
    on_each(&Config::default(), |server| {
        let mut client = server.client();
        let sent: Vec<Message> = (0..50).map(|i| Message::binary(vec![i; 9000])).collect();
        for message in &sent {
            client.connection.send(message).unwrap();
        }
        client.connection.close(Instant::ZERO, CloseCode::NORMAL, "").unwrap();
        let writing = client.flush_beside();
        let mut got = Vec::new();
        let closed = client.read_until(|event| {
            if let Event::Binary(data) = event {
                got.push(Message::binary(data.to_vec()));
            }
            false
        });
        writing.join().unwrap();
        assert!(closed.unwrap().is_clean());
        assert!(got == sent, "{} of {}", got.len(), sent.len());
    });
}

#[test]
fn a_fault_is_answered_before_the_socket_is_closed() {
    on_each(&Config::default(), |server| {
        let mut client = server.client();
        // A frame without a mask.
        client.socket.write_all(b"\x81\x01x").unwrap();
        let closed = client.read_until(|_| false).unwrap();
        assert_eq!(closed.code(), CloseCode::PROTOCOL_ERROR);
    });
}

#[test]
fn other_requests_get_an_answer() {
    on_each(&Config::default(), |server| {
        for (request, status) in
            [("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 426 "), ("hello?\r\n\r\n", "HTTP/1.1 400 ")]
        {
            let mut socket = server.socket();
            socket.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with(status), "{answer}");
        }
    });
}

#[test]
fn a_silent_client_is_sent_away_at_the_deadline() {
    let mut config = Config::default();
    config.timers.handshake = Some(Duration::from_millis(20));
    on_each(&config, |server| {
        let mut answer = String::new();
        server.socket().read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    });
}

#[test]
fn one_who_answers_pings_stays() {
    let mut config = Config::default();
    config.timers.keepalive = Some(Duration::from_millis(20));
    on_each(&config, |server| {
        let mut client = server.client();
        let mut pings = 0;
        client.read_until(|event| {
            pings += u32::from(matches!(event, Event::Ping(_)));
            pings == 3
        });
        client.send(&Message::text("here"));
        assert_eq!(client.messages(1), [Message::text("here")]);
        assert!(client.close().is_clean());
    });
}

#[test]
fn one_who_is_gone_without_a_word_is_found_out() {
    let mut config = Config::default();
    config.timers.keepalive = Some(Duration::from_millis(20));
    config.timers.pong = Some(Duration::from_millis(20));
    on_each(&config, |server| {
        // Reads the ping, but does not answer it.
        let mut client = server.client();
        let mut seen = Vec::new();
        client.socket.read_to_end(&mut seen).unwrap();
        assert_eq!(seen.first(), Some(&0x89));
    });
}

#[test]
fn one_who_takes_nothing_is_found_out_by_the_write_in_the_queue() {
    let mut config = Config::default();
    config.timers = Timers::off();
    config.timers.write_stall = Some(Duration::from_secs(1));
    on_each(&config, |server| {
        let mut deaf = server.client();
        // One message, larger than the buffers of both sockets: the server gave all of it to the queue, and its machine
        // has nothing left to watch.
        deaf.connection.send(vec![1; 12 << 20]).unwrap();
        deaf.flush();
        // Nothing is read until the server has given up. Then the socket tells, with the end or with an error.
        let patience = StdInstant::now() + PATIENCE;
        while deaf.socket.write(b"\x8a\x80\0\0\0\0").is_ok() {
            assert!(StdInstant::now() < patience);
            thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn a_connection_that_breaks_takes_nobody_along() {
    on_each(&Config::default(), |server| {
        let mut other = server.client();
        for i in 0..20 {
            let mut client = server.client();
            client.connection.send(vec![i; 200_000]).unwrap();
            let bytes = client.take_outgoing();
            // In the middle of a message, with echoes unread, at the start.
            let part = bytes.len() * usize::from(i) / 20;
            client.socket.write_all(&bytes[..part]).unwrap();
            drop(client);
            other.send(&Message::text("still there?"));
            assert_eq!(other.messages(1), [Message::text("still there?")]);
        }
        assert!(other.close().is_clean());
    });
}

#[test]
fn a_stop_says_goodbye() {
    on_each(&Config::default(), |server| {
        let mut client = server.client();
        client.send(&Message::text("before"));
        assert_eq!(client.messages(1), [Message::text("before")]);
        let silent = server.socket();
        (server.stop)();
        let closed = client.read_until(|_| false).unwrap();
        assert_eq!(closed.cause, Cause::Handshake);
        assert_eq!(closed.code(), CloseCode::GOING_AWAY);
        // Whoever is in the middle of the handshake is let go without one.
        silent.set_read_timeout(Some(PATIENCE)).unwrap();
        match (&silent).read(&mut [0]) {
            Ok(n) => assert_eq!(n, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    });
}
