//! Streams in memory.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Transport;

/// Two ends of a stream in memory: what is written to one is read from the other.
///
/// Each direction holds at most 64 KiB; then writing waits for the reader. An end that is dropped is read as the end of
/// the stream, after what it has written.
///
/// ```
/// use std::task::{Context, Poll, Waker};
/// use ws_blocking::{Transport, pipe};
///
/// let (mut here, mut there) = pipe();
/// let cx = &mut Context::from_waker(Waker::noop());
/// assert!(matches!(here.poll_write(cx, b"Hello"), Poll::Ready(Ok(5))));
/// let mut buffer = [0; 8];
/// assert!(matches!(there.poll_read(cx, &mut buffer), Poll::Ready(Ok(5))));
/// assert_eq!(&buffer[..5], b"Hello");
/// ```
#[must_use]
pub fn pipe() -> (Pipe, Pipe) {
    let (there, back) = (one_way(), one_way());
    (Pipe { input: back.0, output: there.1 }, Pipe { input: there.0, output: back.1 })
}

/// One end of a stream in memory; see [`pipe()`].
pub struct Pipe {
    input: Reading,
    output: Writing,
}

impl Transport for Pipe {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.input.poll_read(cx, buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.output.poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.end(None);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").finish_non_exhaustive()
    }
}

/// Bytes that one direction holds at most.
const MOST: usize = 64 * 1024;

/// The two ends of one direction.
pub(super) fn one_way() -> (Reading, Writing) {
    let channel = Channel::default();
    (Reading(channel.clone()), Writing(channel))
}

/// One direction.
#[derive(Clone, Default)]
struct Channel(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// The reader has taken some, and has not come back for more: it may be working on it.
    taken: bool,
    /// Nothing more will be written.
    ended: bool,
    /// Nothing more will be read.
    gone: bool,
    /// Why, for the other side.
    error: Option<io::Error>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}

fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

/// The end of a direction that is read.
pub(super) struct Reading(Channel);

impl Reading {
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, mut buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        // What was given before has been dealt with.
        state.taken = false;
        if state.bytes.is_empty() {
            if let Some(error) = state.error.take() {
                return Poll::Ready(Err(error));
            }
            if state.ended || buffer.is_empty() {
                return Poll::Ready(Ok(0));
            }
            state.wake_writer();
            keep(&mut state.reader, cx);
            return Poll::Pending;
        }
        let (first, second) = state.bytes.as_slices();
        let n = buffer.write(first)? + buffer.write(second)?;
        state.bytes.drain(..n);
        state.taken = n > 0;
        if state.bytes.is_empty() {
            // An idle stream holds nothing.
            state.bytes = VecDeque::new();
        }
        state.wake_writer();
        Poll::Ready(Ok(n))
    }

    /// Nothing more will be read, because of `error`.
    pub(super) fn fail(&mut self, error: io::Error) {
        let mut state = self.0.lock();
        state.error = Some(error);
        state.gone = true;
        state.wake_writer();
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.gone = true;
        state.bytes = VecDeque::new();
        state.taken = false;
        state.wake_writer();
    }
}

/// The end of a direction that is written.
pub(super) struct Writing(Channel);

impl Writing {
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if state.gone || state.ended {
            let error = state.error.take();
            return Poll::Ready(Err(error.unwrap_or_else(|| ErrorKind::BrokenPipe.into())));
        }
        let room = MOST.saturating_sub(state.bytes.len());
        let Some(bytes) = bytes.get(..room.min(bytes.len())).filter(|some| !some.is_empty() || bytes.is_empty()) else {
            keep(&mut state.writer, cx);
            return Poll::Pending;
        };
        state.bytes.extend(bytes);
        state.wake_reader();
        Poll::Ready(Ok(bytes.len()))
    }

    /// Waits until the reader has dealt with everything.
    pub(super) fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if state.gone {
            let error = state.error.take();
            return Poll::Ready(Err(error.unwrap_or_else(|| ErrorKind::BrokenPipe.into())));
        }
        if state.bytes.is_empty() && !state.taken {
            return Poll::Ready(Ok(()));
        }
        keep(&mut state.writer, cx);
        Poll::Pending
    }

    /// Nothing more will be written; the reader learns of `error` after what was.
    pub(super) fn end(&mut self, error: Option<io::Error>) {
        let mut state = self.0.lock();
        state.ended = true;
        if state.error.is_none() {
            state.error = error;
        }
        state.wake_reader();
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.end(None);
    }
}
