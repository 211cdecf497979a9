//! A completion queue for machines that have none: `mio` beneath, and completions in an arbitrary order.
//!
//! It is harder to please than a real one. It reads and writes less than it could, lets finished operations lie while
//! others overtake them, and so finds out a caller that counts on an order.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener as MioListener, TcpStream};
use mio::{Events, Interest, Poll};
use ws_proto::bytes::Bytes;

use super::queue::{Completion, Queue, Token};

const LISTENER: mio::Token = mio::Token(0);
const WAKER: mio::Token = mio::Token(usize::MAX);

/// The queue, and everything in it.
pub(crate) struct Simulated {
    poll: Poll,
    events: Events,
    bell: Arc<Bell>,
    listener: MioListener,
    accepting: bool,
    sockets: HashMap<Token, Socket>,
    next_token: Token,
    /// Sockets that may get on: something was submitted, or mio told of them.
    candidates: Vec<Token>,
    finished: Vec<Completion>,
    dice: Dice,
}

struct Socket {
    stream: TcpStream,
    /// mio tells when these begin to be true; that they no longer are, only the socket tells, with `WouldBlock`.
    readable: bool,
    writable: bool,
    reading: Option<Box<[u8]>>,
    writing: Option<Bytes>,
}

struct Bell(mio::Waker);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.wake();
    }
}

impl Simulated {
    /// A queue for the sockets of one listener. The seed decides about the order of completions.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn new(listener: TcpListener, seed: u64) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let mut listener = MioListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let bell = Arc::new(Bell(mio::Waker::new(poll.registry(), WAKER)?));
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            bell,
            listener,
            accepting: false,
            sockets: HashMap::new(),
            next_token: 1,
            candidates: Vec::new(),
            finished: Vec::new(),
            dice: Dice(seed | 1),
        })
    }

    fn accept_now(&mut self) {
        let result = match self.listener.accept() {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => return,
            result => result.and_then(|(stream, _)| self.adopt(stream)),
        };
        self.accepting = false;
        self.finished.push(Completion::Accepted(result));
    }

    fn adopt(&mut self, mut stream: TcpStream) -> io::Result<Token> {
        let token = self.next_token;
        let name = mio::Token(usize::try_from(token).map_err(|_| ErrorKind::OutOfMemory)?);
        self.poll.registry().register(&mut stream, name, Interest::READABLE | Interest::WRITABLE)?;
        let _ = stream.set_nodelay(true);
        self.next_token += 1;
        let socket = Socket { stream, readable: false, writable: false, reading: None, writing: None };
        self.sockets.insert(token, socket);
        Ok(token)
    }

    /// Does what can be done without waiting.
    fn work(&mut self) {
        if self.accepting {
            self.accept_now();
        }
        for token in mem::take(&mut self.candidates) {
            let Some(socket) = self.sockets.get_mut(&token) else { continue };
            if socket.readable
                && let Some(mut buffer) = socket.reading.take()
            {
                let room = self.dice.part(buffer.len());
                match socket.stream.read(&mut buffer[..room]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        socket.readable = false;
                        socket.reading = Some(buffer);
                    }
                    result => self.finished.push(Completion::Read(token, result, buffer)),
                }
            }
            if socket.writable
                && let Some(bytes) = socket.writing.take()
            {
                let some = self.dice.part(bytes.len());
                match socket.stream.write(&bytes[..some]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        socket.writable = false;
                        socket.writing = Some(bytes);
                    }
                    result => self.finished.push(Completion::Written(token, result, bytes)),
                }
            }
        }
    }

    fn listen_to_mio(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            let token = event.token().0 as Token;
            if let Some(socket) = self.sockets.get_mut(&token) {
                note(socket, event);
                self.candidates.push(token);
            }
        }
        Ok(())
    }
}

fn note(socket: &mut Socket, event: &Event) {
    socket.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
    socket.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
}

impl Queue for Simulated {
    fn accept(&mut self) {
        self.accepting = true;
    }

    fn read(&mut self, socket: Token, buffer: Box<[u8]>) {
        if let Some(entry) = self.sockets.get_mut(&socket) {
            entry.reading = Some(buffer);
            self.candidates.push(socket);
        }
    }

    fn write(&mut self, socket: Token, bytes: Bytes) {
        if let Some(entry) = self.sockets.get_mut(&socket) {
            entry.writing = Some(bytes);
            self.candidates.push(socket);
        }
    }

    fn shutdown(&mut self, socket: Token, how: Shutdown) {
        if let Some(entry) = self.sockets.get_mut(&socket) {
            // It fails where the peer has gone; the completions tell.
            let _ = entry.stream.shutdown(how);
            if how == Shutdown::Both {
                entry.readable = true;
                entry.writable = true;
                self.candidates.push(socket);
            }
        }
    }

    fn close(&mut self, socket: Token) {
        self.sockets.remove(&socket);
    }

    fn wait(&mut self, timeout: Option<Duration>, completions: &mut Vec<Completion>) -> io::Result<()> {
        self.work();
        // With something to tell already, mio is only asked what is new.
        let timeout = if self.finished.is_empty() { timeout } else { Some(Duration::ZERO) };
        self.listen_to_mio(timeout)?;
        self.work();
        // Some of what is finished, in any order; never nothing, so nothing lies for ever.
        let mut telling = self.dice.part(self.finished.len());
        while telling > 0 && !self.finished.is_empty() {
            let chosen = self.dice.below(self.finished.len());
            completions.push(self.finished.swap_remove(chosen));
            telling -= 1;
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::from(self.bell.clone())
    }
}

/// Numbers that look random, by Marsaglia's xorshift. Good enough for disorder.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 40).unwrap_or(0) % sides.max(1)
    }

    /// All of it mostly; sometimes only a part, but not nothing of something.
    fn part(&mut self, whole: usize) -> usize {
        if self.below(4) == 0 { (self.below(whole) + 1).min(whole) } else { whole }
    }
}
