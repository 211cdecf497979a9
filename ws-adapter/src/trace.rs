//! Events for the `tracing` crate; without the feature `tracing`, nothing.
//!
//! Never payloads, header values, queries or close reasons: what a peer chose is limited to the path of a request, escaped and cut.
#![cfg_attr(not(feature = "tracing"), allow(unused_variables))]

use std::io;

use ws_proto::http::Target;
use ws_proto::{Closed, Negotiated, Request};

use crate::accept::AcceptError;
use crate::address::Address;
use crate::connect::ConnectError;
use crate::serve::Report;

/// The longest text of a peer that is shown, in bytes.
#[cfg(feature = "tracing")]
const LONGEST: usize = 256;

/// A text of the peer for people to read: one line of plain ASCII, of at most [`LONGEST`] bytes.
#[cfg(feature = "tracing")]
fn shown(text: &str) -> String {
    let mut shown = text.escape_default().to_string();
    shown.truncate(LONGEST);
    shown
}

pub(crate) fn accepted(request: &Request, negotiated: &Negotiated) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        path = shown(request.path()),
        version = ?negotiated.version,
        subprotocol = negotiated.subprotocol.as_deref(),
        "websocket accepted"
    );
}

pub(crate) fn not_accepted(error: &AcceptError) {
    #[cfg(feature = "tracing")]
    match error {
        AcceptError::Replied(status) => tracing::debug!(status, "request answered without a websocket"),
        error => tracing::info!(%error, "websocket not accepted"),
    }
}

pub(crate) fn connected(target: &Target, negotiated: &Negotiated) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        host = target.host(),
        port = target.port(),
        version = ?negotiated.version,
        subprotocol = negotiated.subprotocol.as_deref(),
        "websocket connected"
    );
}

pub(crate) fn not_connected(target: &Target, error: &ConnectError) {
    #[cfg(feature = "tracing")]
    tracing::info!(host = target.host(), port = target.port(), %error, "websocket not connected");
}

pub(crate) fn closed(closed: &Closed) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        code = closed.code().get(),
        by = ?closed.by,
        cause = %closed.cause,
        clean = closed.is_clean(),
        "websocket closed"
    );
}

pub(crate) fn accept_failed(error: &io::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%error, "a connection could not be taken from the listener");
}

pub(crate) fn no_room(peer: &Address) {
    #[cfg(feature = "tracing")]
    tracing::info!(%peer, "no room for a connection");
}

pub(crate) fn shutting_down(connections: usize) {
    #[cfg(feature = "tracing")]
    tracing::info!(connections, "server shutting down");
}

pub(crate) fn ended(report: &Report) {
    #[cfg(feature = "tracing")]
    tracing::info!(?report, "server ended");
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    #[test]
    fn threat_127_texts_of_the_peer_are_escaped_and_cut() {
        let shown = super::shown(&"/\u{1b}[2J\n\u{202e}".repeat(100));
        assert!(shown.len() <= super::LONGEST);
        assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)), "{shown}");
    }
}
