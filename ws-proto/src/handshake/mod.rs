//! The opening handshake (RFC 6455 section 4), for both roles.
//!
//! A handshake is a machine of its own, driven with the same verbs as a [`Connection`](crate::Connection), into which
//! it turns at the end. The application decides between two calls, so it may take its time, ask a database, or look
//! at the origin and the cookies before it accepts.
//!
//! `rfc6455` has the rules of version 13; what all versions share is in `upgrade`.

mod client;
mod error;
mod outbox;
mod reply;
mod request;
mod rfc6455;
mod server;
mod subprotocol;
mod upgrade;

pub use client::{ClientHandshake, ClientRequest, ClientStep};
pub use error::{AcceptError, HandshakeError, NotDone, SubprotocolError};
pub use reply::{Accept, Reply};
pub use request::{Request, Upgrade};
pub use rfc6455::accept_value;
pub use server::{ServerConfig, ServerHandshake, Step};
pub use subprotocol::SubprotocolPolicy;
