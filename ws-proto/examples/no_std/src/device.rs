//! The device: a serial line in, a serial line out, and the machines of the core between.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem;
use core::time::Duration;

use ws_proto::connection::{Event, Shutdown};
use ws_proto::handshake::{
    Accept, ClientHandshake, ClientRequest, ClientStep, Reply, ServerConfig, ServerHandshake, Step,
};
use ws_proto::{BoxEntropy, Closed, Config, Connection, EntropyError, Input, Instant, NoEntropy};

use crate::clock::Clock;

/// As much as the hardware keeps between two interrupts; it lies on the stack.
const FIFO: usize = 64;
/// With more than this waiting to be transmitted, nothing is received: the flow control of the line holds the peer up.
const BACKLOG: usize = 1024;

/// A serial line with flow control. Nothing in it waits.
pub trait Line {
    /// Moves what has arrived into `buffer`; 0 if nothing has.
    ///
    /// # Errors
    /// [`Hangup`] if the other end has gone and everything it said was received.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Hangup>;

    /// Takes bytes from the front of `bytes`; 0 if there is no room.
    ///
    /// # Errors
    /// [`Hangup`] if the other end has gone.
    fn transmit(&mut self, bytes: &[u8]) -> Result<usize, Hangup>;

    /// Lets go of the other end, after what was taken has gone out.
    fn hang_up(&mut self);
}

/// The other end has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hangup;

/// What to do after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Something was received: there may be more.
    Again,
    /// Sleep until the line has something or has room again, but at most so many milliseconds.
    Sleep(Option<u32>),
    /// It is over, and the line is free.
    Over,
}

/// Limits and timers for a few kilobytes of memory and a line of some kilobytes per second.
#[must_use]
pub fn config() -> Config {
    let mut config = Config::default();
    config.limits.head = 1024;
    config.limits.header_lines = 24;
    config.limits.frame = 2048;
    config.limits.message = 2048;
    config.limits.fragments = 32;
    // More than the backlog and what one more turn can complete: a message and a FIFO full of small ones.
    config.limits.outgoing = 4096;
    config.limits.refusal_body = 0;
    config.limits.drain = 4096;
    config.timers.keepalive = Some(Duration::from_secs(60));
    config
}

/// Who speaks on the line. All are driven by the same verbs.
enum Machine {
    Answering(Box<ServerHandshake>),
    Calling(Box<ClientHandshake>),
    Open(Box<Connection>),
    Gone,
}

/// Calls the same method on whichever machine there is.
macro_rules! either {
    ($machine:expr, $m:ident => $call:expr, gone => $gone:expr) => {
        match $machine {
            Machine::Answering($m) => $call,
            Machine::Calling($m) => $call,
            Machine::Open($m) => $call,
            Machine::Gone => $gone,
        }
    };
}

/// One connection of the device, from the first byte on the line to the last. It sends back what it is told.
pub struct Device {
    machine: Machine,
    clock: Clock,
    closed: Option<Closed>,
}

impl Device {
    /// A device that waits for a client. `millis` is the counter of milliseconds, which may begin anew.
    #[must_use]
    pub fn answer(millis: u32) -> Self {
        let mut clock = Clock::new(millis);
        let handshake = ServerHandshake::new(clock.now(millis), ServerConfig::from(config()));
        Self { machine: Machine::Answering(Box::new(handshake)), clock, closed: None }
    }

    /// A device that calls a server, on a line that leads there.
    ///
    /// # Errors
    /// [`EntropyError`] if the source gives no key for the request.
    pub fn call(millis: u32, request: &ClientRequest, noise: BoxEntropy) -> Result<Self, EntropyError> {
        let mut clock = Clock::new(millis);
        let handshake = ClientHandshake::new(clock.now(millis), request, Arc::new(config()), noise)?;
        Ok(Self { machine: Machine::Calling(Box::new(handshake)), clock, closed: None })
    }

    /// How the connection ended; `None` as long as it has not, or if it never was one.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Does what can be done without waiting.
    pub fn turn(&mut self, line: &mut impl Line, millis: u32) -> Next {
        let now = self.clock.now(millis);
        let received = self.receive(now, line);
        // After receiving: what has just come may be the sign of life that a deadline waits for.
        if either!(&self.machine, m => m.poll_timeout(), gone => None).is_some_and(|at| at <= now) {
            either!(&mut self.machine, m => m.handle_timeout(now), gone => {});
            self.digest(now, Input::empty());
        }
        self.transmit(now, line);
        // A line can't be shut down in one direction: with `Shutdown::Write` the peer hangs up, or the machine's deadline
        // comes.
        if either!(&self.machine, m => m.wants_shutdown(), gone => Some(Shutdown::Both)) == Some(Shutdown::Both) {
            line.hang_up();
            self.machine = Machine::Gone;
            return Next::Over;
        }
        if received {
            return Next::Again;
        }
        if let Machine::Open(connection) = &mut self.machine {
            connection.release_memory();
        }
        Next::Sleep(self.patience(now))
    }

    /// Milliseconds until the machine wants to look at the clock.
    fn patience(&self, now: Instant) -> Option<u32> {
        let at = either!(&self.machine, m => m.poll_timeout(), gone => None)?;
        // Rounded up, so that the deadline has come when the counter says so.
        let millis = at.duration_since(now).as_nanos().div_ceil(1_000_000);
        Some(u32::try_from(millis).unwrap_or(u32::MAX))
    }

    fn wants_read(&self) -> bool {
        match &self.machine {
            Machine::Open(connection) => connection.wants_read() && connection.buffered() < BACKLOG,
            Machine::Answering(handshake) => handshake.wants_read(),
            Machine::Calling(handshake) => handshake.wants_read(),
            Machine::Gone => false,
        }
    }

    /// Empties the FIFO once. Whether there was anything in it.
    fn receive(&mut self, now: Instant, line: &mut impl Line) -> bool {
        if !self.wants_read() {
            return false;
        }
        let mut fifo = [0; FIFO];
        match line.receive(&mut fifo) {
            Ok(0) => false,
            Ok(n) => {
                if let Some(bytes) = fifo.get_mut(..n) {
                    self.digest(now, Input::new(bytes));
                }
                true
            }
            Err(Hangup) => {
                either!(&mut self.machine, m => m.eof(now), gone => {});
                self.digest(now, Input::empty());
                false
            }
        }
    }

    /// Fills the line.
    fn transmit(&mut self, now: Instant, line: &mut impl Line) {
        loop {
            let taken =
                either!(&self.machine, m => m.outgoing().next().map(|bytes| line.transmit(bytes)), gone => None);
            match taken {
                Some(Ok(n)) if n > 0 => {
                    either!(&mut self.machine, m => m.advance(now, n), gone => {});
                }
                Some(Err(Hangup)) => {
                    either!(&mut self.machine, m => m.transport_failed(now), gone => {});
                }
                _ => return,
            }
            // The end may follow from either.
            self.digest(now, Input::empty());
        }
    }

    /// Hands bytes to the machine and does what it says.
    fn digest(&mut self, now: Instant, mut input: Input<'_>) {
        self.open(now, &mut input);
        while let Machine::Open(connection) = &mut self.machine
            && let Some(event) = connection.poll(now, &mut input)
        {
            match event {
                // What the device is for. A message that comes when the connection is closing can't be sent back, and the
                // queue has room, see `config`.
                Event::Text(text) => _ = connection.send(text),
                Event::Binary(data) => _ = connection.send(data),
                Event::Closed(closed) => self.closed = Some(closed),
                _ => {}
            }
        }
    }

    /// Goes on with the opening handshake, if it is not done.
    fn open(&mut self, now: Instant, input: &mut Input<'_>) {
        let done = match &mut self.machine {
            Machine::Answering(handshake) => {
                let mut step = handshake.poll(now, input);
                if step == Step::Request {
                    decide(handshake, now);
                    step = handshake.poll(now, input);
                }
                step == Step::Done
            }
            Machine::Calling(handshake) => handshake.poll(now, input) == ClientStep::Done,
            Machine::Open(_) | Machine::Gone => return,
        };
        if !done {
            return;
        }
        // What waits to be written and what came behind the handshake move along.
        let connection = match mem::replace(&mut self.machine, Machine::Gone) {
            Machine::Answering(handshake) => handshake.into_connection(Box::new(NoEntropy)).ok(),
            Machine::Calling(handshake) => handshake.into_connection().ok().map(|(connection, _)| connection),
            Machine::Open(_) | Machine::Gone => None,
        };
        if let Some(connection) = connection {
            self.machine = Machine::Open(Box::new(connection));
        }
    }
}

/// Answers a request. This is the place to look at its path, its origin and its headers.
fn decide(handshake: &mut ServerHandshake, now: Instant) {
    if handshake.accept(now, Accept::new()).is_err() {
        handshake.respond(now, Reply::text(426, "This device speaks WebSocket.\n"));
    }
}
