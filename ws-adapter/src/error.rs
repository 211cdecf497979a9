//! What can go wrong with an open connection.

use std::fmt;

use ws_proto::extension::EncodeError;
use ws_proto::{Closed, EntropyError, SendError, Version};

/// Why something could not be sent, or how a stream of messages ended.
///
/// What a peer does wrong is not an error of receiving: it ends the connection, and
/// [`WebSocket::closed`](crate::WebSocket::closed) tells how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A Close was sent or received, or the connection has ended: nothing more can be sent (RFC 6455 section 5.5.1).
    Closed,
    /// Only from the `Stream` implementations: the connection ended otherwise than by a closing handshake.
    Ended(Box<Closed>),
    /// Only from the `Sink` implementations: `start_send` without `poll_ready`; the message was not queued.
    Full,
    /// A message begun with [`WebSocket::start_message`](crate::WebSocket::start_message) is not finished.
    MessageOpen,
    /// A piece of text that is not UTF-8 (RFC 6455 section 5.6).
    InvalidUtf8,
    /// A ping or pong payload of this many bytes; at most 125 are allowed (RFC 6455 section 5.5).
    ControlTooLong(usize),
    /// The version of the protocol that was agreed has no such thing: binary messages, pings.
    Unsupported(Version),
    /// No randomness for the mask key; nothing was sent.
    Entropy(EntropyError),
    /// The extension in use could not encode the message: there was no memory for it, most likely. The connection ends.
    Encoding(EncodeError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection is closing or closed"),
            Self::Ended(closed) => write!(f, "the connection ended: {}", closed.cause),
            Self::Full => f.write_str("the outgoing queue is full"),
            Self::MessageOpen => f.write_str("another message is being sent"),
            Self::InvalidUtf8 => f.write_str("the text is not UTF-8"),
            Self::ControlTooLong(n) => write!(f, "a control payload of {n} bytes; at most 125 are allowed"),
            Self::Unsupported(version) => write!(f, "version {version} of the protocol can't do that"),
            Self::Entropy(error) => error.fmt(f),
            Self::Encoding(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl<M> From<SendError<M>> for Error {
    fn from(error: SendError<M>) -> Self {
        match error {
            SendError::Full(_) => Self::Full,
            SendError::MessageOpen(_) => Self::MessageOpen,
            SendError::InvalidUtf8 => Self::InvalidUtf8,
            SendError::ControlTooLong(n) => Self::ControlTooLong(n),
            SendError::Unsupported(version) => Self::Unsupported(version),
            SendError::Entropy(error) => Self::Entropy(error),
            SendError::Encoding(error) => Self::Encoding(error),
            _ => Self::Closed,
        }
    }
}
