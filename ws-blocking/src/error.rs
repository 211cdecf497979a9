//! What can go wrong with an open connection.

use std::fmt;

use ws_adapter as engine;
use ws_adapter::ws_proto::extension::EncodeError;
use ws_adapter::ws_proto::{CloseError, Closed, EntropyError, SendError, Version};

use crate::wait::Interrupted;

/// Why something could not be sent, or how an iteration over messages ended.
///
/// What a peer does wrong is not an error of receiving: it ends the connection, and
/// [`WebSocket::closed`](crate::WebSocket::closed) tells how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The call was ended by its [`Wait`](crate::Wait).
    Interrupted {
        /// What ended it.
        why: Interrupted,
        /// Whether what was to be sent is queued. Then it goes out with the next call, and must not be sent again. If
        /// not, it was dropped as if it had never been given.
        queued: bool,
    },
    /// A Close was sent or received, or the connection has ended: nothing more can be sent (RFC 6455 section 5.5.1).
    Closed,
    /// Only from iterators: the connection ended otherwise than by a closing handshake.
    Ended(Box<Closed>),
    /// The outgoing queue is full; the message was not queued.
    Full,
    /// A message begun with [`WebSocket::start_message`](crate::WebSocket::start_message) is not finished.
    MessageOpen,
    /// A piece of text that is not UTF-8 (RFC 6455 section 5.6).
    InvalidUtf8,
    /// A ping or pong payload of this many bytes; at most 125 are allowed (RFC 6455 section 5.5).
    ControlTooLong(usize),
    /// The version of the protocol that was agreed has no such thing: binary messages, pings.
    Unsupported(Version),
    /// A Close that may not be sent (RFC 6455 section 7.4).
    Close(CloseError),
    /// No randomness for the mask key; nothing was sent.
    Entropy(EntropyError),
    /// The extension in use could not encode the message: there was no memory for it, most likely. The connection ends.
    Encoding(EncodeError),
}

impl Error {
    pub(crate) fn interrupted(why: Interrupted, queued: bool) -> Self {
        Self::Interrupted { why, queued }
    }

    /// What ended the call, if its [`Wait`](crate::Wait) did.
    #[must_use]
    pub fn as_interrupted(&self) -> Option<Interrupted> {
        match self {
            Self::Interrupted { why, .. } => Some(*why),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted { why, queued: false } => why.fmt(f),
            Self::Interrupted { why, queued: true } => write!(f, "{why}; what was to be sent is queued"),
            Self::Closed => engine::Error::Closed.fmt(f),
            Self::Ended(closed) => write!(f, "the connection ended: {}", closed.cause),
            Self::Full => engine::Error::Full.fmt(f),
            Self::MessageOpen => engine::Error::MessageOpen.fmt(f),
            Self::InvalidUtf8 => engine::Error::InvalidUtf8.fmt(f),
            Self::ControlTooLong(n) => engine::Error::ControlTooLong(*n).fmt(f),
            Self::Unsupported(version) => engine::Error::Unsupported(*version).fmt(f),
            Self::Close(error) => error.fmt(f),
            Self::Entropy(error) => error.fmt(f),
            Self::Encoding(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        use engine::Error as E;
        match error {
            E::Ended(closed) => Self::Ended(closed),
            E::Full => Self::Full,
            E::MessageOpen => Self::MessageOpen,
            E::InvalidUtf8 => Self::InvalidUtf8,
            E::ControlTooLong(n) => Self::ControlTooLong(n),
            E::Unsupported(version) => Self::Unsupported(version),
            E::Entropy(error) => Self::Entropy(error),
            E::Encoding(error) => Self::Encoding(error),
            _ => Self::Closed,
        }
    }
}

impl<M> From<SendError<M>> for Error {
    fn from(error: SendError<M>) -> Self {
        engine::Error::from(error).into()
    }
}

impl From<CloseError> for Error {
    fn from(error: CloseError) -> Self {
        Self::Close(error)
    }
}
