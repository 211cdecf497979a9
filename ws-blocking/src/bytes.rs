//! The views of connections as streams of bytes, with std's traits.

use std::future::poll_fn;
use std::io::{self, Read, Write};

use ws_adapter as engine;

use crate::net::NetStream;
use crate::park::block_on;
use crate::runtime::Blocking;
use crate::transport::Transport;
use crate::wait::Wait;
use crate::{Receiver, Sender, WebSocket};

/// A [`WebSocket`] as a stream of bytes, for whatever wants [`Read`] and [`Write`].
///
/// Reading gives the payload of binary messages, one after the other; text is an error of kind `InvalidData`. The end of
/// the stream is the peer's Close with 1000 or 1001, or without a code; a connection that ends otherwise is an error of
/// kind `UnexpectedEof`. Each write becomes a binary message of at most 64 KiB.
///
/// Calls wait as the connection's calls do; one that is interrupted is an error of kind `TimedOut`, or `Other` if it was
/// cancelled, and has lost nothing.
///
/// ```
/// # fn example(ws: ws_blocking::WebSocket, file: &mut std::fs::File) -> std::io::Result<()> {
/// let mut tunnel = ws_blocking::ByteStream::new(ws);
/// std::io::copy(&mut tunnel, file)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ByteStream<T = NetStream> {
    inner: engine::ByteStream<T, Blocking>,
    kept: Kept,
}

/// A [`Receiver`] as a stream of bytes that can be read; see [`ByteStream`].
#[derive(Debug)]
pub struct ByteReader<T = NetStream> {
    inner: engine::ByteReader<T, Blocking>,
    kept: Kept,
}

/// A [`Sender`] as a stream of bytes that can be written; see [`ByteStream`].
#[derive(Debug)]
pub struct ByteWriter<T = NetStream> {
    inner: engine::ByteWriter<T, Blocking>,
    kept: Kept,
}

/// What of a handle is not the engine's.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) wait: Wait,
    pub(crate) told: bool,
}

macro_rules! view {
    ($view:ident of $handle:ident) => {
        impl<T: Transport> $view<T> {
            #[doc = concat!("A view of a [`", stringify!($handle), "`].")]
            #[must_use]
            pub fn new(handle: $handle<T>) -> Self {
                let (inner, kept) = handle.into_parts();
                Self { inner: engine::$view::new(inner), kept }
            }

            #[doc = concat!("The [`", stringify!($handle), "`]. What was received of a message and not read is lost.")]
            #[must_use]
            pub fn into_inner(self) -> $handle<T> {
                $handle::from_parts(self.inner.into_inner(), self.kept)
            }

            /// How long calls wait from now on; see [`WebSocket::set_wait`].
            pub fn set_wait(&mut self, wait: impl Into<Wait>) {
                self.kept.wait.set(wait.into());
            }
        }
    };
}

macro_rules! read {
    ($view:ident) => {
        impl<T: Transport> Read for $view<T> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                block_on(poll_fn(|cx| self.inner.poll_read(cx, buffer)), &self.kept.wait)?
            }
        }
    };
}

macro_rules! write {
    ($view:ident) => {
        impl<T: Transport> $view<T> {
            /// Sends a Close with 1000 and writes what is queued. Go on reading then until the end, for that completes
            /// the closing handshake.
            ///
            /// # Errors
            /// If it is interrupted; closing has begun then.
            pub fn shutdown(&mut self) -> io::Result<()> {
                block_on(poll_fn(|cx| self.inner.poll_shutdown(cx)), &self.kept.wait)?
            }
        }

        impl<T: Transport> Write for $view<T> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                block_on(poll_fn(|cx| self.inner.poll_write(cx, bytes)), &self.kept.wait)?
            }

            fn flush(&mut self) -> io::Result<()> {
                block_on(poll_fn(|cx| self.inner.poll_flush(cx)), &self.kept.wait)?
            }
        }
    };
}

view!(ByteStream of WebSocket);
view!(ByteReader of Receiver);
view!(ByteWriter of Sender);
read!(ByteStream);
read!(ByteReader);
write!(ByteStream);
write!(ByteWriter);
