//! One connection of the echo server: a machine, and what the queue has of it.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::time::Duration;
use std::{mem, net};

use ws_proto::bytes::{Buf, Bytes};
use ws_proto::connection::{Event, Shutdown};
use ws_proto::handshake::{Accept, Reply, ServerHandshake, Step};
use ws_proto::{CloseCode, Connection, Input, Instant, NoEntropy};

use super::queue::{Queue, Token};

/// With more than this waiting to be written, no read is submitted: a peer that does not read its echoes is slowed down
/// by TCP. What it costs us is this much, what one more read can complete, and the write in the queue.
const BACKLOG: usize = 256 * 1024;
/// How long a peer whose backlog kept us from reading has for a sign of life, before a deadline is held against it.
const LAST_LOOK: Duration = Duration::from_millis(100);
/// What one read can bring. The queue has a buffer of this size for every connection that waits for input: that is the
/// price of completions.
const READ: usize = 8 * 1024;
/// Buffers kept for the next reads.
const SPARE: usize = 64;

/// Buffers that nobody uses right now.
#[derive(Default)]
pub(crate) struct Buffers(Vec<Box<[u8]>>);

impl Buffers {
    fn take(&mut self) -> Box<[u8]> {
        self.0.pop().unwrap_or_else(|| vec![0; READ].into_boxed_slice())
    }

    /// Keeps a buffer that came back.
    pub(crate) fn put(&mut self, buffer: Box<[u8]>) {
        if self.0.len() < SPARE {
            self.0.push(buffer);
        }
    }
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
    token: Token,
    machine: Machine,
    /// Whether the queue has a read, and a write.
    reading: bool,
    writing: bool,
    /// What a write left over. It goes out before anything else.
    rest: Option<Bytes>,
    /// How long a write may take, and when the one in the queue has taken too long. The machine can't watch it:
    /// to the machine, what it gave away is written.
    stall: Option<Duration>,
    stalled_at: Option<Instant>,
    /// A read was submitted only to look for a sign of life; no deadline counts before this.
    last_look: Option<Instant>,
    /// The socket is shut down; only the completions are missing.
    leaving: bool,
    /// The entry of this peer in the server's list of deadlines.
    scheduled: Option<Instant>,
}

impl Peer {
    /// A peer that has said nothing yet. A write that makes no progress for `stall` is its end.
    pub(crate) fn new(token: Token, handshake: ServerHandshake, stall: Option<Duration>) -> Self {
        Self {
            token,
            machine: Machine::Opening(Box::new(handshake)),
            reading: false,
            writing: false,
            rest: None,
            stall,
            stalled_at: None,
            last_look: None,
            leaving: false,
            scheduled: None,
        }
    }

    /// Submits what can be submitted. Whether the peer is over: nothing of it is in the queue any more.
    pub(crate) fn submit(&mut self, now: Instant, queue: &mut dyn Queue, buffers: &mut Buffers) -> bool {
        if !self.writing
            && !self.leaving
            && let Some(bytes) = self.next_write(now)
        {
            queue.write(self.token, bytes);
            self.writing = true;
            self.stalled_at = self.stall.map(|stall| now.saturating_add(stall));
        }
        // To the machine everything is written that it gave away. The socket has the last word: nothing is shut down
        // before the write is complete.
        if !self.writing && !self.leaving {
            match either!(&self.machine, m => m.wants_shutdown(), gone => Some(Shutdown::Both)) {
                Some(Shutdown::Both) => self.leave(queue),
                // The peer sees the end of our stream, and we wait for the end of its. Asking twice does no harm.
                Some(Shutdown::Write) => queue.shutdown(self.token, net::Shutdown::Write),
                None => {}
            }
        }
        if self.wants_read() {
            self.read(queue, buffers);
        }
        if !self.writing
            && let Machine::Open(connection) = &mut self.machine
        {
            // A connection that waits holds no buffers of its own.
            connection.release_memory();
        }
        self.leaving && !self.reading && !self.writing
    }

    /// The next bytes to write, ours for good: the queue can have them as long as it likes.
    fn next_write(&mut self, now: Instant) -> Option<Bytes> {
        if let Some(rest) = self.rest.take() {
            return Some(rest);
        }
        let bytes = either!(&mut self.machine, m => m.take_outgoing(now), gone => None)?;
        // The end may follow from what was given away: a Close, or the last byte of a refusal.
        self.digest(now, Input::empty());
        Some(bytes)
    }

    fn wants_read(&self) -> bool {
        let wanted = match &self.machine {
            Machine::Open(connection) => connection.wants_read() && connection.buffered() < BACKLOG,
            Machine::Opening(handshake) => handshake.wants_read(),
            Machine::Gone => false,
        };
        wanted && !self.reading && !self.leaving
    }

    fn read(&mut self, queue: &mut dyn Queue, buffers: &mut Buffers) {
        queue.read(self.token, buffers.take());
        self.reading = true;
    }

    /// Ends what is in the queue. The peer stays until it has come back.
    fn leave(&mut self, queue: &mut dyn Queue) {
        self.leaving = true;
        self.stalled_at = None;
        queue.shutdown(self.token, net::Shutdown::Both);
    }

    /// A read is complete. The machine consumes all of it, so the buffer is free afterwards.
    pub(crate) fn has_read(&mut self, now: Instant, result: io::Result<usize>, buffer: &mut [u8]) {
        self.reading = false;
        self.last_look = None;
        match result {
            Ok(0) => {
                either!(&mut self.machine, m => m.eof(now), gone => {});
                self.digest(now, Input::empty());
            }
            Ok(n) => self.digest(now, Input::new(&mut buffer[..n])),
            // The same is submitted again.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.failed(now),
        }
    }

    /// A write is complete, or a part of it.
    pub(crate) fn has_written(&mut self, now: Instant, result: io::Result<usize>, mut bytes: Bytes) {
        self.writing = false;
        self.stalled_at = None;
        match result {
            Ok(n) if n > 0 => bytes.advance(n),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => {
                self.failed(now);
                return;
            }
        }
        // Even if the machine has ended by now: these bytes may be the Close that it has counted as written.
        self.rest = Some(bytes).filter(|rest| !rest.is_empty());
    }

    fn failed(&mut self, now: Instant) {
        either!(&mut self.machine, m => m.transport_failed(now), gone => {});
        self.digest(now, Input::empty());
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
                // no other error is possible without a limit on the queue. Pings are answered by the machine.
                Event::Text(text) => _ = connection.send(text),
                Event::Binary(data) => _ = connection.send(data),
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

    /// A deadline of this peer has come. Follow with `submit`.
    pub(crate) fn expire(&mut self, now: Instant, queue: &mut dyn Queue, buffers: &mut Buffers) {
        self.scheduled = None;
        if self.stalled_at.is_some_and(|at| at <= now) {
            self.failed(now);
            self.leave(queue);
        }
        if self.leaving || self.machine_deadline().is_none_or(|at| at > now) {
            return;
        }
        if !self.reading && self.last_look.is_none() && either!(&self.machine, m => m.wants_read(), gone => false) {
            // Its backlog kept us from reading: look for a sign of life before it is taken for dead.
            self.read(queue, buffers);
            self.last_look = Some(now.saturating_add(LAST_LOOK));
            return;
        }
        either!(&mut self.machine, m => m.handle_timeout(now), gone => {});
        self.digest(now, Input::empty());
    }

    fn machine_deadline(&self) -> Option<Instant> {
        either!(&self.machine, m => m.poll_timeout(), gone => None).map(|at| at.max(self.last_look.unwrap_or(at)))
    }

    /// Keeps the peer's one entry in the list of deadlines true.
    pub(crate) fn schedule(&mut self, deadlines: &mut BTreeSet<(Instant, Token)>) {
        let wanted = [self.machine_deadline(), self.stalled_at].into_iter().flatten().min();
        // Each byte received moves a deadline later. An entry that is too early is only looked at in vain.
        if self.scheduled.is_some() && self.scheduled <= wanted {
            return;
        }
        self.unschedule(deadlines);
        if let Some(at) = wanted.filter(|_| !self.leaving) {
            deadlines.insert((at, self.token));
            self.scheduled = Some(at);
        }
    }

    /// Takes the peer's entry out of the list of deadlines.
    pub(crate) fn unschedule(&mut self, deadlines: &mut BTreeSet<(Instant, Token)>) {
        if let Some(at) = self.scheduled.take() {
            deadlines.remove(&(at, self.token));
        }
    }

    /// Begins the closing handshake, because the server ends. Who is not connected yet is dropped.
    pub(crate) fn go_away(&mut self, now: Instant) {
        match &mut self.machine {
            Machine::Open(connection) => _ = connection.close(now, CloseCode::GOING_AWAY, ""),
            machine => *machine = Machine::Gone,
        }
    }
}

/// Answers the request. This is the place to look at its path, its origin and its cookies.
fn decide(handshake: &mut ServerHandshake, now: Instant) {
    if handshake.accept(now, Accept::new()).is_err() {
        // A request for a page. The machine writes the answer and ends by itself.
        handshake.respond(now, Reply::text(426, "This is a WebSocket server.\n"));
    }
}
