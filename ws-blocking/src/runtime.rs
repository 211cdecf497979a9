//! Threads, as the adapters' common part sees them.

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
#[cfg(feature = "tls-core")]
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use ws_adapter::{Address, Network, ReadFrom, Runtime, Transfer};

use crate::net::{self, Listener, NetStream};
use crate::park::{self, block_on};
use crate::transport::Transport;
use crate::wait::Wait;

thread_local! {
    static STACK: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Stands for threads as the runtime of a connection. It holds nothing; programs never need to name it.
#[derive(Clone, Copy, Debug)]
pub enum Blocking {}

impl Runtime for Blocking {
    type Origin = Instant;
    type Sleep = Instant;

    #[inline]
    fn origin() -> Instant {
        Instant::now()
    }

    #[inline]
    fn elapsed(origin: Instant) -> Duration {
        park::now().saturating_duration_since(origin)
    }

    fn set_timer(slot: &mut Option<Instant>, origin: Instant, at: Duration) -> bool {
        let Some(when) = origin.checked_add(at) else { return false };
        *slot = Some(when);
        true
    }

    fn poll_timer(sleep: &mut Instant, _: &mut Context<'_>) -> Poll<()> {
        park::poll_deadline(*sleep)
    }

    fn set_nodelay(transport: &dyn Any) {
        let tcp = transport.downcast_ref::<TcpStream>();
        if let Some(tcp) = tcp.or_else(|| transport.downcast_ref::<NetStream>()?.tcp()) {
            // It only makes things slower if it fails.
            let _ = tcp.set_nodelay(true);
        }
    }
}

impl<T: Transport> ReadFrom<T> for Blocking {
    #[inline]
    fn poll_read(io: &mut T, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        io.poll_read(cx, buffer)
    }
}

impl<T: Transport> Transfer<T> for Blocking {
    #[inline]
    fn poll_write(io: &mut T, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        io.poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(io: &mut T, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        io.poll_write_vectored(cx, slices)
    }

    #[inline]
    fn is_write_vectored(io: &T) -> bool {
        io.is_write_vectored()
    }

    #[inline]
    fn poll_flush(io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        io.poll_flush(cx)
    }

    fn poll_shutdown(io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        io.poll_shutdown(cx)
    }
}

/// A source that is read as it is, and may block in that.
pub(crate) struct Plain<S> {
    source: S,
    /// The thread has looked at its deadline and its tokens since the last read.
    looked: bool,
}

impl<S> Plain<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, looked: true }
    }
}

impl<S: Read> ReadFrom<Plain<S>> for Blocking {
    fn poll_read(io: &mut Plain<S>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if !mem::replace(&mut io.looked, false) {
            // Neither a source that always has something nor one that takes its time may outlast them.
            io.looked = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            match io.source.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl Network for Blocking {
    type Stream = NetStream;
    type Listener = Listener;
    #[cfg(feature = "tls-core")]
    const TLS: bool = true;

    async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        net::resolve(host, port).await
    }

    async fn dial(address: SocketAddr) -> io::Result<NetStream> {
        net::dial(address).await
    }

    async fn dial_unix(path: &Path) -> io::Result<NetStream> {
        net::dial_unix(path).await
    }

    fn listen(listener: std::net::TcpListener) -> io::Result<Listener> {
        Ok(listener.into())
    }

    fn listen_unix(listener: std::os::unix::net::UnixListener) -> io::Result<Listener> {
        Ok(listener.into())
    }

    fn local_addr(listener: &Listener) -> io::Result<Address> {
        listener.local_addr()
    }

    fn poll_accept(listener: &mut Listener, _: &mut Context<'_>) -> Poll<io::Result<(NetStream, Address)>> {
        listener.poll_accept()
    }

    #[cfg(feature = "tls-core")]
    async fn connect_tls(
        stream: NetStream,
        name: rustls::pki_types::ServerName<'static>,
        config: Arc<rustls::ClientConfig>,
    ) -> io::Result<NetStream> {
        stream.connect_tls(name, config).await
    }

    #[cfg(feature = "tls-core")]
    async fn accept_tls(stream: NetStream, config: Arc<rustls::ServerConfig>) -> io::Result<NetStream> {
        stream.accept_tls(config).await
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let mut builder = thread::Builder::new().name("ws-connection".into());
        if let Some(bytes) = STACK.get() {
            builder = builder.stack_size(bytes);
        }
        builder.spawn(move || {
            // Nothing interrupts it.
            let _ = block_on(task, &Wait::new());
        })?;
        Ok(())
    }
}

/// Runs `f`; threads that it starts get stacks of this size.
pub(crate) fn with_stack<R>(bytes: Option<usize>, f: impl FnOnce() -> R) -> R {
    /// Also if `f` panics.
    struct Restore(Option<usize>);
    impl Drop for Restore {
        fn drop(&mut self) {
            STACK.set(self.0);
        }
    }
    let _restore = Restore(STACK.replace(bytes));
    f()
}
