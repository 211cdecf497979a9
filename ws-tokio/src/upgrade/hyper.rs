//! WebSockets on connections of a hyper 1 server.
//!
//! Serve connections `with_upgrades`, and answer requests like this:
//!
//! ```
//! use http_body_util::Full;
//! use hyper::body::{Bytes, Incoming};
//! use hyper::{Request, Response};
//! use ws_tokio::upgrade::hyper::answer;
//! use ws_tokio::{Acceptor, Decision};
//!
//! fn serve(acceptor: &Acceptor, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
//!     let (response, opening) = answer(&mut request, acceptor.config().clone(), Decision::default_for);
//!     if let Ok(opening) = opening {
//!         // The connection is handed over once the response is written, so not before this function returns.
//!         tokio::spawn(async move {
//!             let Ok(mut ws) = opening.await else { return };
//!             while let Some(message) = ws.recv().await {
//!                 let _ = ws.send(message).await;
//!             }
//!         });
//!     }
//!     response.map(Full::new)
//! }
//! ```

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ws_proto::bytes::Bytes;
use ws_proto::handshake::{ParsedHandshake, Refusal};
use ws_proto::{Config, Negotiated, Reply, Role, ServerConfig};

use crate::{AcceptError, Decision, WebSocket};

/// What such a WebSocket runs over. Nothing that was read with the request is lost.
pub type Transport = TokioIo<Upgraded>;

/// Judges a request, decides, and gives the response to return at once.
///
/// `decide` sees every valid request, also one that is plain HTTP. If it needs to wait for something, use [`Upgrade`].
///
/// The second part is the WebSocket that will be, or else why there will be none; the response says so, too.
pub fn answer<B>(
    request: &mut Request<B>,
    config: impl Into<Arc<ServerConfig>>,
    decide: impl FnOnce(&ws_proto::Request) -> Decision,
) -> (Response<Bytes>, Result<Opening, AcceptError>) {
    match Upgrade::new(request, config) {
        Ok(upgrade) => {
            let decision = decide(upgrade.request());
            upgrade.decide(decision)
        }
        Err(refusal) => (refusal.into_response(), Err(AcceptError::Handshake(refusal.error()))),
    }
}

/// A valid request that waits for a decision.
#[derive(Debug)]
pub struct Upgrade {
    handshake: ParsedHandshake,
    upgrade: OnUpgrade,
    config: Arc<Config>,
}

impl Upgrade {
    /// Judges a request, and takes from it what is needed to take the connection over. The body is not looked at.
    ///
    /// # Errors
    /// [`Refusal`]; its response is the one to return.
    pub fn new<B>(request: &mut Request<B>, config: impl Into<Arc<ServerConfig>>) -> Result<Self, Refusal> {
        let handshake = ParsedHandshake::new(request, config)?;
        Ok(Self::of(handshake, hyper::upgrade::on(request)))
    }

    pub(super) fn of(handshake: ParsedHandshake, upgrade: OnUpgrade) -> Self {
        let config = Arc::clone(&handshake.config().connection);
        Self { handshake, upgrade, config }
    }

    /// The request: path, headers, cookies, origin, what is offered.
    #[must_use]
    pub fn request(&self) -> &ws_proto::Request {
        self.handshake.request()
    }

    /// Other settings for the connection than those in `ServerConfig::connection`. The limits of the head have been
    /// applied already.
    #[must_use]
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.config = config.into();
        self
    }

    /// Carries a decision out. The first part is the response to return at once; the second is the WebSocket that will be,
    /// or else why there will be none: [`AcceptError::Replied`], or [`AcceptError::Decision`] with a status of 500.
    pub fn decide(self, decision: impl Into<Decision>) -> (Response<Bytes>, Result<Opening, AcceptError>) {
        let (reply, error) = match decision.into() {
            Decision::Accept(accept) => match self.handshake.accept(accept) {
                Ok((response, negotiated)) => {
                    let opening = Opening { upgrade: self.upgrade, start: Some((negotiated, self.config)) };
                    return (response.map(|()| Bytes::new()), Ok(opening));
                }
                Err(error) => (Reply::new(500), AcceptError::Decision(error)),
            },
            Decision::Reply(reply) => {
                let status = reply.status();
                (reply, AcceptError::Replied(status))
            }
            // There may be more kinds of decisions one day.
            _ => (Reply::new(500), AcceptError::Replied(500)),
        };
        (self.handshake.reject(reply), Err(error))
    }
}

/// A WebSocket that opens once the response is written: a future for a task of its own.
///
/// It gives [`AcceptError::Io`] if the connection breaks before that, or if the server does not serve connections
/// `with_upgrades`. It has no deadline of its own. If another response is returned than the one that came with it, drop it:
/// hyper may hand the connection over nevertheless, once it is of no use.
///
/// # Cancel safety
/// Dropping it drops the connection.
#[derive(Debug)]
#[must_use = "the connection is dropped with it"]
pub struct Opening {
    upgrade: OnUpgrade,
    start: Option<(Negotiated, Arc<Config>)>,
}

impl Opening {
    /// What was agreed on. `None` after the future has given its result.
    #[must_use]
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.start.as_ref().map(|(negotiated, _)| negotiated)
    }
}

impl Future for Opening {
    type Output = Result<WebSocket<Transport>, AcceptError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.start.is_none() {
            return Poll::Ready(Err(AcceptError::Io(io::ErrorKind::NotConnected.into())));
        }
        Pin::new(&mut self.upgrade).poll(cx).map(|upgraded| {
            let upgraded = upgraded.map_err(|error| AcceptError::Io(io::Error::other(error)))?;
            let (negotiated, config) =
                self.start.take().ok_or_else(|| AcceptError::Io(io::ErrorKind::NotConnected.into()))?;
            Ok(WebSocket::from_upgraded(TokioIo::new(upgraded), Role::Server, negotiated, config))
        })
    }
}
