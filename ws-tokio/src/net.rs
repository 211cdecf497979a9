//! The transports that this crate opens by itself.

use std::io::{self, IoSlice};
use std::pin::Pin;
#[cfg(feature = "tls-core")]
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
#[cfg(feature = "tls-core")]
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use ws_adapter::Address;
#[cfg(feature = "tls-core")]
use ws_adapter::tls::{
    ReadAhead, TlsInfo,
    rustls::{ClientConfig, ServerConfig, pki_types::ServerName},
};

/// The transport of a connection made by [`connect`](crate::connect()) or taken by a [`Server`](crate::Server): a TCP
/// connection or a Unix socket, with TLS or without.
#[derive(Debug)]
pub struct NetStream {
    layer: Layer,
}

#[derive(Debug)]
enum Layer {
    Plain(Socket),
    #[cfg(feature = "tls-core")]
    Tls(Box<TlsStream<Ahead>>),
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// Does the same with whatever is in a [`NetStream`].
macro_rules! each {
    ($stream:expr, $io:ident => $do:expr) => {
        match $stream {
            Layer::Plain(Socket::Tcp($io)) => $do,
            #[cfg(unix)]
            Layer::Plain(Socket::Unix($io)) => $do,
            #[cfg(feature = "tls-core")]
            Layer::Tls($io) => $do,
        }
    };
}

impl NetStream {
    fn socket(&self) -> &Socket {
        match &self.layer {
            Layer::Plain(socket) => socket,
            #[cfg(feature = "tls-core")]
            Layer::Tls(tls) => &tls.get_ref().0.socket,
        }
    }

    /// The TCP connection below, if there is one.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self.socket() {
            Socket::Tcp(tcp) => Some(tcp),
            #[cfg(unix)]
            Socket::Unix(_) => None,
        }
    }

    /// The Unix socket below, if there is one.
    #[cfg(unix)]
    #[must_use]
    pub fn unix(&self) -> Option<&UnixStream> {
        match self.socket() {
            Socket::Unix(unix) => Some(unix),
            Socket::Tcp(_) => None,
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
        match self.socket() {
            Socket::Tcp(tcp) => tcp.peer_addr().map(Address::from),
            #[cfg(unix)]
            Socket::Unix(unix) => unix.peer_addr().map(unix_address),
        }
    }

    /// The address of this end.
    ///
    /// # Errors
    /// If the operating system does not know it any more.
    pub fn local_addr(&self) -> io::Result<Address> {
        match self.socket() {
            Socket::Tcp(tcp) => tcp.local_addr().map(Address::from),
            #[cfg(unix)]
            Socket::Unix(unix) => unix.local_addr().map(unix_address),
        }
    }

    #[cfg(feature = "tls-core")]
    pub(crate) async fn connect_tls(self, name: ServerName<'static>, config: Arc<ClientConfig>) -> io::Result<Self> {
        let tls = TlsConnector::from(config).connect(name, self.below_tls()?).await?;
        Ok(Self { layer: Layer::Tls(Box::new(tls.into())) })
    }

    #[cfg(feature = "tls-core")]
    pub(crate) async fn accept_tls(self, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tls = TlsAcceptor::from(config).accept(self.below_tls()?).await?;
        Ok(Self { layer: Layer::Tls(Box::new(tls.into())) })
    }

    #[cfg(feature = "tls-core")]
    fn below_tls(self) -> io::Result<Ahead> {
        match self.layer {
            Layer::Plain(socket) => Ok(Ahead { socket, ahead: ReadAhead::default() }),
            Layer::Tls(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "TLS within TLS")),
        }
    }
}

#[cfg(unix)]
fn unix_address(address: tokio::net::unix::SocketAddr) -> Address {
    Address::Unix(address.as_pathname().map(Into::into))
}

impl From<TcpStream> for NetStream {
    fn from(tcp: TcpStream) -> Self {
        Self { layer: Layer::Plain(Socket::Tcp(tcp)) }
    }
}

#[cfg(unix)]
impl From<UnixStream> for NetStream {
    fn from(unix: UnixStream) -> Self {
        Self { layer: Layer::Plain(Socket::Unix(unix)) }
    }
}

impl AsyncRead for NetStream {
    #[inline]
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.layer, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for NetStream {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(&mut self.layer, io => Pin::new(io).poll_write(cx, buf))
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.layer, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.layer, io => Pin::new(io).poll_shutdown(cx))
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(&mut self.layer, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        each!(&self.layer, io => io.is_write_vectored())
    }
}

/// A socket below TLS, which asks for little at a time.
#[cfg(feature = "tls-core")]
#[derive(Debug)]
struct Ahead {
    socket: Socket,
    ahead: ReadAhead,
}

#[cfg(feature = "tls-core")]
impl AsyncRead for Ahead {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { socket, ahead } = &mut *self;
        let n = ready!(ahead.poll_read(buf.initialize_unfilled(), |buffer| {
            let mut read = ReadBuf::new(buffer);
            Pin::new(socket).poll_read(cx, &mut read).map_ok(|()| read.filled().len())
        }))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

#[cfg(feature = "tls-core")]
impl AsyncWrite for Ahead {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(feature = "tls-core")]
impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            #[cfg(unix)]
            Self::Unix(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

#[cfg(feature = "tls-core")]
impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, buf),
            #[cfg(unix)]
            Self::Unix(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets keep nothing.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            #[cfg(unix)]
            Self::Unix(io) => Pin::new(io).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            #[cfg(unix)]
            Self::Unix(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// A listening socket: a [`TcpListener`] or a [`UnixListener`].
#[derive(Debug)]
pub struct Listener(Listening);

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    pub(crate) fn local_addr(&self) -> io::Result<Address> {
        match &self.0 {
            Listening::Tcp(tcp) => tcp.local_addr().map(Address::from),
            #[cfg(unix)]
            Listening::Unix(unix) => unix.local_addr().map(unix_address),
        }
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(NetStream, Address)>> {
        match &self.0 {
            Listening::Tcp(tcp) => {
                let (stream, peer) = ready!(tcp.poll_accept(cx))?;
                Poll::Ready(Ok((stream.into(), peer.into())))
            }
            #[cfg(unix)]
            Listening::Unix(unix) => {
                let (stream, peer) = ready!(unix.poll_accept(cx))?;
                Poll::Ready(Ok((stream.into(), unix_address(peer))))
            }
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self(Listening::Tcp(listener))
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self(Listening::Unix(listener))
    }
}
