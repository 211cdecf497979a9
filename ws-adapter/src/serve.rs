//! A listener, and the connections that come of it.

mod hub;
mod listen;

use std::fmt;
use std::future::{self, Future, poll_fn};
use std::io;
use std::net::ToSocketAddrs;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ws_proto::Request;

use crate::accept::{AcceptError, Acceptor, Decision};
use crate::address::Address;
use crate::clock::{Pause, within};
use crate::runtime::Network;
#[cfg(feature = "tls")]
use crate::tls::ServerTls;
use crate::trace;
use crate::websocket::WebSocket;
use hub::{Hub, Place};
use listen::Backoff;

/// Tasks that tell clients that there is no room for them; further ones are dropped without a word.
const MAX_REFUSALS: usize = 64;
/// How long such a task lasts, and how much it reads.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
const REFUSAL_BYTES: usize = 64 * 1024;
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
/// How long to wait for tasks that were aborted; only one that blocks its thread takes longer.
const ABORT_TIME: Duration = Duration::from_secs(1);

type Decide = dyn Fn(&Request, &Address) -> Pin<Box<dyn Future<Output = Decision> + Send>> + Send + Sync;

/// Listens on a TCP port or a Unix socket, does the handshakes, and runs a task for each connection.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let server = ws_tokio::Server::bind("127.0.0.1:8080").await?;
/// let handle = server.handle(); // for handle.shutdown(..), from anywhere
/// let report = server
///     .serve(|mut ws, _| async move {
///         while let Some(message) = ws.recv().await {
///             if ws.send(message).await.is_err() {
///                 break;
///             }
///         }
///     })
///     .await;
/// println!("{report:?}");
/// # Ok(())
/// # }
/// ```
pub struct Server<R: Network> {
    listener: R::Listener,
    acceptor: Acceptor<R>,
    #[cfg(feature = "tls")]
    tls: Option<ServerTls>,
    decide: Arc<Decide>,
    max_connections: usize,
    max_pending_handshakes: usize,
    hub: Arc<Hub>,
}

/// What a connection came with.
#[derive(Debug)]
#[non_exhaustive]
pub struct Incoming {
    /// The request that asked for the WebSocket. It takes memory: drop it when it is no longer of use.
    pub request: Request,
    /// The address of the peer.
    pub peer: Address,
}

/// What a server did, told when it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// WebSockets that were opened.
    pub served: u64,
    /// Of these, those that were open when the shutdown began and whose task ended by itself.
    pub graceful: u64,
    /// Of these, those that were cut off at the deadline.
    pub aborted: u64,
    /// Of these, those whose task panicked.
    pub panicked: u64,
    /// Requests that were answered otherwise than with a WebSocket, handshakes that failed.
    pub refused: u64,
    /// Connections for which there was no room.
    pub rejected: u64,
    /// Errors of the listener. It goes on after each, after a pause if the system is short of something.
    pub accept_errors: u64,
}

impl<R: Network> Server<R> {
    /// Listens on a TCP address; port 0 is any free one. A name is looked up before this returns.
    ///
    /// # Errors
    /// If the address can't be used.
    ///
    /// # Cancel safety
    /// Dropping the future drops the listener; nothing stays behind.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        R::listen(listen::tcp(address)?).map(Self::on)
    }

    /// Listens on a Unix socket, whose path must not exist yet. It is not removed when the server has ended.
    ///
    /// # Errors
    /// If the path can't be used.
    ///
    /// # Cancel safety
    /// Dropping the future drops the listener; the socket file stays behind.
    #[cfg(unix)]
    pub async fn bind_unix(path: impl AsRef<std::path::Path>) -> io::Result<Self> {
        let listener = std::os::unix::net::UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        R::listen_unix(listener).map(Self::on)
    }

    /// A server on a listener that was made elsewhere.
    #[must_use]
    pub fn new(listener: impl Into<R::Listener>) -> Self {
        Self::on(listener.into())
    }

    fn on(listener: R::Listener) -> Self {
        Self {
            listener,
            acceptor: Acceptor::default(),
            #[cfg(feature = "tls")]
            tls: None,
            decide: Arc::new(|request, _| Box::pin(future::ready(Decision::default_for(request)))),
            max_connections: 10_000,
            max_pending_handshakes: 1_000,
            hub: Arc::default(),
        }
    }

    /// The settings of handshakes and connections.
    #[must_use]
    pub fn acceptor(mut self, acceptor: Acceptor<R>) -> Self {
        self.acceptor = acceptor;
        self
    }

    /// Speaks TLS, and nothing else, on this listener. Default: no TLS. `Timers::handshake` is for both handshakes.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Decides what each request gets; see [`Acceptor::accept_with`]. Default: [`Decision::default_for`].
    ///
    /// The future can't borrow the request: take out what it needs before it begins.
    #[must_use]
    pub fn decide<D, F>(mut self, decide: D) -> Self
    where
        D: Fn(&Request, &Address) -> F + Send + Sync + 'static,
        F: Future<Output = Decision> + Send + 'static,
    {
        self.decide = Arc::new(move |request, peer| Box::pin(decide(request, peer)));
        self
    }

    /// Connections at a time, handshakes included. Default: 10,000. Further ones get 503 and are closed, their
    /// request unread; those that want TLS are just closed.
    #[must_use]
    pub fn max_connections(mut self, most: usize) -> Self {
        self.max_connections = most;
        self
    }

    /// Handshakes at a time. Default: 1,000. Further connections get 503 and are closed, their request unread.
    #[must_use]
    pub fn max_pending_handshakes(mut self, most: usize) -> Self {
        self.max_pending_handshakes = most;
        self
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// If the operating system does not tell.
    pub fn local_addr(&self) -> io::Result<Address> {
        R::local_addr(&self.listener)
    }

    /// A handle by which the server can be shut down.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { hub: self.hub.clone() }
    }

    /// Serves until [`ServerHandle::shutdown`]; then tells what it did.
    ///
    /// `handler` makes the future that runs a connection, in a task of its own. A handler that panics ends its own
    /// connection only, and the peer gets 1011. While a handler awaits `recv`, the connection sees to its timers and
    /// to a shutdown.
    ///
    /// # Cancel safety
    /// Dropping the future closes the listener and aborts all connections.
    pub async fn serve<H, F>(self, handler: H) -> Report
    where
        H: Fn(WebSocket<R::Stream, R>, Incoming) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let hub = self.hub.clone();
        let _abort = AbortOnDrop(&hub);
        let patience = self.accept_all(Arc::new(handler)).await;
        trace::shutting_down(hub.count().0);
        hub.go_away();
        within::<R, _>(Some(patience), hub.all_gone()).await;
        hub.abort_all();
        within::<R, _>(Some(ABORT_TIME), hub.all_gone()).await;
        let report = hub.report();
        trace::ended(&report);
        report
    }

    /// Accepts until the shutdown; gives how long connections may take to end.
    async fn accept_all<H, F>(self, handler: Arc<H>) -> Duration
    where
        H: Fn(WebSocket<R::Stream, R>, Incoming) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut accepting =
            Accepting::<R> { listener: self.listener, hub: &self.hub, backoff: Backoff::default(), pause: None };
        let hands = Hands {
            acceptor: self.acceptor,
            #[cfg(feature = "tls")]
            tls: self.tls,
            decide: self.decide,
        };
        while let Some((stream, peer)) = accepting.next().await {
            let (connections, pending) = self.hub.count();
            if connections >= self.max_connections || pending >= self.max_pending_handshakes {
                trace::no_room(&peer);
                hands.refuse(&self.hub, stream);
                continue;
            }
            let shaking = Box::pin(hands.clone().shake(stream, peer));
            if let Err(error) = self.hub.spawn::<R, _>(|place| run(place, shaking, handler.clone())) {
                trace::accept_failed(&error);
            }
        }
        self.hub.patience()
    }
}

/// The task of a connection. The handshake is in a box, so that it does not take room for as long as the task lives.
async fn run<R, S, H, F>(mut place: Place, hands: Pin<Box<S>>, handler: Arc<H>)
where
    R: Network,
    S: Future<Output = Result<(WebSocket<R::Stream, R>, Incoming), AcceptError>>,
    H: Fn(WebSocket<R::Stream, R>, Incoming) -> F,
    F: Future<Output = ()>,
{
    let running = match hands.await {
        Ok((mut ws, incoming)) => {
            ws.set_control(place.opened());
            handler(ws, incoming)
        }
        Err(_) => return,
    };
    drop(handler);
    running.await;
    drop(place);
}

/// What it takes to do a handshake.
struct Hands<R> {
    acceptor: Acceptor<R>,
    #[cfg(feature = "tls")]
    tls: Option<ServerTls>,
    decide: Arc<Decide>,
}

impl<R: Network> Clone for Hands<R> {
    fn clone(&self) -> Self {
        Self {
            acceptor: self.acceptor.clone(),
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
            decide: self.decide.clone(),
        }
    }
}

impl<R: Network> Hands<R> {
    async fn shake(self, stream: R::Stream, peer: Address) -> Result<(WebSocket<R::Stream, R>, Incoming), AcceptError> {
        let Self { acceptor, decide, .. } = &self;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let (ws, request) = acceptor.accept_tls_with(stream, tls, |request| decide(request, &peer)).await?;
            return Ok((ws, Incoming { request, peer }));
        }
        let (ws, request) = acceptor.accept_with(stream, |request| decide(request, &peer)).await?;
        Ok((ws, Incoming { request, peer }))
    }

    /// Says that there is no room, without looking at what the client wants.
    fn refuse(&self, hub: &Arc<Hub>, mut stream: R::Stream) {
        let Some(refusal) = hub.reject(MAX_REFUSALS) else { return };
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            // To say it in TLS would be most of the work that there is no room for.
            return;
        }
        let task = async move {
            let _refusal = refusal;
            within::<R, _>(Some(REFUSAL_TIME), say_no::<R>(&mut stream)).await;
        };
        // Where there is no room even for that, the connection is dropped.
        let _ = R::spawn(task);
    }
}

async fn say_no<R: Network>(stream: &mut R::Stream) -> io::Result<()> {
    let mut answer = NO_ROOM;
    while !answer.is_empty() {
        let n = poll_fn(|cx| R::poll_write(stream, cx, answer)).await?;
        answer = answer.get(n..).filter(|_| n > 0).ok_or(io::ErrorKind::WriteZero)?;
    }
    poll_fn(|cx| R::poll_flush(stream, cx)).await?;
    poll_fn(|cx| R::poll_shutdown(stream, cx)).await?;
    // What is left unread when the socket is closed could take the answer with it.
    let mut scratch = [0; 512];
    let mut rest = REFUSAL_BYTES;
    while rest > 0 {
        match poll_fn(|cx| R::poll_read(stream, cx, &mut scratch)).await? {
            0 => break,
            n => rest = rest.saturating_sub(n),
        }
    }
    Ok(())
}

struct AbortOnDrop<'h>(&'h Hub);

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abort_all();
    }
}

/// The accept loop, one connection at a time.
struct Accepting<'h, R: Network> {
    listener: R::Listener,
    hub: &'h Hub,
    backoff: Backoff,
    pause: Option<Pause<R>>,
}

impl<R: Network> Accepting<'_, R> {
    /// The next connection; `None` once the server is shutting down.
    async fn next(&mut self) -> Option<(R::Stream, Address)> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(R::Stream, Address)>> {
        loop {
            if self.hub.poll_shutdown(cx) {
                return Poll::Ready(None);
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.poll(cx));
                self.pause = None;
            }
            match ready!(R::poll_accept(&mut self.listener, cx)) {
                Ok(accepted) => {
                    self.backoff.succeeded();
                    return Poll::Ready(Some(accepted));
                }
                Err(error) => {
                    trace::accept_failed(&error);
                    self.hub.accept_failed();
                    self.pause = self.backoff.failed(&error).map(Pause::new);
                }
            }
        }
    }
}

impl<R: Network> fmt::Debug for Server<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("max_connections", &self.max_connections)
            .field("max_pending_handshakes", &self.max_pending_handshakes)
            .finish_non_exhaustive()
    }
}

/// Shuts a [`Server`] down. Clones do the same.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    hub: Arc<Hub>,
}

impl ServerHandle {
    /// Stops accepting, closes all connections with 1001, and cuts off those that are still there after `patience`.
    /// [`Server::serve`] then returns.
    ///
    /// A handler notices when it next awaits `recv`, which goes on until the closing handshake is done and then gives
    /// `None`. Handshakes that are going on are dropped. A second call does nothing.
    pub fn shutdown(&self, patience: Duration) {
        self.hub.shut_down(patience);
    }

    /// Connections, handshakes included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.hub.count().0
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::testing::{Failing, Flood, Testing};

    #[tokio::test(start_paused = true)]
    async fn threat_118_a_shortage_is_waited_out_without_spinning() {
        let connection = Some(Flood::default());
        let hub = Hub::default();
        let listener = Failing { failures: 20, calls: 0, connection };
        let mut accepting = Accepting::<Testing> { listener, hub: &hub, backoff: Backoff::default(), pause: None };
        let start = Instant::now();
        assert!(accepting.next().await.is_some());
        // 10, 20, 40 ... ms, and then a second each: few calls in a long time, and no longer than a second too late.
        assert_eq!(accepting.listener.calls, 21);
        assert_eq!(start.elapsed().as_secs(), 1 + 13);
        assert_eq!(hub.report().accept_errors, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn threat_118_a_shutdown_ends_the_pause() {
        let hub = Arc::new(Hub::default());
        let listener = Failing { failures: u32::MAX, calls: 0, connection: None };
        let mut accepting = Accepting::<Testing> { listener, hub: &hub, backoff: Backoff::default(), pause: None };
        let later = tokio::spawn({
            let hub = hub.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(1500)).await;
                hub.shut_down(Duration::ZERO);
            }
        });
        let start = Instant::now();
        assert!(accepting.next().await.is_none());
        assert_eq!(start.elapsed().as_millis(), 1500);
        later.await.unwrap();
    }
}
