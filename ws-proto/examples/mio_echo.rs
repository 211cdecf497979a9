//! An echo server in an event loop of one's own: `mio` for the sockets, `ws-proto` for everything else.
//!
//! ```sh
//! cargo run --release -p ws-proto --example mio_echo -- --listen 127.0.0.1:9001
//! ```
//!
//! One thread, many connections, one scratch buffer for all reads. The machines of `ws-proto` hold the state of the
//! protocol and tell what to do. This file waits for sockets and deadlines; `peer.rs` moves the bytes of one connection.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};
use std::{env, mem};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use ws_proto::handshake::{ServerConfig, ServerHandshake};
use ws_proto::{Config, Instant};

#[path = "mio_echo/peer.rs"]
mod peer;
use peer::{Peer, Turn};

const LISTENER: Token = Token(0);
const STOP: Token = Token(1);
const FIRST_PEER: usize = 2;

/// What is read at once. No connection holds a read buffer: the machines consume all they are given.
const SCRATCH: usize = 64 * 1024;
/// How long to wait after the system had no socket for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The event loop and everything it owns.
pub(crate) struct Server {
    poll: Poll,
    listener: Option<TcpListener>,
    peers: HashMap<Token, Peer>,
    next_token: usize,
    /// Every deadline, earliest first. The first one is mio's time-out.
    deadlines: BTreeSet<(Instant, Token)>,
    /// Peers whose turn ended before their socket ran dry. mio tells of new readiness only.
    unfinished: BTreeSet<Token>,
    scratch: Box<[u8]>,
    config: Arc<ServerConfig>,
    stop: Arc<Waker>,
    /// The machines take the time as a parameter; this is its origin.
    epoch: StdInstant,
}

impl Server {
    /// A server that listens on `address`.
    pub(crate) fn bind(address: SocketAddr, mut config: Config) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let stop = Arc::new(Waker::new(poll.registry(), STOP)?);
        // `peer.rs` bounds the queue by not reading; what a read has completed is then always taken.
        config.limits.outgoing = usize::MAX;
        Ok(Self {
            poll,
            listener: Some(listener),
            peers: HashMap::new(),
            next_token: FIRST_PEER,
            deadlines: BTreeSet::new(),
            unfinished: BTreeSet::new(),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            config: Arc::new(ServerConfig::from(config)),
            stop,
            epoch: StdInstant::now(),
        })
    }

    /// Where it listens: the real port when 0 was asked for.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.as_ref().ok_or(ErrorKind::NotConnected)?.local_addr()
    }

    /// Waking it ends the server, from any thread.
    pub(crate) fn stop(&self) -> Arc<Waker> {
        self.stop.clone()
    }

    /// Serves until it is stopped and the last peer has gone.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while self.listener.is_some() || !self.peers.is_empty() {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            // One look at the clock per turn is enough for deadlines of seconds.
            let now = self.now();
            let unfinished = mem::take(&mut self.unfinished);
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(now),
                    STOP => self.shut_down(now),
                    token => {
                        if let Some(peer) = self.peers.get_mut(&token) {
                            peer.note(event);
                            self.serve(token, now);
                        }
                    }
                }
            }
            for token in unfinished {
                self.serve(token, now);
            }
            // Deadlines come last: the sign of life that one waits for may just have been read.
            self.expire(now);
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        Instant::from_duration(self.epoch.elapsed())
    }

    /// How long mio may sleep.
    fn timeout(&self) -> Option<Duration> {
        if !self.unfinished.is_empty() {
            return Some(Duration::ZERO);
        }
        self.deadlines.first().map(|(at, _)| at.duration_since(self.now()))
    }

    fn accept(&mut self, now: Instant) {
        let Some(listener) = &self.listener else { return };
        loop {
            match listener.accept() {
                Ok((mut socket, _)) => {
                    let token = Token(self.next_token);
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    // A socket that can't be set up is dropped; the others go on.
                    if self.poll.registry().register(&mut socket, token, interest).is_err() {
                        continue;
                    }
                    let _ = socket.set_nodelay(true);
                    self.next_token += 1;
                    let mut peer = Peer::new(socket, ServerHandshake::new(now, self.config.clone()));
                    // The deadline of the handshake runs from here, even if the peer never sends a byte.
                    peer.schedule(token, &mut self.deadlines);
                    self.peers.insert(token, peer);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The peer has gone before it was accepted: the next one may be waiting.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(_) => {
                    // No file descriptors, for example. mio won't tell again of those who wait.
                    self.deadlines.insert((now.saturating_add(ACCEPT_PAUSE), LISTENER));
                    return;
                }
            }
        }
    }

    /// Lets a peer do what it can, and takes note of its deadline.
    fn serve(&mut self, token: Token, now: Instant) {
        let Some(peer) = self.peers.get_mut(&token) else { return };
        match peer.turn(now, &mut self.scratch) {
            Turn::Waiting => peer.schedule(token, &mut self.deadlines),
            Turn::Unfinished => {
                peer.schedule(token, &mut self.deadlines);
                self.unfinished.insert(token);
            }
            Turn::Over => {
                peer.unschedule(token, &mut self.deadlines);
                // Dropping the socket closes it and takes it out of the poll.
                self.peers.remove(&token);
            }
        }
    }

    /// Tells every machine whose deadline has come.
    fn expire(&mut self, now: Instant) {
        while let Some(&(at, token)) = self.deadlines.first() {
            if at > now {
                return;
            }
            self.deadlines.pop_first();
            if token == LISTENER {
                self.accept(now);
            } else if let Some(peer) = self.peers.get_mut(&token) {
                peer.expire(now, &mut self.scratch);
                self.serve(token, now);
            }
        }
    }

    /// Stops listening and says goodbye to everyone. The closing handshake has a deadline, so `run` ends.
    fn shut_down(&mut self, now: Instant) {
        self.listener = None;
        let tokens: Vec<Token> = self.peers.keys().copied().collect();
        for token in tokens {
            if let Some(peer) = self.peers.get_mut(&token) {
                peer.go_away(now);
                self.serve(token, now);
            }
        }
    }
}

/// The address to listen on: `--listen ADDR`, with a default.
fn address(mut args: impl Iterator<Item = String>) -> Result<SocketAddr, String> {
    const USAGE: &str = "usage: mio_echo [--listen ADDRESS:PORT]";
    match (args.next().as_deref(), args.next(), args.next()) {
        (None, ..) => Ok(SocketAddr::from(([127, 0, 0, 1], 9001))),
        (Some("--listen"), Some(address), None) => address.parse().map_err(|_| USAGE.into()),
        _ => Err(USAGE.into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::bind(address(env::args().skip(1))?, Config::default())?;
    let stop = server.stop();
    ctrlc::set_handler(move || _ = stop.wake())?;
    println!("listening on ws://{}", server.local_addr()?);
    Ok(server.run()?)
}
