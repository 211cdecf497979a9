//! Streams with a descriptor.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Transport;
use crate::park::{self, Interest};

/// A stream with one descriptor that `poll(2)` can wait for, for both directions: a socket of another library, a
/// terminal. Two pipes are a [`Duplex`](super::Duplex).
///
/// It holds a second descriptor of the same open file, so that a thread can wait for it while another one closes the
/// connection. Ending the writing side only flushes: there is no general way to do it, so the peer sees the end when
/// the connection is over.
///
/// For TCP and Unix sockets [`NetStream`](crate::NetStream) is faster.
pub struct Fd<T> {
    io: T,
    source: Arc<OwnedFd>,
}

impl<T: Read + Write + AsFd> Fd<T> {
    /// Takes over a stream, and makes its open file non-blocking.
    ///
    /// # Errors
    /// If there is no descriptor left, or the file can't be made non-blocking.
    pub fn new(io: T) -> io::Result<Self> {
        let source = Arc::new(io.as_fd().try_clone_to_owned()?);
        rustix::io::ioctl_fionbio(&source, true)?;
        Ok(Self { io, source })
    }

    fn poll<R>(&mut self, interest: Interest, mut f: impl FnMut(&mut T) -> io::Result<R>) -> Poll<io::Result<R>> {
        loop {
            match f(&mut self.io) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    park::note(self.source.clone(), interest);
                    return Poll::Pending;
                }
                result => return Poll::Ready(result),
            }
        }
    }
}

impl<T> Fd<T> {
    /// The stream.
    #[must_use]
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// The stream back; it stays non-blocking.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.io
    }
}

impl<T: Read + Write + AsFd + Send> Transport for Fd<T> {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll(Interest::Read, |io| io.read(buffer))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(Interest::Write, |io| io.write(bytes))
    }

    fn poll_write_vectored(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll(Interest::Write, |io| io.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(Interest::Write, Write::flush)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl<T: fmt::Debug> fmt::Debug for Fd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fd").field(&self.io).finish()
    }
}
