//! One connection of the echo server: a socket, and the machine that tells what to do with it.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::{mem, net};

use mio::Token;
use mio::event::Event as Readiness;
use mio::net::TcpStream;
use ws_proto::connection::{Event, Shutdown};
use ws_proto::handshake::{Accept, Reply, ServerHandshake, Step};
use ws_proto::{CloseCode, Connection, Input, Instant, NoEntropy};

/// With more than this waiting to be written, nothing more is read: a peer that does not read its echoes is slowed
/// down by TCP. What it costs us is this much, and what one more read can complete.
const BACKLOG: usize = 256 * 1024;
/// Reads in one turn, so that a peer that never stops sending can't starve the others.
const READS_PER_TURN: usize = 8;
/// Slices in one vectored write.
const SLICES: usize = 16;

/// How a turn of a peer ended.
pub(crate) enum Turn {
    /// There is nothing to do until the socket or the clock says so.
    Waiting,
    /// There is more to read, but others wait, too.
    Unfinished,
    /// Drop it.
    Over,
}

/// Who speaks on the socket. Both machines are driven by the same verbs.
enum Machine {
    Opening(Box<ServerHandshake>),
    Open(Box<Connection>),
    Gone,
}

/// Calls the same method on whichever machine there is.
macro_rules! either {
    ($machine:expr, $m:ident => $call:expr, gone => $gone:expr) => {
        match $machine {
            Machine::Opening($m) => $call,
            Machine::Open($m) => $call,
            Machine::Gone => $gone,
        }
    };
}

/// A connection, from the accepted socket to its end.
pub(crate) struct Peer {
    socket: TcpStream,
    machine: Machine,
    /// Whether the socket may have something to read, and room to write. mio tells when that begins; that it has ended
    /// only the socket tells, with `WouldBlock`.
    readable: bool,
    writable: bool,
    /// The entry of this peer in the server's list of deadlines.
    scheduled: Option<Instant>,
}

impl Peer {
    /// A peer that has said nothing yet.
    pub(crate) fn new(socket: TcpStream, handshake: ServerHandshake) -> Self {
        let machine = Machine::Opening(Box::new(handshake));
        Self { socket, machine, readable: false, writable: false, scheduled: None }
    }

    /// Takes note of what mio has to tell. Errors are found out by reading and writing.
    pub(crate) fn note(&mut self, event: &Readiness) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// Does what can be done without waiting.
    pub(crate) fn turn(&mut self, now: Instant, scratch: &mut [u8]) -> Turn {
        for _ in 0..READS_PER_TURN {
            // One write for the answers to all that was read at once.
            while self.write(now) {
                // The end may follow from what was written: a Close, or the last byte of a refusal.
                self.digest(now, Input::empty());
            }
            match either!(&self.machine, m => m.wants_shutdown(), gone => Some(Shutdown::Both)) {
                Some(Shutdown::Both) => return Turn::Over,
                // The peer sees the end of our stream, and we wait for the end of its: closing now would
                // make TCP reset the connection, and what we said last could be lost. Asking twice does no harm.
                Some(Shutdown::Write) => _ = self.socket.shutdown(net::Shutdown::Write),
                None => {}
            }
            if !self.readable || !self.wants_read() {
                self.release_memory();
                return Turn::Waiting;
            }
            self.read(now, scratch);
        }
        Turn::Unfinished
    }

    fn wants_read(&self) -> bool {
        match &self.machine {
            Machine::Open(connection) => connection.wants_read() && connection.buffered() < BACKLOG,
            Machine::Opening(handshake) => handshake.wants_read(),
            Machine::Gone => false,
        }
    }

    fn read(&mut self, now: Instant, scratch: &mut [u8]) {
        match self.socket.read(scratch) {
            Ok(0) => {
                self.readable = false;
                either!(&mut self.machine, m => m.eof(now), gone => {});
                self.digest(now, Input::empty());
            }
            // All of it is consumed here, so the next peer can have the same buffer.
            Ok(n) => self.digest(now, Input::new(&mut scratch[..n])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(error) => self.failed(now, &error),
        }
    }

    /// Writes once what waits to be written. Whether it is worth trying again.
    fn write(&mut self, now: Instant) -> bool {
        if !self.writable || !either!(&self.machine, m => m.wants_write(), gone => false) {
            return false;
        }
        let socket = &mut self.socket;
        match either!(&self.machine, m => write_slices(socket, m.outgoing()), gone => Ok(0)) {
            Ok(n) => {
                either!(&mut self.machine, m => m.advance(now, n), gone => {});
                n > 0
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.writable = false;
                false
            }
            Err(error) => {
                self.failed(now, &error);
                false
            }
        }
    }

    fn failed(&mut self, now: Instant, error: &io::Error) {
        if error.kind() != ErrorKind::Interrupted {
            either!(&mut self.machine, m => m.transport_failed(now), gone => {});
            self.digest(now, Input::empty());
        }
    }

    /// Hands bytes to the machine and does what it says.
    fn digest(&mut self, now: Instant, mut input: Input<'_>) {
        if let Machine::Opening(handshake) = &mut self.machine {
            let mut step = handshake.poll(now, &mut input);
            if step == Step::Request {
                decide(handshake, now);
                step = handshake.poll(now, &mut input);
            }
            if step == Step::Done {
                self.open();
            }
        }
        while let Machine::Open(connection) = &mut self.machine
            && let Some(event) = connection.poll(now, &mut input)
        {
            match event {
                // What this server is for. A message that comes when the connection is closing can't be sent back;
                // no other error is possible without a limit on the queue.
                Event::Text(text) => _ = connection.send(text),
                Event::Binary(data) => _ = connection.send(data),
                // The machine answers by itself, but only the latest ping (RFC 6455 section 5.5.3), so that pings can't
                // fill the queue. Written before the next one is looked at, each gets its answer.
                Event::Ping(_) => _ = self.write(now),
                _ => {}
            }
        }
    }

    /// The handshake is done.
    fn open(&mut self) {
        // The 101 that waits to be written and what came behind the request move along.
        if let Machine::Opening(handshake) = mem::replace(&mut self.machine, Machine::Gone)
            && let Ok(connection) = handshake.into_connection(Box::new(NoEntropy))
        {
            self.machine = Machine::Open(Box::new(connection));
        }
    }

    /// A deadline of this peer has come.
    pub(crate) fn expire(&mut self, now: Instant, scratch: &mut [u8]) {
        self.scheduled = None;
        if self.readable {
            // Its backlog kept us from reading: look for a sign of life before it is taken for dead.
            self.read(now, scratch);
        }
        either!(&mut self.machine, m => m.handle_timeout(now), gone => {});
        self.digest(now, Input::empty());
    }

    /// Keeps the peer's one entry in the list of deadlines true.
    pub(crate) fn schedule(&mut self, token: Token, deadlines: &mut BTreeSet<(Instant, Token)>) {
        let wanted = either!(&self.machine, m => m.poll_timeout(), gone => None);
        // Each byte received moves a deadline later. An entry that is too early is only looked at in vain.
        if self.scheduled.is_some() && self.scheduled <= wanted {
            return;
        }
        self.unschedule(token, deadlines);
        if let Some(at) = wanted {
            deadlines.insert((at, token));
            self.scheduled = wanted;
        }
    }

    /// Takes the peer's entry out of the list of deadlines.
    pub(crate) fn unschedule(&mut self, token: Token, deadlines: &mut BTreeSet<(Instant, Token)>) {
        if let Some(at) = self.scheduled.take() {
            deadlines.remove(&(at, token));
        }
    }

    /// Begins the closing handshake, because the server ends. Who is not connected yet is dropped.
    pub(crate) fn go_away(&mut self, now: Instant) {
        match &mut self.machine {
            Machine::Open(connection) => _ = connection.close(now, CloseCode::GOING_AWAY, ""),
            machine => *machine = Machine::Gone,
        }
    }

    /// A connection that waits holds no buffers.
    fn release_memory(&mut self) {
        if let Machine::Open(connection) = &mut self.machine {
            connection.release_memory();
        }
    }
}

fn write_slices<'a>(socket: &mut TcpStream, outgoing: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let mut used = 0;
    for (slot, bytes) in slices.iter_mut().zip(outgoing) {
        *slot = IoSlice::new(bytes);
        used += 1;
    }
    socket.write_vectored(&slices[..used])
}

/// Answers the request. This is the place to look at its path, its origin and its cookies.
fn decide(handshake: &mut ServerHandshake, now: Instant) {
    if handshake.accept(now, Accept::new()).is_err() {
        // A request for a page. The machine writes the answer and ends by itself.
        handshake.respond(now, Reply::text(426, "This is a WebSocket server.\n"));
    }
}
