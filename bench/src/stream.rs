//! A transport in memory: serves prepared bytes, swallows what is written.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, Read, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one write can take, like a socket buffer.
const SINK: usize = 2 * 1024 * 1024;

thread_local! {
    static SUNK: RefCell<Vec<u8>> = RefCell::new(vec![0; SINK]);
    static WRITTEN: Cell<u64> = const { Cell::new(0) };
    static RECORD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Makes what all streams of this thread share, so that it isn't made while something is counted.
pub fn prepare() {
    sink(&[]);
}

/// What `work` writes to all [`CycleStream`]s of this thread.
pub fn recorded(work: impl FnOnce()) -> Vec<u8> {
    RECORD.set(Some(Vec::new()));
    work();
    RECORD.take().unwrap_or_default()
}

fn record(parts: &[IoSlice<'_>]) {
    RECORD.with_borrow_mut(|record| {
        if let Some(record) = record {
            parts.iter().for_each(|part| record.extend_from_slice(part));
        }
    });
}

/// Bytes written to all streams of this thread since the last call.
pub fn take_written() -> u64 {
    WRITTEN.take()
}

/// Whether the last write, if it was a short one, has `part` in it.
pub fn last_write_contains(part: &[u8]) -> bool {
    SUNK.with_borrow(|sunk| sunk[..512].windows(part.len()).any(|bytes| bytes == part))
}

/// Copies, as a kernel would, so that a library that copies too pays for it twice.
fn sink(parts: &[IoSlice<'_>]) -> usize {
    SUNK.with_borrow_mut(|sunk| {
        let mut at = 0;
        for part in parts {
            let n = part.len().min(sunk.len() - at);
            sunk[at..at + n].copy_from_slice(&part[..n]);
            at += n;
        }
        WRITTEN.set(WRITTEN.get() + at as u64);
        at
    })
}

/// What the reads of a stream give. Types of their own, so that no row pays for what it doesn't use.
pub trait Source: Unpin {
    /// Whether [`recorded`] hears of what is written.
    const RECORDS: bool;

    /// The bytes of the next read into a buffer of `room` bytes; empty when there are none.
    fn next(&mut self, room: usize) -> &'static [u8];
}

/// A stream in memory.
#[derive(Debug)]
pub struct Stream<S>(S);

/// A stream whose reads give a pattern, over and over or once, at most `read_size` bytes at a time.
/// A read never spans the end of the pattern.
pub type MemStream = Stream<Pattern>;

/// A stream whose reads give one pattern after the other, over and over.
pub type CycleStream = Stream<Cycle>;

/// See [`MemStream`].
#[derive(Debug)]
pub struct Pattern {
    pattern: &'static [u8],
    rest: &'static [u8],
    read_size: usize,
    repeat: bool,
}

/// See [`CycleStream`].
#[derive(Debug)]
pub struct Cycle {
    patterns: &'static [Vec<u8>],
    turn: usize,
    rest: &'static [u8],
}

impl MemStream {
    /// Serves `pattern` for ever.
    pub fn repeating(pattern: &'static [u8], read_size: usize) -> Self {
        Self(Pattern { pattern, rest: pattern, read_size, repeat: true })
    }

    /// Serves `pattern` once; then there is nothing to read.
    pub fn once(pattern: &'static [u8]) -> Self {
        Self(Pattern { pattern, rest: pattern, read_size: usize::MAX, repeat: false })
    }
}

impl CycleStream {
    /// Serves each of `patterns` by a read of its own.
    pub fn cycling(patterns: &'static [Vec<u8>]) -> Self {
        Self(Cycle { patterns, turn: 0, rest: &[] })
    }
}

impl Source for Pattern {
    const RECORDS: bool = false;

    #[inline]
    fn next(&mut self, room: usize) -> &'static [u8] {
        if self.rest.is_empty() && self.repeat {
            self.rest = self.pattern;
        }
        let n = self.rest.len().min(self.read_size).min(room);
        let (given, rest) = self.rest.split_at(n);
        self.rest = rest;
        given
    }
}

impl Source for Cycle {
    const RECORDS: bool = true;

    fn next(&mut self, room: usize) -> &'static [u8] {
        if self.rest.is_empty() {
            self.rest = &self.patterns[self.turn];
            self.turn = (self.turn + 1) % self.patterns.len();
        }
        let (given, rest) = self.rest.split_at(self.rest.len().min(room));
        self.rest = rest;
        given
    }
}

impl<S: Source> Read for Stream<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let given = self.0.next(buf.len());
        if given.is_empty() && !buf.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buf[..given.len()].copy_from_slice(given);
        Ok(given.len())
    }
}

impl<S: Source> Write for Stream<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if S::RECORDS {
            record(parts);
        }
        Ok(sink(parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Source> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let given = self.0.next(buf.remaining());
        if given.is_empty() && buf.remaining() > 0 {
            return Poll::Pending;
        }
        buf.put_slice(given);
        Poll::Ready(Ok(()))
    }
}

impl<S: Source> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Write::write(&mut *self, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Write::write_vectored(&mut *self, parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Polls a future that needs no reactor to its end. One that lets others run is polled again at once.
///
/// # Panics
///
/// When it keeps waiting although nothing in memory can wake it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..u32::MAX {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("a future over a stream in memory does not end");
}
