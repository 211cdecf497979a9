//! tokio, as the adapters' common part sees it.

use std::any::Any;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, Sleep};
use ws_adapter::{Address, Network, ReadFrom, Runtime, Transfer};

use crate::net::{Listener, NetStream};

/// Stands for tokio as the runtime of a connection. It holds nothing; programs never need to name it.
#[derive(Clone, Copy, Debug)]
pub enum Tokio {}

impl Runtime for Tokio {
    type Origin = Instant;
    type Sleep = Pin<Box<Sleep>>;

    fn origin() -> Instant {
        Instant::now()
    }

    #[inline]
    fn elapsed(origin: Instant) -> Duration {
        origin.elapsed()
    }

    fn set_timer(slot: &mut Option<Self::Sleep>, origin: Instant, at: Duration) -> bool {
        let Some(when) = origin.checked_add(at) else { return false };
        match slot {
            Some(sleep) => sleep.as_mut().reset(when),
            None => *slot = Some(Box::pin(tokio::time::sleep_until(when))),
        }
        true
    }

    fn poll_timer(sleep: &mut Self::Sleep, cx: &mut Context<'_>) -> Poll<()> {
        sleep.as_mut().poll(cx)
    }

    fn set_nodelay(transport: &dyn Any) {
        let tcp = transport.downcast_ref::<TcpStream>();
        if let Some(tcp) = tcp.or_else(|| transport.downcast_ref::<NetStream>()?.tcp()) {
            // It only makes things slower if it fails.
            let _ = tcp.set_nodelay(true);
        }
    }
}

impl<T: AsyncRead + Unpin> ReadFrom<T> for Tokio {
    #[inline]
    fn poll_read(io: &mut T, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buffer);
        ready!(Pin::new(io).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(read.filled().len()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Transfer<T> for Tokio {
    #[inline]
    fn poll_write(io: &mut T, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(io).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(io: &mut T, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(io: &T) -> bool {
        io.is_write_vectored()
    }

    fn poll_flush(io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(io).poll_flush(cx)
    }

    fn poll_shutdown(io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(io).poll_shutdown(cx)
    }
}

impl Network for Tokio {
    type Stream = NetStream;
    type Listener = Listener;
    #[cfg(feature = "tls-core")]
    const TLS: bool = true;

    async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host((host, port)).await?.collect())
    }

    async fn dial(address: SocketAddr) -> io::Result<NetStream> {
        TcpStream::connect(address).await.map(NetStream::from)
    }

    #[cfg(unix)]
    async fn dial_unix(path: &Path) -> io::Result<NetStream> {
        tokio::net::UnixStream::connect(path).await.map(NetStream::from)
    }

    fn listen(listener: std::net::TcpListener) -> io::Result<Listener> {
        tokio::net::TcpListener::from_std(listener).map(Listener::from)
    }

    #[cfg(unix)]
    fn listen_unix(listener: std::os::unix::net::UnixListener) -> io::Result<Listener> {
        tokio::net::UnixListener::from_std(listener).map(Listener::from)
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
        name: ws_adapter::tls::rustls::pki_types::ServerName<'static>,
        config: std::sync::Arc<ws_adapter::tls::rustls::ClientConfig>,
    ) -> io::Result<NetStream> {
        stream.connect_tls(name, config).await
    }

    #[cfg(feature = "tls-core")]
    async fn accept_tls(
        stream: NetStream,
        config: std::sync::Arc<ws_adapter::tls::rustls::ServerConfig>,
    ) -> io::Result<NetStream> {
        stream.accept_tls(config).await
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        tokio::spawn(task);
        Ok(())
    }
}
