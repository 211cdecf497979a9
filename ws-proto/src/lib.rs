//! The WebSocket protocol without I/O: bytes in, events out, bytes to write, deadlines.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod close;
mod config;
pub mod connection;
mod dump;
mod entropy;
mod error;
pub mod http;
mod input;
mod message;
mod time;
mod version;
pub mod wire;

pub use close::{Cause, CloseCode, CloseFrame, Closed, Initiator, MAX_REASON};
pub use config::{Config, Delivery, Leniency, Limits, Rate, Timers};
pub use connection::{Connection, Negotiated};
pub use dump::FrameDump;
#[cfg(feature = "getrandom")]
pub use entropy::OsEntropy;
pub use entropy::{BoxEntropy, Entropy, EntropyError, NoEntropy};
pub use error::{CloseError, ProtocolError, SendError};
pub use input::Input;
pub use message::{IntoMessage, Kind, Message, Payload, Text, Utf8Bytes};
pub use time::Instant;
pub use version::{Role, Version, Versions};
