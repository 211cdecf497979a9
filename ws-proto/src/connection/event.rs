//! What a connection reports.

use core::time::Duration;

use super::ControlPayload;
use crate::close::{CloseFrame, Closed};
use crate::message::{Kind, Payload, Text};

/// Something that happened on a connection. Data is lent from the input where it lay whole in it.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'i> {
    /// A whole text message (RFC 6455 section 5.6).
    Text(Text<'i>),
    /// A whole binary message.
    Binary(Payload<'i>),
    /// A piece of a message, with [`Delivery::Chunks`](crate::Delivery::Chunks).
    Chunk(Chunk<'i>),
    /// A ping. It is answered without your doing unless `Config::manual_pong` is set.
    Ping(ControlPayload),
    /// A pong.
    Pong(Pong),
    /// The peer's Close arrived; it is answered without your doing. No more data follows.
    Closing(CloseFrame),
    /// The end: drop the transport. Nothing comes after this.
    Closed(Closed),
}

impl Event<'_> {
    /// The same event, free of the input; copies what was lent.
    #[must_use]
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Self::Text(text) => Event::Text(text.into_owned()),
            Self::Binary(payload) => Event::Binary(payload.into_owned()),
            Self::Chunk(chunk) => Event::Chunk(chunk.into_owned()),
            Self::Ping(payload) => Event::Ping(payload),
            Self::Pong(pong) => Event::Pong(pong),
            Self::Closing(frame) => Event::Closing(frame),
            Self::Closed(closed) => Event::Closed(closed),
        }
    }
}

/// A piece of a message.
///
/// Pieces follow the network, not the frames. A text message's pieces together are UTF-8; one piece may
/// end inside a character. Pieces are not empty, except the last.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chunk<'i> {
    /// The kind of the whole message.
    pub kind: Kind,
    /// Whether this is the first piece of its message.
    pub first: bool,
    /// Whether this is the last piece of its message.
    pub last: bool,
    /// The bytes.
    pub data: Payload<'i>,
}

impl Chunk<'_> {
    /// The same piece, free of the input.
    #[must_use]
    pub fn into_owned(self) -> Chunk<'static> {
        let Self { kind, first, last, data } = self;
        Chunk { kind, first, last, data: data.into_owned() }
    }
}

/// A pong (RFC 6455 section 5.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pong {
    /// Its payload.
    pub payload: ControlPayload,
    /// The time since the ping that it answers was queued; `None` if it answers none of the latest eight.
    pub round_trip: Option<Duration>,
}
