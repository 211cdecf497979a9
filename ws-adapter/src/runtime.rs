//! What an adapter brings: time, bytes, sockets.

use std::any::Any;
use std::fmt::Debug;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::address::Address;

/// How time passes. An adapter implements it for a type that stands for its runtime and holds nothing.
pub trait Runtime: Copy + Debug + Send + Sync + Unpin + 'static {
    /// A point in time; a connection counts from the one in which it began.
    type Origin: Copy + Debug + Send + Sync + Unpin;
    /// A timer.
    type Sleep: Debug + Send + Unpin;

    /// Now.
    fn origin() -> Self::Origin;

    /// What has passed since `origin`.
    fn elapsed(origin: Self::Origin) -> Duration;

    /// Sets the timer in `slot` to ring when `at` has passed since `origin`, be it a new one or the one that is there.
    ///
    /// False if that is further away than the clock can tell; the timer then need not ring.
    fn set_timer(slot: &mut Option<Self::Sleep>, origin: Self::Origin, at: Duration) -> bool;

    /// Whether the timer has rung; if not, `cx` is woken when it does.
    fn poll_timer(sleep: &mut Self::Sleep, cx: &mut Context<'_>) -> Poll<()>;

    /// Turns off Nagle's algorithm, if the transport turns out to be one that has it.
    fn set_nodelay(transport: &dyn Any) {
        let _ = transport;
    }
}

/// Reads from sources of type `T`.
pub trait ReadFrom<T>: Runtime {
    /// Reads into `buffer` and says how much; 0 is the end.
    ///
    /// # Errors
    /// What the source reports.
    fn poll_read(io: &mut T, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
}

/// Reads from and writes to transports of type `T`.
///
/// A transport that belongs to a connection may be read by one task and written by another; it is asked to wake the
/// same waker for both.
pub trait Transfer<T>: ReadFrom<T> {
    /// Writes some of `bytes` and says how much.
    ///
    /// # Errors
    /// What the transport reports.
    fn poll_write(io: &mut T, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Writes some of what the slices hold, the first one first.
    ///
    /// # Errors
    /// What the transport reports.
    fn poll_write_vectored(io: &mut T, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Whether [`poll_write_vectored`](Self::poll_write_vectored) takes more than one slice.
    fn is_write_vectored(io: &T) -> bool;

    /// Passes on what the transport keeps.
    ///
    /// # Errors
    /// What the transport reports.
    fn poll_flush(io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the writing side; reading goes on.
    ///
    /// # Errors
    /// What the transport reports.
    fn poll_shutdown(io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Sockets, names, and tasks.
pub trait Network: Transfer<Self::Stream> {
    /// A connection: TCP or Unix socket, with TLS or without.
    type Stream: Debug + Send + Unpin + 'static;
    /// A listening socket.
    type Listener: Debug + Send;
    /// Whether the adapter has the two handshakes of TLS. Default: false. This crate may be built with TLS for the sake
    /// of another adapter.
    #[cfg(feature = "tls")]
    const TLS: bool = false;

    /// The addresses of a host.
    ///
    /// # Errors
    /// If the name can't be looked up.
    fn resolve(host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Opens a TCP connection.
    ///
    /// # Errors
    /// If there is no answer.
    fn dial(address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// If there is no answer.
    #[cfg(unix)]
    fn dial_unix(path: &std::path::Path) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Takes over a socket that listens, and does not block.
    ///
    /// # Errors
    /// If the runtime can't watch it.
    fn listen(listener: std::net::TcpListener) -> io::Result<Self::Listener>;

    /// Takes over a Unix socket that listens, and does not block.
    ///
    /// # Errors
    /// If the runtime can't watch it.
    #[cfg(unix)]
    fn listen_unix(listener: std::os::unix::net::UnixListener) -> io::Result<Self::Listener>;

    /// Where a listener listens.
    ///
    /// # Errors
    /// If the operating system does not tell.
    fn local_addr(listener: &Self::Listener) -> io::Result<Address>;

    /// The next connection.
    ///
    /// # Errors
    /// What the operating system reports. It may be asked again.
    fn poll_accept(listener: &mut Self::Listener, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, Address)>>;

    /// The client's side of a TLS handshake.
    ///
    /// # Errors
    /// If it fails; of the kind `Unsupported` if the adapter was built without TLS.
    #[cfg(feature = "tls")]
    fn connect_tls(
        stream: Self::Stream,
        name: rustls::pki_types::ServerName<'static>,
        config: Arc<rustls::ClientConfig>,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send {
        let _ = (stream, name, config);
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// The server's side of a TLS handshake.
    ///
    /// # Errors
    /// If it fails; of the kind `Unsupported` if the adapter was built without TLS.
    #[cfg(feature = "tls")]
    fn accept_tls(
        stream: Self::Stream,
        config: Arc<rustls::ServerConfig>,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send {
        let _ = (stream, config);
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Runs a connection in a task or a thread of its own.
    ///
    /// # Errors
    /// If there can be no more of them.
    fn spawn(task: impl Future<Output = ()> + Send + 'static) -> io::Result<()>;
}
