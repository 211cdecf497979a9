//! Streams that a program brings along.

mod duplex;
mod fd;
mod pipe;

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

pub use duplex::Duplex;
pub use fd::Fd;
pub use pipe::{Pipe, pipe};

/// A stream of bytes that a WebSocket can go over.
///
/// The methods never wait. Where nothing can be done now they return `Pending` and see to it that the waker of `cx` is
/// woken when it can, from any thread.
///
/// There are ready-made ones: [`NetStream`](crate::NetStream) for sockets, [`Fd`] for what has a descriptor,
/// [`Duplex`] for any `Read` and `Write`, and [`pipe()`] for both ends in memory.
pub trait Transport: Send {
    /// Reads into `buffer` and says how much; 0 is the end.
    ///
    /// # Errors
    /// If nothing can be read any more.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some of `bytes` and says how much.
    ///
    /// # Errors
    /// If nothing can be written any more.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Writes some of what the slices hold, the first one first. By default writes of the first that is not empty.
    ///
    /// # Errors
    /// As [`Transport::poll_write`].
    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(cx, first.map_or(&[], |slice| slice))
    }

    /// Whether [`Transport::poll_write_vectored`] takes more than one slice. By default it does not.
    fn is_write_vectored(&self) -> bool {
        false
    }

    /// Passes on what the stream keeps.
    ///
    /// # Errors
    /// As [`Transport::poll_write`].
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the writing side; reading goes on.
    ///
    /// # Errors
    /// As [`Transport::poll_write`].
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        (**self).poll_read(cx, buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        (**self).poll_write(cx, bytes)
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        (**self).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        (**self).is_write_vectored()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_shutdown(cx)
    }
}
