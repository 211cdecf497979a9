//! A listener, and the connections that come of it.

use std::future::poll_fn;
use std::io;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use ws_adapter as engine;
#[cfg(feature = "tls-core")]
use ws_adapter::tls::ServerTls;
use ws_adapter::ws_proto::Request;
use ws_adapter::{Address, Decision, Incoming, Report};

use crate::accept::Acceptor;
use crate::net::Listener;
use crate::park::{self, block_on};
use crate::runtime::{Blocking, with_stack};
use crate::wait::{CancelToken, Wait};
use crate::websocket::WebSocket;

/// Connections at a time, if the program does not say.
const MAX_CONNECTIONS: usize = 1_000;
/// How long after the end of a server's patience calls that wait are cut off, if that did not happen already.
const CUT_LATER: Duration = Duration::from_millis(50);

/// Listens on a TCP port or a Unix socket, and runs a thread for each connection, which does the handshake and then the
/// handler.
///
/// ```no_run
/// # fn example() -> std::io::Result<()> {
/// let server = ws_blocking::Server::bind("127.0.0.1:8080")?;
/// let handle = server.handle(); // for handle.shutdown(..), from anywhere
/// let report = server.serve(|mut ws, _| {
///     while let Ok(Some(message)) = ws.recv() {
///         if ws.send(message).is_err() {
///             break;
///         }
///     }
/// });
/// println!("{report:?}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    inner: engine::Server<Blocking>,
    wait: Wait,
    stack: Option<usize>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// When calls are cut off.
    end: Mutex<Option<Instant>>,
    cut: CancelToken,
}

impl Shared {
    fn end(&self) -> Option<Instant> {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Listens on a TCP address; port 0 is any free one.
    ///
    /// # Errors
    /// If the address can't be used.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let binding = engine::Server::bind(address);
        block_on(binding, &Wait::new()).unwrap_or_else(|interrupted| Err(interrupted.into())).map(Self::on)
    }

    /// Listens on a Unix socket, whose path must not exist yet. It is not removed when the server has ended.
    ///
    /// # Errors
    /// If the path can't be used.
    pub fn bind_unix(path: impl AsRef<Path>) -> io::Result<Self> {
        let binding = engine::Server::bind_unix(path);
        block_on(binding, &Wait::new()).unwrap_or_else(|interrupted| Err(interrupted.into())).map(Self::on)
    }

    /// A server on a listener that was made elsewhere: a `TcpListener` or a `UnixListener` of std.
    #[must_use]
    pub fn new(listener: impl Into<Listener>) -> Self {
        Self::on(engine::Server::new(listener.into()))
    }

    fn on(inner: engine::Server<Blocking>) -> Self {
        let inner = inner.max_connections(MAX_CONNECTIONS);
        Self { inner, wait: Wait::new(), stack: None, shared: Arc::default() }
    }

    fn map(mut self, f: impl FnOnce(engine::Server<Blocking>) -> engine::Server<Blocking>) -> Self {
        self.inner = f(self.inner);
        self
    }

    /// The settings of handshakes and connections. How long the acceptor's calls wait counts for the connections.
    #[must_use]
    pub fn acceptor(mut self, acceptor: Acceptor) -> Self {
        let (acceptor, wait) = acceptor.into_parts();
        self.wait = wait;
        self.map(|inner| inner.acceptor(acceptor))
    }

    /// Speaks TLS, and nothing else, on this listener. Default: no TLS. `Timers::handshake` is for both handshakes.
    #[cfg(feature = "tls-core")]
    #[must_use]
    pub fn tls(self, tls: ServerTls) -> Self {
        self.map(|inner| inner.tls(tls))
    }

    /// Decides what each request gets, on the thread of the connection; see [`Acceptor::accept_with`]. Default:
    /// [`Decision::default_for`].
    #[must_use]
    pub fn decide(self, decide: impl Fn(&Request, &Address) -> Decision + Send + Sync + 'static) -> Self {
        self.map(|inner| inner.decide(move |request, peer| std::future::ready(decide(request, peer))))
    }

    /// Connections at a time, handshakes included, and so threads. Default: 1,000. Further ones get 503 and are closed,
    /// their request unread; those that want TLS are just closed.
    ///
    /// At most 64 further threads say the 503, each for at most a second.
    #[must_use]
    pub fn max_connections(self, most: usize) -> Self {
        self.map(|inner| inner.max_connections(most))
    }

    /// Handshakes at a time. Default: 1,000. Further connections get 503 and are closed, their request unread.
    #[must_use]
    pub fn max_pending_handshakes(self, most: usize) -> Self {
        self.map(|inner| inner.max_pending_handshakes(most))
    }

    /// Bytes of stack of each thread. Default: as std has it, which is 2 MiB. The system gives a thread memory only for
    /// what it has used of them. The library itself gets by with 128 KiB, in a build with optimisations.
    #[must_use]
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack = Some(bytes);
        self
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// If the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.inner.local_addr()
    }

    /// A handle by which the server can be shut down.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { inner: self.inner.handle(), shared: self.shared.clone() }
    }

    /// Serves on this thread until [`ServerHandle::shutdown`]; then tells what it did.
    ///
    /// `handler` runs on a thread of its own for each connection. This thread never waits for one of them, except at
    /// the end. Where no thread can be made the connection is dropped. A handler that panics ends its own connection
    /// only, and the peer gets 1011. While a handler is in `recv`, the connection sees to its timers and to a shutdown.
    ///
    /// At the end of a shutdown, calls of connections that still wait are cut off: `recv` gives `None`, `send` says
    /// [`Error::Closed`](crate::Error::Closed). A handler that waits for something else can't be ended; its thread goes
    /// on, and this one waits no longer than another second for it.
    pub fn serve<H>(self, handler: H) -> Report
    where
        H: Fn(WebSocket, Incoming) + Send + Sync + 'static,
    {
        let Self { inner, wait, stack, shared } = self;
        let handler = Arc::new(handler);
        let cut = shared.cut.clone();
        let serving = inner.serve(move |ws, incoming| {
            let mut ws = WebSocket::from(ws);
            ws.set_wait(wait.clone());
            ws.set_cut(&cut);
            let handler = handler.clone();
            async move {
                handler(ws, incoming);
                // If it was cut off, that is noticed here, and so told in the report.
                yield_once().await;
            }
        });
        let mut serving = pin!(serving);
        let watching = poll_fn(|cx| {
            let served = serving.as_mut().poll(cx);
            if served.is_pending()
                && let Some(end) = shared.end()
                && park::poll_deadline(end).is_ready()
            {
                shared.cut.cancel();
            }
            served
        });
        let report = with_stack(stack, || block_on(watching, &Wait::new()));
        shared.cut.cancel();
        // Nothing interrupts it.
        report.unwrap_or_default()
    }
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Shuts a [`Server`] down. Clones do the same.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    inner: engine::ServerHandle,
    shared: Arc<Shared>,
}

impl ServerHandle {
    /// Stops accepting, closes all connections with 1001, and cuts off those that are still there after `patience`.
    /// [`Server::serve`] then returns.
    ///
    /// A handler notices when it next calls `recv`, which goes on until the closing handshake is done and then gives
    /// `None`. Handshakes that are going on are dropped. A second call does nothing.
    ///
    /// A connection on which something has just happened may notice a quarter of a second later; its thread waits in a
    /// call that only its socket and the clock end.
    pub fn shutdown(&self, patience: Duration) {
        let end = patience.checked_add(CUT_LATER).and_then(|patience| Instant::now().checked_add(patience));
        self.shared.end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| end.unwrap_or_else(never));
        self.inner.shutdown(patience);
    }

    /// Connections, handshakes included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.inner.connections()
    }
}

/// Later than anyone waits.
fn never() -> Instant {
    let now = Instant::now();
    now.checked_add(Duration::from_secs(100 * 365 * 24 * 3600)).unwrap_or(now)
}
