//! Sockets, names, and tasks of async-std or smol.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
#[cfg(unix)]
use std::path::Path;
#[cfg(feature = "tls-core")]
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_io::Async;
#[cfg(feature = "tls-core")]
use futures_rustls::{TlsAcceptor, TlsConnector};
#[cfg(feature = "tls-core")]
use ws_adapter::tls::rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use ws_adapter::{Address, Network};

use crate::net::NetStream;
use crate::runtime::FuturesIo;
use crate::socket::anew;

impl Network for FuturesIo {
    type Stream = NetStream;
    type Listener = Listener;
    #[cfg(feature = "tls-core")]
    const TLS: bool = true;

    async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let host = host.to_owned();
        blocking::unblock(move || Ok((host.as_str(), port).to_socket_addrs()?.collect())).await
    }

    async fn dial(address: SocketAddr) -> io::Result<NetStream> {
        Async::<TcpStream>::connect(address).await.map(NetStream::from)
    }

    #[cfg(unix)]
    async fn dial_unix(path: &Path) -> io::Result<NetStream> {
        Async::<UnixStream>::connect(path).await.map(NetStream::from)
    }

    fn listen(listener: TcpListener) -> io::Result<Listener> {
        Async::new_nonblocking(listener).map(Listener::from)
    }

    #[cfg(unix)]
    fn listen_unix(listener: UnixListener) -> io::Result<Listener> {
        Async::new_nonblocking(listener).map(Listener::from)
    }

    fn local_addr(listener: &Listener) -> io::Result<Address> {
        listener.local_addr()
    }

    fn poll_accept(listener: &mut Listener, cx: &mut Context<'_>) -> Poll<io::Result<(NetStream, Address)>> {
        listener.poll_accept(cx)
    }

    #[cfg(feature = "tls-core")]
    async fn connect_tls(
        stream: NetStream,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
    ) -> io::Result<NetStream> {
        TlsConnector::from(config).connect(name, stream.below_tls()?).await.map(NetStream::with_tls)
    }

    #[cfg(feature = "tls-core")]
    async fn accept_tls(stream: NetStream, config: Arc<ServerConfig>) -> io::Result<NetStream> {
        TlsAcceptor::from(config).accept(stream.below_tls()?).await.map(NetStream::with_tls)
    }

    #[cfg(feature = "async-std")]
    fn spawn(task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        async_std::task::Builder::new().spawn(task).map(drop)
    }

    #[cfg(not(feature = "async-std"))]
    fn spawn(task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        smol::spawn(task).detach();
        Ok(())
    }
}

/// A listening socket: TCP or Unix. It can be made from an [`Async`].
#[derive(Debug)]
pub struct Listener(Listening);

#[derive(Debug)]
enum Listening {
    Tcp(Async<TcpListener>),
    #[cfg(unix)]
    Unix(Async<UnixListener>),
}

impl Listener {
    fn local_addr(&self) -> io::Result<Address> {
        match &self.0 {
            Listening::Tcp(tcp) => tcp.get_ref().local_addr().map(Address::from),
            #[cfg(unix)]
            Listening::Unix(unix) => unix.get_ref().local_addr().map(Address::from),
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(NetStream, Address)>> {
        match &self.0 {
            Listening::Tcp(tcp) => poll_accept(tcp, cx, |tcp| {
                let (stream, peer) = tcp.accept()?;
                Ok((Async::new(stream)?.into(), peer.into()))
            }),
            #[cfg(unix)]
            Listening::Unix(unix) => poll_accept(unix, cx, |unix| {
                let (stream, peer) = unix.accept()?;
                Ok((Async::new(stream)?.into(), peer.into()))
            }),
        }
    }
}

fn poll_accept<L, T>(
    listener: &Async<L>,
    cx: &mut Context<'_>,
    accept: impl Fn(&L) -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        match accept(listener.get_ref()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
        ready!(anew(|| listener.poll_readable(cx)))?;
    }
}

impl From<Async<TcpListener>> for Listener {
    fn from(listener: Async<TcpListener>) -> Self {
        Self(Listening::Tcp(listener))
    }
}

#[cfg(unix)]
impl From<Async<UnixListener>> for Listener {
    fn from(listener: Async<UnixListener>) -> Self {
        Self(Listening::Unix(listener))
    }
}
