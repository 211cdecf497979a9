//! How TLS is spoken: certificates, keys, roots and protocols, for clients and for servers.
//!
//! These are settings: no socket is opened here and nothing waits, but for the reading of files. [`ClientTls`] and
//! [`ServerTls`] are cheap to clone and are given to a connector or a server; what a connection agreed on is its
//! [`TlsInfo`].
//!
//! Everything goes through [`rustls`], which is exported here so that a program uses the same version. A
//! configuration of `rustls` can be used as it is: both types are made `From` one.

mod ahead;
mod client;
mod error;
mod info;
mod pem;
mod provider;
mod roots;
mod server;
mod unverified;

use std::io;

pub use rustls;

pub use ahead::ReadAhead;
pub use client::{ClientTls, ClientTlsBuilder};
pub use error::{PemSource, TlsError};
pub use info::TlsInfo;
pub use provider::default_provider;
pub use server::{ClientAuth, ServerTls, ServerTlsBuilder};

/// The name of HTTP/1.1 in ALPN, and the default of both sides: a WebSocket begins as an HTTP/1.1 request (RFC 6455
/// section 4.1, RFC 7301 section 6).
pub const HTTP_1_1: &[u8] = b"http/1.1";

/// Whether a failed read means that the TLS stream ended without `close_notify`.
///
/// The peer, or somebody on the way, closed the transport, and TLS can't tell whether all was received (RFC 8446
/// section 6.1). A WebSocket does not depend on it: a connection that ended by a closing handshake is complete either
/// way, one that did not is not. Many peers never send `close_notify`.
///
/// `rustls` reports such an end as [`io::ErrorKind::UnexpectedEof`], after everything that was received has been
/// read. The answer is only meaningful for an error of a TLS stream.
#[must_use]
pub fn is_truncated(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

/// What TLS has against the peer, if that is why reading, writing or the handshake failed.
///
/// The streams built on `rustls` put its error into an [`io::Error`]. `None`: the transport failed.
#[must_use]
pub fn cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// The protocols to offer, checked: RFC 7301 section 3.1 has room for names of 1 to 255 bytes, 65,535 bytes in all.
fn checked_alpn(protocols: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, TlsError> {
    let mut total = 0;
    for name in &protocols {
        total += 1 + name.len();
        if name.is_empty() || name.len() > 255 || total > 65_535 {
            return Err(TlsError::Alpn(name.clone()));
        }
    }
    Ok(protocols)
}

/// The examples of the guide compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/tls.md")]
struct Guide;
