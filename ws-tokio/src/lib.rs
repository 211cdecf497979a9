//! WebSockets on tokio: [`ws_proto`] over any `AsyncRead + AsyncWrite` transport.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod clock;
mod control;
mod error;
mod incoming;
mod net;
mod outgoing;
mod pool;
mod split;
mod stream;
mod websocket;

pub use error::Error;
pub use net::NetStream;
pub use split::{Receiver, Sender};
pub use websocket::WebSocket;

pub use ws_proto;
pub use ws_proto::connection::{Chunk, Event, MessageWriter, Pong, Prepared, Stats};
pub use ws_proto::{
    Cause, CloseCode, CloseError, CloseFrame, Closed, Config, Delivery, IntoMessage, Kind, Message, Negotiated, Role,
    SendError, Utf8Bytes,
};
