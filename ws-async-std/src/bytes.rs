//! The views of connections as streams of bytes, with the traits of `futures-io`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use ws_adapter as engine;

use crate::net::NetStream;
use crate::runtime::FuturesIo;
use crate::{Receiver, Sender, WebSocket};

/// A [`WebSocket`] as a stream of bytes, for whatever wants `AsyncRead + AsyncWrite`.
///
/// Reading gives the payload of binary messages, one after the other; each write becomes a binary message. See
/// [`ws_adapter::ByteStream`] for the end of the stream, errors, and shutting down.
///
/// ```
/// # async fn example(ws: ws_async_std::WebSocket) -> std::io::Result<()> {
/// use smol::io::{AsyncReadExt, AsyncWriteExt};
/// let mut tunnel = ws_async_std::ByteStream::new(ws);
/// tunnel.write_all(b"Marco").await?;
/// tunnel.flush().await?;
/// let mut answer = [0; 5];
/// tunnel.read_exact(&mut answer).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ByteStream<T = NetStream>(engine::ByteStream<T, FuturesIo>);

/// A [`Receiver`] as a stream of bytes that can be read; see [`ByteStream`].
#[derive(Debug)]
pub struct ByteReader<T = NetStream>(engine::ByteReader<T, FuturesIo>);

/// A [`Sender`] as a stream of bytes that can be written; see [`ByteStream`].
#[derive(Debug)]
pub struct ByteWriter<T = NetStream>(engine::ByteWriter<T, FuturesIo>);

impl<T: AsyncRead + AsyncWrite + Unpin> ByteStream<T> {
    /// A view of `ws`.
    #[must_use]
    pub fn new(ws: WebSocket<T>) -> Self {
        Self(engine::ByteStream::new(ws))
    }

    /// The connection. What was received of a message and not read is lost.
    #[must_use]
    pub fn into_inner(self) -> WebSocket<T> {
        self.0.into_inner()
    }

    /// The connection.
    #[must_use]
    pub fn get_ref(&self) -> &WebSocket<T> {
        self.0.get_ref()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> ByteReader<T> {
    /// A view of `receiver`.
    #[must_use]
    pub fn new(receiver: Receiver<T>) -> Self {
        Self(engine::ByteReader::new(receiver))
    }

    /// The receiver. What was received of a message and not read is lost.
    #[must_use]
    pub fn into_inner(self) -> Receiver<T> {
        self.0.into_inner()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> ByteWriter<T> {
    /// A view of `sender`.
    #[must_use]
    pub fn new(sender: Sender<T>) -> Self {
        Self(engine::ByteWriter::new(sender))
    }

    /// The sender.
    #[must_use]
    pub fn into_inner(self) -> Sender<T> {
        self.0.into_inner()
    }
}

macro_rules! read {
    ($type:ident) => {
        impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for $type<T> {
            fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                self.0.poll_read(cx, buf)
            }
        }
    };
}

macro_rules! write {
    ($type:ident) => {
        impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for $type<T> {
            fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.0.poll_write(cx, buf)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.0.poll_flush(cx)
            }

            fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.0.poll_shutdown(cx)
            }
        }
    };
}

read!(ByteStream);
read!(ByteReader);
write!(ByteStream);
write!(ByteWriter);
