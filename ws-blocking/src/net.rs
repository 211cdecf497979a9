//! Sockets: connections, listeners, names.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Type};
use ws_adapter::Address;
#[cfg(feature = "tls-core")]
use ws_adapter::tls::TlsInfo;

use crate::park::{self, Interest};
use crate::socket::{Kind, Socket};
#[cfg(feature = "tls-core")]
use crate::tls_stream::TlsStream;
use crate::transport::Transport;

/// The transport of a connection made by [`connect`](crate::connect()) or taken by a [`Server`](crate::Server): a TCP
/// connection or a Unix socket, either of them with or without TLS.
///
/// Sockets are left in blocking mode.
#[derive(Debug)]
pub struct NetStream {
    layer: Layer,
}

#[derive(Debug)]
enum Layer {
    Plain(Arc<Socket>),
    #[cfg(feature = "tls-core")]
    Tls(Box<TlsStream>),
}

impl NetStream {
    fn plain(kind: Kind) -> Self {
        Self { layer: Layer::Plain(Arc::new(Socket::new(kind))) }
    }

    fn socket(&self) -> &Arc<Socket> {
        match &self.layer {
            Layer::Plain(socket) => socket,
            #[cfg(feature = "tls-core")]
            Layer::Tls(tls) => tls.socket(),
        }
    }

    /// The TCP connection below, if it is one. Leave its read timeout alone: it is what ends the waits of this crate.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        match &self.socket().kind {
            Kind::Tcp(tcp) => Some(tcp),
            Kind::Unix(_) => None,
        }
    }

    /// The Unix socket below, if it is one. Leave its read timeout alone, as that of a TCP connection.
    #[must_use]
    pub fn unix(&self) -> Option<&UnixStream> {
        match &self.socket().kind {
            Kind::Tcp(_) => None,
            Kind::Unix(unix) => Some(unix),
        }
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// If the operating system does not know it any more.
    pub fn peer_addr(&self) -> io::Result<Address> {
        match &self.socket().kind {
            Kind::Tcp(tcp) => tcp.peer_addr().map(Address::from),
            Kind::Unix(unix) => unix.peer_addr().map(Address::from),
        }
    }

    /// The address of this end.
    ///
    /// # Errors
    /// If the operating system does not know it any more.
    pub fn local_addr(&self) -> io::Result<Address> {
        match &self.socket().kind {
            Kind::Tcp(tcp) => tcp.local_addr().map(Address::from),
            Kind::Unix(unix) => unix.local_addr().map(Address::from),
        }
    }
}

#[cfg(feature = "tls-core")]
impl NetStream {
    /// The client's side of a TLS handshake.
    pub(crate) async fn connect_tls(
        self,
        name: rustls::pki_types::ServerName<'static>,
        config: Arc<rustls::ClientConfig>,
    ) -> io::Result<Self> {
        let Layer::Plain(socket) = self.layer else { return Err(twice()) };
        let tls = TlsStream::connect(socket, name, config).await?;
        Ok(Self { layer: Layer::Tls(Box::new(tls)) })
    }

    /// The server's side of a TLS handshake.
    pub(crate) async fn accept_tls(self, config: Arc<rustls::ServerConfig>) -> io::Result<Self> {
        let Layer::Plain(socket) = self.layer else { return Err(twice()) };
        let tls = TlsStream::accept(socket, config).await?;
        Ok(Self { layer: Layer::Tls(Box::new(tls)) })
    }

    /// What was agreed on in the TLS handshake, and who the peer is; `None` without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<TlsInfo> {
        match &self.layer {
            Layer::Plain(_) => None,
            Layer::Tls(tls) => match tls.tls() {
                rustls::Connection::Client(tls) => TlsInfo::of_client(tls),
                rustls::Connection::Server(tls) => TlsInfo::of_server(tls),
            },
        }
    }
}

#[cfg(feature = "tls-core")]
fn twice() -> io::Error {
    io::Error::new(ErrorKind::Unsupported, "TLS over TLS")
}

/// Puts the socket into blocking mode.
impl From<TcpStream> for NetStream {
    fn from(tcp: TcpStream) -> Self {
        // If it stays as it was, waiting takes more calls; that is all.
        let _ = tcp.set_nonblocking(false);
        Self::plain(Kind::Tcp(tcp))
    }
}

/// Puts the socket into blocking mode.
impl From<UnixStream> for NetStream {
    fn from(unix: UnixStream) -> Self {
        let _ = unix.set_nonblocking(false);
        Self::plain(Kind::Unix(unix))
    }
}

impl Transport for NetStream {
    #[inline]
    #[cfg_attr(not(feature = "tls-core"), allow(unused_variables, reason = "only TLS wakes by itself"))]
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.layer {
            Layer::Plain(socket) => socket.poll_read(buffer),
            #[cfg(feature = "tls-core")]
            Layer::Tls(tls) => tls.poll_read(cx, buffer),
        }
    }

    #[inline]
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.layer {
            Layer::Plain(socket) => socket.poll_write(bytes),
            #[cfg(feature = "tls-core")]
            Layer::Tls(tls) => tls.poll_write(bytes),
        }
    }

    #[inline]
    fn poll_write_vectored(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.layer {
            Layer::Plain(socket) => socket.poll_write_vectored(slices),
            #[cfg(feature = "tls-core")]
            Layer::Tls(tls) => tls.poll_write_vectored(slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.layer {
            Layer::Plain(_) => Poll::Ready(Ok(())),
            #[cfg(feature = "tls-core")]
            Layer::Tls(tls) => tls.poll_flush(),
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.layer {
            Layer::Plain(socket) => Poll::Ready(socket.shutdown_write()),
            #[cfg(feature = "tls-core")]
            Layer::Tls(tls) => tls.poll_shutdown(),
        }
    }
}

/// How often a Unix socket whose queue is full is tried again.
const FULL_QUEUE: Duration = Duration::from_millis(10);

pub(crate) async fn dial(address: SocketAddr) -> io::Result<NetStream> {
    let tcp = open(Domain::for_address(address), Some(Protocol::TCP), &address.into()).await?;
    Ok(TcpStream::from(tcp).into())
}

pub(crate) async fn dial_unix(path: &Path) -> io::Result<NetStream> {
    let unix = open(Domain::UNIX, None, &SockAddr::unix(path)?).await?;
    Ok(UnixStream::from(unix).into())
}

async fn open(domain: Domain, protocol: Option<Protocol>, address: &SockAddr) -> io::Result<OwnedFd> {
    let socket = socket2::Socket::new(domain, Type::STREAM, protocol)?;
    socket.set_nonblocking(true)?;
    // The thread may still hold on to the one that it waits for, when this future is dropped.
    let source = Arc::new(OwnedFd::from(socket.try_clone()?));
    let mut retry = None;
    let mut dialled = false;
    poll_fn(|_| {
        if let Some(at) = retry {
            std::task::ready!(park::poll_deadline(at));
            retry = None;
        }
        if !dialled {
            match socket.connect(address) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::INPROGRESS | Errno::INTR) => dialled = true,
                    Some(Errno::AGAIN) if domain == Domain::UNIX => {
                        let at = Instant::now() + FULL_QUEUE;
                        retry = Some(at);
                        return park::poll_deadline(at).map(Ok);
                    }
                    _ => return Poll::Ready(Err(error)),
                },
            }
        } else if let Some(error) = socket.take_error()? {
            return Poll::Ready(Err(error));
        } else if socket.peer_addr().is_ok() {
            return Poll::Ready(Ok(()));
        }
        park::note(source.clone(), Interest::Write);
        Poll::Pending
    })
    .await?;
    Ok(socket.into())
}

/// What a lookup has found, and who waits for it.
#[derive(Default)]
struct Lookup {
    found: Option<io::Result<Vec<SocketAddr>>>,
    waker: Option<Waker>,
}

/// Looks a name up on a thread of its own, because the system can't be told to stop. A thread that nobody waits for any
/// more ends when the system has given up.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let lookup = Arc::new(Mutex::new(Lookup::default()));
    let theirs = lookup.clone();
    let host = host.to_owned();
    thread::Builder::new().name("ws-resolver".into()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        let mut lookup = theirs.lock().unwrap_or_else(PoisonError::into_inner);
        lookup.found = Some(found);
        if let Some(waker) = lookup.waker.take() {
            waker.wake();
        }
    })?;
    poll_fn(|cx| {
        let mut lookup = lookup.lock().unwrap_or_else(PoisonError::into_inner);
        match lookup.found.take() {
            Some(found) => Poll::Ready(found),
            None => {
                lookup.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
}

/// A listening socket: a [`TcpListener`] or a [`UnixListener`]. It is made non-blocking.
#[derive(Debug)]
pub struct Listener(Listening);

#[derive(Debug)]
enum Listening {
    Tcp(Arc<TcpListener>),
    Unix(Arc<UnixListener>),
}

impl Listener {
    pub(crate) fn local_addr(&self) -> io::Result<Address> {
        match &self.0 {
            Listening::Tcp(listener) => listener.local_addr().map(Address::from),
            Listening::Unix(listener) => listener.local_addr().map(Address::from),
        }
    }

    pub(crate) fn poll_accept(&self) -> Poll<io::Result<(NetStream, Address)>> {
        let accepted = match &self.0 {
            Listening::Tcp(listener) => listener.accept().map(|(tcp, peer)| (NetStream::from(tcp), peer.into())),
            Listening::Unix(listener) => listener.accept().map(|(unix, peer)| (NetStream::from(unix), peer.into())),
        };
        if !matches!(&accepted, Err(error) if error.kind() == ErrorKind::WouldBlock) {
            return Poll::Ready(accepted);
        }
        match &self.0 {
            Listening::Tcp(listener) => park::note(listener.clone(), Interest::Read),
            Listening::Unix(listener) => park::note(listener.clone(), Interest::Read),
        }
        Poll::Pending
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        // A listener that blocks would only keep the server from noticing its shutdown.
        let _ = listener.set_nonblocking(true);
        Self(Listening::Tcp(Arc::new(listener)))
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        let _ = listener.set_nonblocking(true);
        Self(Listening::Unix(Arc::new(listener)))
    }
}
