//! What can go wrong: faults of the peer ([`ProtocolError`]) and misuse by the caller (the others).

use crate::close::{CloseCode, MAX_REASON};
use crate::entropy::EntropyError;
use crate::extension::EncodeError;
use crate::version::Version;

/// A rule or limit that the peer broke on an open connection.
///
/// Each has a close code ([`ProtocolError::close_code`]) and is decided at the byte that decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit without a negotiated meaning (RFC 6455 section 5.2). 1002.
    #[error("reserved bit set")]
    ReservedBits,
    /// Opcodes 3-7 and B-F (RFC 6455 section 5.2). 1002.
    #[error("reserved opcode")]
    ReservedOpcode,
    /// A client frame without a mask (RFC 6455 section 5.1). 1002.
    #[error("frame not masked")]
    Unmasked,
    /// A server frame with a mask (RFC 6455 section 5.1). 1002.
    #[error("frame masked")]
    Masked,
    /// A control frame longer than 125 bytes (RFC 6455 section 5.5). 1002.
    #[error("control frame too long")]
    ControlTooLong,
    /// A control frame without FIN (RFC 6455 section 5.5). 1002.
    #[error("control frame fragmented")]
    ControlFragmented,
    /// A length not in its shortest form (RFC 6455 section 5.2). 1002.
    #[error("length not minimal")]
    LengthNotMinimal,
    /// A 64-bit length with the top bit set (RFC 6455 section 5.2). 1002.
    #[error("length out of range")]
    LengthTopBit,
    /// A continuation frame with no message open (RFC 6455 section 5.4). 1002.
    #[error("nothing to continue")]
    UnexpectedContinuation,
    /// A new data frame inside an open message (RFC 6455 section 5.4). 1002.
    #[error("message not finished")]
    ExpectedContinuation,
    /// Text that is not UTF-8 (RFC 6455 section 8.1). 1007.
    #[error("text not UTF-8")]
    InvalidUtf8,
    /// A payload that can't be decompressed, or that ends too early (RFC 7692 section 7.2.2). 1007.
    #[error("compressed data invalid")]
    InvalidCompression,
    /// A Close body of one byte (RFC 6455 section 5.5.1). 1002.
    #[error("close body of one byte")]
    CloseLength,
    /// A close code that may not be sent (RFC 6455 section 7.4). 1002.
    #[error("close code not allowed")]
    CloseCode,
    /// A close reason that is not UTF-8 (RFC 6455 section 5.5.1). 1007.
    #[error("close reason not UTF-8")]
    CloseReason,
    /// A frame over `Limits::frame`. 1009.
    #[error("frame over the limit")]
    FrameTooBig,
    /// A message over `Limits::message`. 1009.
    #[error("message over the limit")]
    MessageTooBig,
    /// A message of more frames than `Limits::fragments`. 1008.
    #[error("too many fragments")]
    TooManyFragments,
    /// There is no memory for the message. 1009.
    #[error("out of memory")]
    OutOfMemory,
}

impl ProtocolError {
    /// The close code that is sent for this failure.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::InvalidCompression | Self::CloseReason => CloseCode::INVALID_PAYLOAD,
            Self::FrameTooBig | Self::MessageTooBig | Self::OutOfMemory => CloseCode::TOO_BIG,
            Self::TooManyFragments => CloseCode::POLICY,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// The reason text that is sent; fixed, it never echoes the peer.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bit set",
            Self::ReservedOpcode => "reserved opcode",
            Self::Unmasked => "frame not masked",
            Self::Masked => "frame masked",
            Self::ControlTooLong => "control frame too long",
            Self::ControlFragmented => "control frame fragmented",
            Self::LengthNotMinimal => "length not minimal",
            Self::LengthTopBit => "length out of range",
            Self::UnexpectedContinuation => "nothing to continue",
            Self::ExpectedContinuation => "message not finished",
            Self::InvalidUtf8 => "text not UTF-8",
            Self::InvalidCompression => "compressed data invalid",
            Self::CloseLength => "close body of one byte",
            Self::CloseCode => "close code not allowed",
            Self::CloseReason => "close reason not UTF-8",
            Self::FrameTooBig => "frame too big",
            Self::MessageTooBig => "message too big",
            Self::TooManyFragments => "too many fragments",
            Self::OutOfMemory => "out of memory",
        }
    }
}

/// A message was not sent. Nothing of it was queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError<M = ()> {
    /// The outgoing queue is over `Limits::outgoing`; here is the message back. Write what is queued, then try again.
    #[error("the outgoing queue is full")]
    Full(M),
    /// A Close was sent or received, or the connection has ended (RFC 6455 section 5.5.1).
    #[error("the connection is closing or closed")]
    Closed(M),
    /// A message begun with `start_message` is not finished (RFC 6455 section 5.4).
    #[error("another message is being sent")]
    MessageOpen(M),
    /// Text that is not UTF-8 (RFC 6455 section 5.6).
    #[error("the text is not UTF-8")]
    InvalidUtf8,
    /// A ping or pong payload of more than 125 bytes (RFC 6455 section 5.5).
    #[error("a control payload of {0} bytes; at most 125 are allowed")]
    ControlTooLong(usize),
    /// The version of the protocol that was agreed has no such thing; see [`Version::has_binary`] and the like.
    #[error("version {0} of the protocol can't do that")]
    Unsupported(Version),
    /// No randomness for the mask key.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The extension in use could not encode the message. The connection ends with [`Cause::Encoding`](crate::Cause).
    #[error(transparent)]
    Encoding(#[from] EncodeError),
}

impl<M> SendError<M> {
    /// The same error without the message.
    pub fn without_message(self) -> SendError {
        match self {
            Self::Full(_) => SendError::Full(()),
            Self::Closed(_) => SendError::Closed(()),
            Self::MessageOpen(_) => SendError::MessageOpen(()),
            Self::InvalidUtf8 => SendError::InvalidUtf8,
            Self::ControlTooLong(n) => SendError::ControlTooLong(n),
            Self::Unsupported(version) => SendError::Unsupported(version),
            Self::Entropy(e) => SendError::Entropy(e),
            Self::Encoding(e) => SendError::Encoding(e),
        }
    }
}

/// A Close that may not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The code is reserved or out of range (RFC 6455 section 7.4).
    #[error("close code {0} may not be sent")]
    Code(CloseCode),
    /// The reason is too long.
    #[error("a close reason of {0} bytes; at most {MAX_REASON} are allowed")]
    ReasonTooLong(usize),
}
