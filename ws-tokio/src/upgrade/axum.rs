//! An extractor of axum 0.8 that opens WebSockets.
//!
//! ```
//! use axum::Router;
//! use axum::response::Response;
//! use axum::routing::any;
//! use ws_tokio::upgrade::axum::Upgrade;
//!
//! async fn echo(upgrade: Upgrade) -> Response {
//!     upgrade.on_upgrade(|mut ws| async move {
//!         while let Some(message) = ws.recv().await {
//!             let _ = ws.send(message).await;
//!         }
//!     })
//! }
//!
//! let routes: Router = Router::new().route("/echo", any(echo));
//! ```
//!
//! # Settings
//!
//! Requests are judged before the handler runs, with the settings of the [`Acceptor`] that is an extension of the request,
//! and by default with those of [`Acceptor::default`]. So versions, extensions, subprotocols and limits for a router are
//! set like this:
//!
//! ```
//! use axum::{Extension, Router};
//! use ws_tokio::{Acceptor, ServerConfig, Versions};
//!
//! let mut config = ServerConfig::default();
//! config.versions = Versions::DEPLOYED;
//! let routes: Router = Router::new().layer(Extension(Acceptor::new(config)));
//! ```

use std::future::Future;
use std::sync::Arc;

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use ws_proto::bytes::Bytes;
use ws_proto::extension::Extensions;
use ws_proto::handshake::{ParsedHandshake, Refusal, SubprotocolPolicy};
use ws_proto::{Accept, Config, Reply, ServerConfig};

use super::hyper::{self as base, Opening, Transport};
use crate::{AcceptError, Acceptor, Decision, WebSocket};

/// A valid request for a WebSocket, as an extractor.
///
/// Every other request is answered before the handler runs: what breaks a rule with the status of the fault, plain HTTP
/// with 426; see [`Rejection`]. An `Option<Upgrade>` lets plain HTTP pass, as `None`, for a page and a WebSocket on
/// one path.
///
/// Look at the origin before you open it: browsers send their cookies with requests that other sites begin
/// (RFC 6455 section 10.2). Under a nested router, [`Request::path`](crate::Request::path) is what is left of the path
/// there, as for other extractors.
#[derive(Debug)]
pub struct Upgrade {
    base: base::Upgrade,
    decision: Decision,
}

impl Upgrade {
    /// The request: path, headers, cookies, origin, what is offered.
    #[must_use]
    pub fn request(&self) -> &crate::Request {
        self.base.request()
    }

    /// Chooses a subprotocol by this policy, whatever the settings say. If it requires one and none is offered, the request
    /// is answered with 400.
    #[must_use]
    pub fn subprotocols(self, policy: &SubprotocolPolicy) -> Self {
        let chosen = policy.choose_for(self.request());
        self.change(|accept| match chosen {
            Ok(Some(name)) => accept.subprotocol(name).into(),
            Ok(None) => accept.no_subprotocol().into(),
            Err(error) => Reply::text(error.status().unwrap_or(400), &format!("{error}\n")).into(),
        })
    }

    /// Agrees to one of these extensions, if the client offers one, whatever the settings say.
    #[must_use]
    pub fn extensions(self, extensions: Extensions) -> Self {
        self.change(|accept| accept.extensions(extensions).into())
    }

    /// Opens it like this: headers, subprotocol, extensions. Undoes what was chosen before.
    #[must_use]
    pub fn accept(mut self, accept: Accept) -> Self {
        self.decision = accept.into();
        self
    }

    /// Other settings for the connection: limits of messages, timers. Default: those of the [`Acceptor`].
    #[must_use]
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.base = self.base.config(config);
        self
    }

    fn change(mut self, change: impl FnOnce(Accept) -> Decision) -> Self {
        if let Decision::Accept(accept) = self.decision {
            self.decision = change(accept);
        }
        self
    }

    /// The 101, to be returned from the handler. Once it is written, `serve` runs in a task of its own.
    ///
    /// If the connection breaks before that, nothing runs; [`Upgrade::open`] tells.
    pub fn on_upgrade<F, S>(self, serve: F) -> Response
    where
        F: FnOnce(WebSocket<Transport>) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let (response, opening) = self.open();
        if let Ok(opening) = opening {
            tokio::spawn(async move {
                if let Ok(ws) = opening.await {
                    serve(ws).await;
                }
            });
        }
        response
    }

    /// The response to return from the handler, and the WebSocket that will be, or else why there will be none.
    pub fn open(self) -> (Response, Result<Opening, AcceptError>) {
        let (response, opening) = self.base.decide(self.decision);
        (with_body(response), opening)
    }

    /// Any other answer than 101, for example `Reply::new(403)`. A handler may return any other response just as well.
    #[must_use]
    pub fn reject(self, reply: Reply) -> Response {
        with_body(self.base.decide(reply).0)
    }
}

fn with_body(response: hyper::Response<Bytes>) -> Response {
    response.map(|body| if body.is_empty() { Body::empty() } else { Body::from(body) })
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        extract(parts)?.ok_or(Rejection::NotWebSocket)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Upgrade {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        extract(parts)
    }
}

/// `None` for plain HTTP.
fn extract(parts: &mut Parts) -> Result<Option<Upgrade>, Rejection> {
    let config: Arc<ServerConfig> =
        parts.extensions.get::<Acceptor>().map_or_else(Arc::default, |acceptor| acceptor.config().clone());
    let handshake = match ParsedHandshake::from_parts(parts, config) {
        Ok(handshake) if handshake.request().is_websocket() => handshake,
        Err(refusal) if refusal.is_for_websocket() => return Err(Rejection::Refused(refusal)),
        // Whatever it is, it is not for here.
        _ => return Ok(None),
    };
    let upgrade = parts.extensions.remove::<OnUpgrade>().ok_or(Rejection::NotUpgradable)?;
    Ok(Some(Upgrade { base: base::Upgrade::of(handshake, upgrade), decision: Accept::new().into() }))
}

/// Why a request did not become an [`Upgrade`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The request is for a WebSocket and breaks a rule or a limit; the status is that of the fault.
    Refused(Refusal),
    /// The request is plain HTTP, of any method and version. 426.
    NotWebSocket,
    /// The HTTP server can't hand the connection over, or another extractor took it before. 500.
    NotUpgradable,
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        with_body(match self {
            Self::Refused(refusal) => refusal.into_response(),
            Self::NotWebSocket => Reply::text(426, "There is a WebSocket here.\n").into(),
            Self::NotUpgradable => Reply::text(500, "The connection can't be upgraded.\n").into(),
        })
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::NotWebSocket => f.write_str("the request does not ask for a WebSocket"),
            Self::NotUpgradable => f.write_str("the connection can't be handed over"),
        }
    }
}

impl std::error::Error for Rejection {}
