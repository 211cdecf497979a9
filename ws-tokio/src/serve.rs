//! A listener, and the connections that come of it.

mod hub;
mod listen;

use std::fmt;
use std::future::{Future, poll_fn, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::time::{Instant, Sleep};
use ws_proto::Request;

use crate::accept::{AcceptError, Acceptor, Decision};
use crate::net::NetStream;
use crate::trace;
use crate::websocket::WebSocket;
use hub::{Hub, Place};
use listen::{Backoff, Listen};

/// Tasks that tell clients that there is no room for them; further ones are dropped without a word.
const MAX_REFUSALS: usize = 64;
/// How long such a task lasts, and how much it reads.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
const REFUSAL_BYTES: u64 = 64 * 1024;
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
/// How long to wait for tasks that were aborted; only one that blocks its thread takes longer.
const ABORT_TIME: Duration = Duration::from_secs(1);

type Decide = dyn Fn(&Request, SocketAddr) -> Pin<Box<dyn Future<Output = Decision> + Send>> + Send + Sync;

/// Listens on a TCP port, does the handshakes, and runs a task for each connection.
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
pub struct Server {
    listener: TcpListener,
    acceptor: Acceptor,
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
    pub peer: SocketAddr,
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

impl Server {
    /// Listens on an address; port 0 is any free one.
    ///
    /// # Errors
    /// If the address can't be used.
    ///
    /// # Cancel safety
    /// Dropping the future drops the listener; nothing stays behind.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self::new)
    }

    /// A server on a listener that was made elsewhere.
    #[must_use]
    pub fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            acceptor: Acceptor::default(),
            decide: Arc::new(|request, _| Box::pin(ready(Decision::default_for(request)))),
            max_connections: 10_000,
            max_pending_handshakes: 1_000,
            hub: Arc::default(),
        }
    }

    /// The settings of handshakes and connections.
    #[must_use]
    pub fn acceptor(mut self, acceptor: Acceptor) -> Self {
        self.acceptor = acceptor;
        self
    }

    /// Decides what each request gets; see [`Acceptor::accept_with`]. Default: [`Decision::default_for`].
    ///
    /// The future can't borrow the request: take out what it needs before it begins.
    #[must_use]
    pub fn decide<D, F>(mut self, decide: D) -> Self
    where
        D: Fn(&Request, SocketAddr) -> F + Send + Sync + 'static,
        F: Future<Output = Decision> + Send + 'static,
    {
        self.decide = Arc::new(move |request, peer| Box::pin(decide(request, peer)));
        self
    }

    /// TCP connections at a time, handshakes included. Default: 10,000. Further ones get 503 and are closed, their
    /// request unread.
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
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
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
        H: Fn(WebSocket, Incoming) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let hub = self.hub.clone();
        let _abort = AbortOnDrop(&hub);
        let patience = self.accept_all(Arc::new(handler)).await;
        trace::shutting_down(hub.count().0);
        hub.go_away();
        within(patience, hub.all_gone()).await;
        hub.abort_all();
        within(ABORT_TIME, hub.all_gone()).await;
        let report = hub.report();
        trace::ended(&report);
        report
    }

    /// Accepts until the shutdown; gives how long connections may take to end.
    async fn accept_all<H, F>(self, handler: Arc<H>) -> Duration
    where
        H: Fn(WebSocket, Incoming) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { listener, acceptor, decide, max_connections, max_pending_handshakes, hub } = self;
        let mut accepting = Accepting { listener, hub: &hub, backoff: Backoff::default(), pause: None };
        while let Some((tcp, peer)) = accepting.next().await {
            let (connections, pending) = hub.count();
            if connections >= max_connections || pending >= max_pending_handshakes {
                trace::no_room(peer);
                refuse(&hub, tcp);
                continue;
            }
            let hands = Box::pin(shake_hands(tcp, peer, acceptor.clone(), decide.clone()));
            hub.spawn(|place| run(place, hands, handler.clone()));
        }
        hub.patience()
    }
}

/// The task of a connection. The handshake is in a box, so that it does not take room for as long as the task lives.
async fn run<S, H, F>(mut place: Place, hands: Pin<Box<S>>, handler: Arc<H>)
where
    S: Future<Output = Result<(WebSocket, Incoming), AcceptError>>,
    H: Fn(WebSocket, Incoming) -> F,
    F: Future<Output = ()>,
{
    let running = match hands.await {
        Ok((mut ws, incoming)) => {
            ws.set_control(place.opened());
            handler(ws, incoming)
        }
        Err(_) => return place.refused(),
    };
    drop(handler);
    running.await;
    place.done();
}

async fn shake_hands(
    tcp: TcpStream,
    peer: SocketAddr,
    acceptor: Acceptor,
    decide: Arc<Decide>,
) -> Result<(WebSocket, Incoming), AcceptError> {
    let (ws, request) = acceptor.accept_with(NetStream::from(tcp), |request| decide(request, peer)).await?;
    Ok((ws, Incoming { request, peer }))
}

/// Says that there is no room, without looking at what the client wants.
fn refuse(hub: &Arc<Hub>, mut tcp: TcpStream) {
    let Some(refusal) = hub.reject(MAX_REFUSALS) else { return };
    tokio::spawn(async move {
        let _refusal = refusal;
        within(REFUSAL_TIME, async {
            let _ = tcp.write_all(NO_ROOM).await;
            let _ = tcp.shutdown().await;
            // What is left unread when the socket is closed could take the answer with it.
            let mut rest = tcp.take(REFUSAL_BYTES);
            let mut scratch = [0; 512];
            while rest.read(&mut scratch).await.is_ok_and(|n| n > 0) {}
        })
        .await;
    });
}

async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    match Instant::now().checked_add(limit) {
        Some(deadline) => tokio::time::timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

struct AbortOnDrop<'h>(&'h Hub);

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abort_all();
    }
}

/// The accept loop, one connection at a time.
struct Accepting<'h, L> {
    listener: L,
    hub: &'h Hub,
    backoff: Backoff,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<L: Listen> Accepting<'_, L> {
    /// The next connection; `None` once the server is shutting down.
    async fn next(&mut self) -> Option<(TcpStream, SocketAddr)> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(TcpStream, SocketAddr)>> {
        loop {
            if self.hub.poll_shutdown(cx) {
                return Poll::Ready(None);
            }
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match std::task::ready!(self.listener.poll_accept(cx)) {
                Ok(accepted) => {
                    self.backoff.succeeded();
                    return Poll::Ready(Some(accepted));
                }
                Err(error) => {
                    trace::accept_failed(&error);
                    self.hub.accept_failed();
                    self.pause = self.backoff.failed(&error).map(|pause| Box::pin(tokio::time::sleep(pause)));
                }
            }
        }
    }
}

impl fmt::Debug for Server {
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

    /// TCP connections, handshakes included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.hub.count().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails some times with the error of a system that has no more file descriptors.
    struct Failing {
        failures: u32,
        calls: u32,
        connection: Option<(TcpStream, SocketAddr)>,
    }

    impl Listen for Failing {
        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
            self.calls += 1;
            if self.calls <= self.failures {
                return Poll::Ready(Err(io::Error::from_raw_os_error(24)));
            }
            self.connection.take().map_or(Poll::Pending, |connection| Poll::Ready(Ok(connection)))
        }
    }

    async fn connection() -> (TcpStream, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (_, accepted) = tokio::join!(connecting, listener.accept());
        accepted.unwrap()
    }

    #[tokio::test]
    async fn threat_118_a_shortage_is_waited_out_without_spinning() {
        let connection = Some(connection().await);
        tokio::time::pause();
        let hub = Hub::default();
        let listener = Failing { failures: 20, calls: 0, connection };
        let mut accepting = Accepting { listener, hub: &hub, backoff: Backoff::default(), pause: None };
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
        let mut accepting = Accepting { listener, hub: &hub, backoff: Backoff::default(), pause: None };
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
