//! The queue that Linux has: io_uring, through `compio-driver`, which keeps the buffers until the kernel is done.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::mem;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use compio_buf::{BufResult, IntoInner};
use compio_driver::op::{Interest, PollOnce, Recv, Send};
use compio_driver::{Key, OpCode, Proactor, PushEntry};
use ws_proto::bytes::Bytes;

use super::queue::{Completion, Queue, Token};

type ReadOp = Recv<Box<[u8]>, Arc<TcpStream>>;
type WriteOp = Send<Bytes, Arc<TcpStream>>;
type AcceptOp = PollOnce<Arc<TcpListener>>;

/// Sockets, and what the kernel has of them.
pub(crate) struct Uring {
    proactor: Proactor,
    listener: Arc<TcpListener>,
    accepting: Option<Key<AcceptOp>>,
    sockets: HashMap<Token, Socket>,
    next_token: Token,
    /// What is complete, as told by the operations themselves: the driver has no list of them.
    finished: Arc<Mutex<Vec<Operation>>>,
    /// What was complete before it was waited for.
    early: Vec<Completion>,
}

struct Socket {
    // The operations hold it, too, so that its number is not given to another one while the kernel works with it.
    stream: Arc<TcpStream>,
    reading: Option<Key<ReadOp>>,
    writing: Option<Key<WriteOp>>,
}

#[derive(Clone, Copy)]
enum Operation {
    Accept,
    Read(Token),
    Write(Token),
}

/// Wakes nobody, but takes note of which operation is complete.
struct Note {
    operation: Operation,
    finished: Arc<Mutex<Vec<Operation>>>,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).push(self.operation);
    }
}

impl Uring {
    /// A ring for the sockets of one listener.
    ///
    /// # Errors
    /// If the system has no io_uring, or does not let us use it.
    pub(crate) fn new(listener: TcpListener) -> io::Result<Self> {
        let proactor = Proactor::new()?;
        // The ring tells that somebody is there; `accept` must not block if he has gone again.
        listener.set_nonblocking(true)?;
        Ok(Self {
            proactor,
            listener: Arc::new(listener),
            accepting: None,
            sockets: HashMap::new(),
            next_token: 1,
            finished: Arc::default(),
            early: Vec::new(),
        })
    }

    /// Hands an operation to the kernel. What it can't take is given back.
    fn push<O: OpCode + 'static>(&mut self, op: O, operation: Operation) -> Result<Key<O>, BufResult<usize, O>> {
        match self.proactor.push(op) {
            PushEntry::Pending(mut key) => {
                let note = Note { operation, finished: self.finished.clone() };
                self.proactor.update_waker(&mut key, &Waker::from(Arc::new(note)));
                Ok(key)
            }
            PushEntry::Ready(result) => Err(result),
        }
    }

    fn accept_now(&mut self) -> io::Result<Token> {
        let (stream, _) = self.listener.accept()?;
        let _ = stream.set_nodelay(true);
        let token = self.next_token;
        self.next_token += 1;
        self.sockets.insert(token, Socket { stream: Arc::new(stream), reading: None, writing: None });
        Ok(token)
    }

    /// Takes back what an operation had. `None` if its completion was taken already.
    fn reap(&mut self, operation: Operation) -> Option<Completion> {
        match operation {
            Operation::Accept => {
                let BufResult(result, _) = pop(&mut self.proactor, &mut self.accepting)?;
                match result.and_then(|_| self.accept_now()) {
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {
                        // He has gone: wait for the next one.
                        self.accept();
                        None
                    }
                    result => Some(Completion::Accepted(result)),
                }
            }
            Operation::Read(token) => {
                let BufResult(result, op) = pop(&mut self.proactor, &mut self.sockets.get_mut(&token)?.reading)?;
                Some(Completion::Read(token, result, op.into_inner()))
            }
            Operation::Write(token) => {
                let BufResult(result, op) = pop(&mut self.proactor, &mut self.sockets.get_mut(&token)?.writing)?;
                Some(Completion::Written(token, result, op.into_inner()))
            }
        }
    }
}

/// The outcome of an operation; it stays where it is if there is none yet.
fn pop<O>(proactor: &mut Proactor, slot: &mut Option<Key<O>>) -> Option<BufResult<usize, O>> {
    match proactor.pop(slot.take()?) {
        PushEntry::Ready(result) => Some(result),
        PushEntry::Pending(key) => {
            *slot = Some(key);
            None
        }
    }
}

impl Queue for Uring {
    fn accept(&mut self) {
        let op = PollOnce::new(self.listener.clone(), Interest::Readable);
        match self.push(op, Operation::Accept) {
            Ok(key) => self.accepting = Some(key),
            Err(BufResult(result, _)) => {
                let result = result.and_then(|_| self.accept_now());
                self.early.push(Completion::Accepted(result));
            }
        }
    }

    fn read(&mut self, socket: Token, buffer: Box<[u8]>) {
        let Some(stream) = self.sockets.get(&socket).map(|socket| socket.stream.clone()) else { return };
        match self.push(Recv::new(stream, buffer, 0), Operation::Read(socket)) {
            Ok(key) => {
                if let Some(socket) = self.sockets.get_mut(&socket) {
                    socket.reading = Some(key);
                }
            }
            Err(BufResult(result, op)) => self.early.push(Completion::Read(socket, result, op.into_inner())),
        }
    }

    fn write(&mut self, socket: Token, bytes: Bytes) {
        let Some(stream) = self.sockets.get(&socket).map(|socket| socket.stream.clone()) else { return };
        match self.push(Send::new(stream, bytes, 0), Operation::Write(socket)) {
            Ok(key) => {
                if let Some(socket) = self.sockets.get_mut(&socket) {
                    socket.writing = Some(key);
                }
            }
            Err(BufResult(result, op)) => self.early.push(Completion::Written(socket, result, op.into_inner())),
        }
    }

    fn shutdown(&mut self, socket: Token, how: Shutdown) {
        if let Some(socket) = self.sockets.get(&socket) {
            // It fails where the peer has gone; the completions tell.
            let _ = socket.stream.shutdown(how);
        }
    }

    fn close(&mut self, socket: Token) {
        self.sockets.remove(&socket);
    }

    fn wait(&mut self, timeout: Option<Duration>, completions: &mut Vec<Completion>) -> io::Result<()> {
        // The driver also looks for completions when there is no room for a submission.
        let told = !self.early.is_empty() || !self.finished.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        match self.proactor.poll(if told { Some(Duration::ZERO) } else { timeout }) {
            Err(error) if !matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => return Err(error),
            _ => {}
        }
        completions.append(&mut self.early);
        let finished = mem::take(&mut *self.finished.lock().unwrap_or_else(PoisonError::into_inner));
        for operation in finished {
            completions.extend(self.reap(operation));
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.proactor.waker()
    }
}
