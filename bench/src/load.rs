//! The load: many connections from one thread, the same bytes for every server.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustls::ClientConfig;

use crate::frames::{self, ACCEPT, BROWSER_REQUEST, Kind};
use crate::link::Link;
use crate::tls;

/// What a server sends back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The bytes that it got; there is no handshake.
    Raw,
    WebSocket,
}

/// Where a server is and what it speaks.
#[derive(Clone, Debug)]
pub struct Target {
    pub port: u16,
    pub protocol: Protocol,
    tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// A server on this machine, with TLS or without.
    ///
    /// # Errors
    ///
    /// When there can be no TLS.
    pub fn new(port: u16, protocol: Protocol, with_tls: bool) -> io::Result<Self> {
        let tls = if with_tls { Some(tls::client().map_err(io::Error::other)?) } else { None };
        Ok(Self { port, protocol, tls })
    }
}

/// When no new batch is begun any more.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    Elapsed(Duration),
    /// Each connection has had so many.
    Batches(u64),
}

/// How long a server may keep everybody waiting before the run is given up.
const HANG: Duration = Duration::from_secs(30);

struct Connection {
    link: Link,
    unsent: usize,
    unread: usize,
    batches: u64,
}

/// Open connections that send batches of messages and wait for all of a batch to come back.
pub struct Load {
    connections: Vec<Connection>,
    epoll: OwnedFd,
    batch: Vec<u8>,
    answer: Vec<u8>,
    depth: u64,
    scratch: Vec<u8>,
    raw: Vec<u8>,
}

/// Opens one connection.
///
/// # Errors
///
/// When the server refuses it or answers the handshake wrongly.
pub fn connect(target: &Target) -> io::Result<Link> {
    let socket = TcpStream::connect(("127.0.0.1", target.port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(HANG))?;
    // Reset instead of waiting: thousands of these end at once and the ports are needed again.
    rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    let mut link = match &target.tls {
        None => Link::plain(socket),
        Some(config) => Link::encrypted(socket, config.clone())?,
    };
    if target.protocol == Protocol::WebSocket {
        link.write(BROWSER_REQUEST)?;
        let mut head = Vec::new();
        let (mut part, mut raw) = ([0; 1024], [0; 4096]);
        while !head.ends_with(b"\r\n\r\n") {
            let n = link.read(&mut part, &mut raw)?;
            head.extend_from_slice(&part[..n]);
        }
        let head = String::from_utf8_lossy(&head);
        if !(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT)) {
            return Err(io::Error::other(format!("refused: {head}")));
        }
    }
    Ok(link)
}

impl Load {
    /// Opens the connections and makes ready to send batches of `depth` messages.
    ///
    /// # Errors
    ///
    /// When a connection can't be opened.
    pub fn open(target: &Target, connections: usize, payload: usize, depth: usize) -> io::Result<Self> {
        let payload = frames::binary(payload);
        let (mut batch, mut answer) = (Vec::new(), Vec::new());
        for _ in 0..depth {
            frames::put_client_message(&mut batch, Kind::Binary, &payload, 1);
            frames::put_server_message(&mut answer, Kind::Binary, &payload);
        }
        if target.protocol == Protocol::Raw {
            answer.clone_from(&batch);
        }
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut opened = Vec::new();
        for i in 0..connections {
            let link = connect(target)?;
            link.socket.set_nonblocking(true)?;
            let interest = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            epoll::add(&epoll, &link.socket, EventData::new_u64(i as u64), interest)?;
            opened.push(Connection { link, unsent: 0, unread: 0, batches: 0 });
        }
        let buffer = || vec![0; 256 * 1024];
        let depth = depth as u64;
        Ok(Self { connections: opened, epoll, batch, answer, depth, scratch: buffer(), raw: buffer() })
    }

    /// Sends one batch on each connection and compares every byte of what comes back.
    ///
    /// # Errors
    ///
    /// When something else comes back, or nothing.
    pub fn check(&mut self) -> io::Result<()> {
        self.drive(Until::Batches(1), true).map(drop)
    }

    /// Sends batches, waits for the last to come back, and returns how many messages did.
    ///
    /// # Errors
    ///
    /// When a connection ends or stalls.
    pub fn run(&mut self, until: Until) -> io::Result<u64> {
        self.drive(until, false)
    }

    fn drive(&mut self, until: Until, check: bool) -> io::Result<u64> {
        let start = Instant::now();
        let mut active = self.connections.len();
        for i in 0..self.connections.len() {
            self.connections[i].batches = 0;
            self.begin(i);
            self.write(i)?;
        }
        let mut events: Vec<Event> = Vec::with_capacity(256);
        while active > 0 {
            events.clear();
            let patience = HANG.try_into().map_err(io::Error::other)?;
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&patience))?;
            if events.is_empty() {
                return Err(ErrorKind::TimedOut.into());
            }
            let over = match until {
                Until::Elapsed(time) => start.elapsed() >= time,
                Until::Batches(_) => false,
            };
            for event in &events {
                let (i, flags) = (event.data.u64() as usize, event.flags);
                if flags.contains(EventFlags::OUT) {
                    self.write(i)?;
                }
                if flags.contains(EventFlags::IN) && self.read(i, check)? {
                    let enough = match until {
                        Until::Elapsed(_) => over,
                        Until::Batches(batches) => self.connections[i].batches >= batches,
                    };
                    if enough {
                        active -= 1;
                    } else {
                        self.begin(i);
                        self.write(i)?;
                    }
                }
            }
        }
        let batches: u64 = self.connections.iter().map(|connection| connection.batches).sum();
        Ok(batches * self.depth)
    }

    fn begin(&mut self, i: usize) {
        self.connections[i].unsent = self.batch.len();
        self.connections[i].unread = self.answer.len();
    }

    /// Writes what is left of the batch, as far as the socket takes it.
    fn write(&mut self, i: usize) -> io::Result<()> {
        let connection = &mut self.connections[i];
        while connection.unsent > 0 {
            let rest = &self.batch[self.batch.len() - connection.unsent..];
            match connection.link.write(rest) {
                Ok(n) => connection.unsent -= n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        match connection.link.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            result => result,
        }
    }

    /// Reads what is there; true when the batch has come back whole.
    fn read(&mut self, i: usize, check: bool) -> io::Result<bool> {
        let connection = &mut self.connections[i];
        while connection.unread > 0 {
            let n = match connection.link.read(&mut self.scratch, &mut self.raw) {
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            let expected = &self.answer[self.answer.len() - connection.unread..];
            if n > expected.len() || check && self.scratch[..n] != expected[..n] {
                return Err(io::Error::other("something else came back"));
            }
            connection.unread -= n;
            if connection.unread == 0 {
                connection.batches += 1;
                return Ok(true);
            }
            // A short read on an edge-triggered socket: there is nothing more.
            if n < self.scratch.len() && connection.link.short_read_is_last() {
                return Ok(false);
            }
        }
        Ok(false)
    }
}
