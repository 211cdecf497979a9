//! WebSockets on threads.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(not(unix))]
compile_error!("ws-blocking waits with poll(2), which only Unix systems have");

mod bell;
mod net;
mod park;
mod signal;
mod socket;
#[cfg(feature = "tls-core")]
mod tls;
mod transport;
mod wait;

pub use net::NetStream;
pub use park::block_on;
pub use transport::{Duplex, Fd, Pipe, Transport, pipe};
pub use wait::{CancelToken, Interrupted, Wait};
pub use ws_adapter::Address;
