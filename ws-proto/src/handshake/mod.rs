//! The opening handshake (RFC 6455 section 4), for both roles.
//!
//! A handshake is a machine of its own, driven with the same verbs as a [`Connection`](crate::Connection), into which
//! it turns at the end. The application decides between two calls, so it may take its time, ask a database, or look
//! at the origin and the cookies before it accepts.
//!
//! What all versions share is in `upgrade`, which also finds out which one a request is for. Then there is a file for
//! each family of handshakes: `hixie75`, `hixie76` (and hybi-01 to -03), `hybi` (from hybi-04 to RFC 6455). The 101 is made
//! in `answer`.
//!
//! With the feature `http`, a server can also judge and answer a request that an HTTP library has read: see
//! `ParsedHandshake`.

mod answer;
mod client;
#[cfg(feature = "http")]
mod convert;
mod error;
#[cfg(feature = "legacy")]
mod flash;
#[cfg(feature = "legacy")]
mod hixie75;
#[cfg(feature = "legacy")]
mod hixie76;
mod hybi;
mod outbox;
#[cfg(feature = "http")]
mod parsed;
mod reply;
mod request;
mod server;
mod subprotocol;
mod upgrade;

pub use client::{ClientHandshake, ClientRequest, ClientStep};
#[cfg(feature = "http")]
pub use convert::RequestError;
pub use error::{AcceptError, HandshakeError, NotDone, SubprotocolError};
#[cfg(feature = "legacy")]
pub use flash::{FlashPolicy, FlashPolicyError};
pub use hybi::accept_value;
#[cfg(feature = "http")]
pub use parsed::{ParsedHandshake, Refusal};
pub use reply::{Accept, Reply};
pub use request::{Request, Upgrade};
pub use server::{ServerConfig, ServerHandshake, Step};
pub use subprotocol::SubprotocolPolicy;
