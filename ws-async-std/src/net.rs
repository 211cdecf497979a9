//! The transports that this crate opens by itself.

use std::io::{self, ErrorKind, IoSlice};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
#[cfg(feature = "tls-core")]
use futures_rustls::TlsStream;
use ws_adapter::Address;
#[cfg(feature = "tls-core")]
use ws_adapter::tls::{ReadAhead, TlsInfo};

use crate::socket::Socket;

/// The transport of a connection that was made by `connect` or taken by a `Server`: a TCP connection or a Unix socket, with
/// TLS or without.
///
/// Sockets are those of `async-io`, which async-std and smol drive alike. They can be made from an [`Async`].
#[derive(Debug)]
pub struct NetStream {
    layer: Layer,
}

#[derive(Debug)]
enum Layer {
    Plain(Plain),
    #[cfg(feature = "tls-core")]
    #[cfg_attr(not(any(feature = "async-std", feature = "smol")), allow(dead_code, reason = "nothing connects"))]
    Tls(Box<TlsStream<Ahead>>),
}

#[derive(Debug)]
pub(crate) enum Plain {
    Tcp(Socket<TcpStream>),
    #[cfg(unix)]
    Unix(Socket<UnixStream>),
}

/// Does the same with whatever socket is in a [`Plain`].
macro_rules! each {
    ($plain:expr, $io:ident => $do:expr) => {
        match $plain {
            Plain::Tcp($io) => $do,
            #[cfg(unix)]
            Plain::Unix($io) => $do,
        }
    };
}

/// Does the same with whatever is in a [`NetStream`].
macro_rules! layer {
    ($stream:expr, $io:ident => $do:expr) => {
        match &mut $stream.layer {
            Layer::Plain(plain) => {
                let $io = Pin::new(plain);
                $do
            }
            #[cfg(feature = "tls-core")]
            Layer::Tls(tls) => {
                let $io = Pin::new(&mut **tls);
                $do
            }
        }
    };
}

impl NetStream {
    #[cfg(all(feature = "tls-core", any(feature = "async-std", feature = "smol")))]
    pub(crate) fn with_tls(tls: impl Into<TlsStream<Ahead>>) -> Self {
        Self { layer: Layer::Tls(Box::new(tls.into())) }
    }

    #[cfg(all(feature = "tls-core", any(feature = "async-std", feature = "smol")))]
    pub(crate) fn below_tls(self) -> io::Result<Ahead> {
        match self.layer {
            Layer::Plain(socket) => Ok(Ahead { socket, ahead: ReadAhead::default() }),
            Layer::Tls(_) => Err(io::Error::new(ErrorKind::Unsupported, "TLS within TLS")),
        }
    }

    fn plain(&self) -> &Plain {
        match &self.layer {
            Layer::Plain(plain) => plain,
            #[cfg(feature = "tls-core")]
            Layer::Tls(tls) => &tls.get_ref().0.socket,
        }
    }

    /// The TCP connection below, if there is one. For its options: what is read from it is lost.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self.plain() {
            Plain::Tcp(tcp) => Some(tcp.get()),
            #[cfg(unix)]
            Plain::Unix(_) => None,
        }
    }

    /// The Unix socket below, if there is one. For its options: what is read from it is lost.
    #[cfg(unix)]
    #[must_use]
    pub fn unix(&self) -> Option<&UnixStream> {
        match self.plain() {
            Plain::Unix(unix) => Some(unix.get()),
            Plain::Tcp(_) => None,
        }
    }

    /// What was agreed on in the TLS handshake, and who the peer is; `None` without TLS.
    #[cfg(feature = "tls-core")]
    #[must_use]
    pub fn tls(&self) -> Option<TlsInfo> {
        match &self.layer {
            Layer::Plain(_) => None,
            Layer::Tls(tls) => match &**tls {
                TlsStream::Client(tls) => TlsInfo::of_client(tls.get_ref().1),
                TlsStream::Server(tls) => TlsInfo::of_server(tls.get_ref().1),
            },
        }
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// If the operating system does not know it any more.
    pub fn peer_addr(&self) -> io::Result<Address> {
        each!(self.plain(), io => io.get().peer_addr().map(Address::from))
    }

    /// The address of this end.
    ///
    /// # Errors
    /// If the operating system does not know it any more.
    pub fn local_addr(&self) -> io::Result<Address> {
        each!(self.plain(), io => io.get().local_addr().map(Address::from))
    }
}

impl From<Async<TcpStream>> for NetStream {
    fn from(tcp: Async<TcpStream>) -> Self {
        Self { layer: Layer::Plain(Plain::Tcp(Socket::new(tcp))) }
    }
}

#[cfg(unix)]
impl From<Async<UnixStream>> for NetStream {
    fn from(unix: Async<UnixStream>) -> Self {
        Self { layer: Layer::Plain(Plain::Unix(Socket::new(unix))) }
    }
}

impl AsyncRead for NetStream {
    #[inline]
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        layer!(self, io => io.poll_read(cx, buf))
    }
}

impl AsyncWrite for NetStream {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        layer!(self, io => io.poll_write(cx, buf))
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        layer!(self, io => io.poll_write_vectored(cx, bufs))
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        layer!(self, io => io.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        layer!(self, io => io.poll_close(cx))
    }
}

impl AsyncRead for Plain {
    #[inline]
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        each!(&mut *self, io => io.poll_read(cx, buf))
    }
}

impl AsyncWrite for Plain {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(&mut *self, io => io.poll_write(cx, buf))
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(&mut *self, io => io.poll_write_vectored(cx, bufs))
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets keep nothing.
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = each!(&*self, io => io.get().shutdown(Shutdown::Write));
        Poll::Ready(match shut {
            // The peer was faster.
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
            shut => shut,
        })
    }
}

/// A socket below TLS, which asks for little at a time.
#[cfg(feature = "tls-core")]
#[derive(Debug)]
pub(crate) struct Ahead {
    socket: Plain,
    ahead: ReadAhead,
}

#[cfg(feature = "tls-core")]
impl AsyncRead for Ahead {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { socket, ahead } = &mut *self;
        ahead.poll_read(buf, |buffer| Pin::new(socket).poll_read(cx, buffer))
    }
}

#[cfg(feature = "tls-core")]
impl AsyncWrite for Ahead {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}
