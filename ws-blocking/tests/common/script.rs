//! Transports that follow a script.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use ws_blocking::Transport;

/// What a transport did.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
pub struct Entries {
    /// Everything that was written.
    pub written: Vec<u8>,
    /// Calls that wrote something.
    pub writes: usize,
    /// Calls that read something.
    pub reads: usize,
    pub flushes: usize,
    pub shutdowns: usize,
    pub dropped: bool,
}

impl Log {
    pub fn get<R>(&self, f: impl FnOnce(&mut Entries) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }
}

/// One call of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Takes or gives up to this many bytes.
    Move(usize),
    /// Pending once; wakes the thread by itself.
    Wait,
    /// Pending for ever, until somebody wakes the thread.
    Stuck,
    Fail(ErrorKind),
}

/// A transport that follows two scripts: what the peer sends and how, and how it takes what is written.
pub struct Scripted {
    pub input: VecDeque<u8>,
    /// After the script: reads give all there is, then end the stream.
    pub reads: Box<dyn FnMut() -> Option<Step> + Send>,
    /// After the script: writes take everything.
    pub writes: Box<dyn FnMut() -> Option<Step> + Send>,
    pub vectored: bool,
    pub log: Log,
}

impl Scripted {
    pub fn new(input: impl AsRef<[u8]>) -> Self {
        Self {
            input: input.as_ref().iter().copied().collect(),
            reads: Box::new(|| None),
            writes: Box::new(|| None),
            vectored: true,
            log: Log::default(),
        }
    }

    pub fn reads(mut self, steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>) -> Self {
        let mut steps = steps.into_iter();
        self.reads = Box::new(move || steps.next());
        self
    }

    pub fn writes(mut self, steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>) -> Self {
        let mut steps = steps.into_iter();
        self.writes = Box::new(move || steps.next());
        self
    }
}

fn take(step: Option<Step>, cx: &Context<'_>) -> Poll<io::Result<usize>> {
    match step {
        None => Poll::Ready(Ok(usize::MAX)),
        Some(Step::Move(n)) => Poll::Ready(Ok(n)),
        Some(Step::Fail(kind)) => Poll::Ready(Err(kind.into())),
        Some(Step::Stuck) => Poll::Pending,
        Some(Step::Wait) => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
}

impl Transport for Scripted {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let step = (self.reads)();
        take(step, cx).map_ok(|most| {
            let n = most.min(buffer.len()).min(self.input.len());
            for (slot, byte) in buffer.iter_mut().zip(self.input.drain(..n)) {
                *slot = byte;
            }
            self.log.get(|log| log.reads += usize::from(n > 0));
            n
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let step = (self.writes)();
        take(step, cx).map_ok(|most| {
            let n = most.min(bytes.len());
            self.log.get(|log| {
                log.written.extend_from_slice(&bytes[..n]);
                log.writes += usize::from(n > 0);
            });
            n
        })
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.poll_write(cx, &all)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.log.get(|log| log.flushes += 1);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.log.get(|log| log.shutdowns += 1);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.log.get(|log| log.dropped = true);
    }
}

/// The frames of a server in `bytes`: first byte and payload of each. Panics if they are not whole.
pub fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        let (len, rest) = match len {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            short => (usize::from(*short), rest),
        };
        frames.push((*first, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty());
    frames
}
