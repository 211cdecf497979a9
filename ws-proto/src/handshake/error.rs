//! Why an opening handshake failed.

use crate::extension::{AnswerError, ParameterError};
use crate::http::HeadError;
use crate::version::Versions;

/// A rule or limit of the opening handshake that the peer broke, or what else ended it.
///
/// On a server [`HandshakeError::status`] is the HTTP status that answers it. The texts are fixed: nothing of the
/// peer's bytes is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The bytes are no HTTP head, or one over the limits.
    #[error(transparent)]
    Head(#[from] HeadError),

    /// Server: the method is not GET (or HEAD, for plain HTTP). 405 (RFC 6455 section 4.2.1).
    #[error("the method is not GET")]
    Method,
    /// HTTP/1.0 can't be upgraded. 505 (RFC 6455 sections 4.1 and 4.2.1).
    #[error("the HTTP version is not 1.1")]
    HttpVersion,
    /// Server: the request target is neither a path nor an absolute http URI of this host. 400 (RFC 9112 section 3.2).
    #[error("the request target is not a path")]
    RequestTarget,
    /// Server: no `Host`, or more than one. 400 (RFC 9112 section 3.2, RFC 6455 section 4.2.1).
    #[error("there must be exactly one Host header")]
    HostCount,
    /// Server: the `Host` is not `host[:port]`. 400 (RFC 9112 section 3.2).
    #[error("the Host header is not host[:port]")]
    Host,
    /// Server: the request announces a body. 400 (RFC 9110 section 9.3.1; a GET that upgrades has none).
    #[error("the request announces a body")]
    RequestBody,
    /// `Upgrade` does not name `websocket`. 400 (RFC 6455 sections 4.1 and 4.2.1).
    #[error("the Upgrade header does not say websocket")]
    Upgrade,
    /// `Connection` does not name `upgrade`. 400 (RFC 6455 sections 4.1 and 4.2.1).
    #[error("the Connection header does not say upgrade")]
    Connection,
    /// Server: the request is for a version that is not served, or for none that is known. 426 with the list of those
    /// that are (RFC 6455 section 4.4).
    #[error("unsupported WebSocket version")]
    Version,
    /// Server, on a request that an HTTP library has read: the version is older than hybi-04, whose handshakes are
    /// compared byte by byte or go on behind the head. 426 with the list of those that are served.
    #[error("this WebSocket version needs the bytes of the handshake")]
    VersionNeedsBytes,
    /// Server: no `Sec-WebSocket-Key`, or one of the two that hixie-76 to hybi-03 have. 400 (RFC 6455 section 4.2.1).
    #[error("a Sec-WebSocket-Key header is missing")]
    KeyMissing,
    /// Server: more than one `Sec-WebSocket-Key`. 400 (RFC 6455 section 11.3.1).
    #[error("more than one Sec-WebSocket-Key header")]
    KeyRepeated,
    /// Server: `Sec-WebSocket-Key` is not the base64 of 16 bytes; before version 13, it is empty. 400 (RFC 6455
    /// section 4.2.1).
    #[error("the Sec-WebSocket-Key header is not the base64 of 16 bytes")]
    KeyInvalid,
    /// Server: `Sec-WebSocket-Key1` or `-Key2` hides no number, as it does in hixie-76 to hybi-03. 400.
    #[error("a numbered Sec-WebSocket-Key header hides no number")]
    ChallengeInvalid,
    /// Server: no `Origin`, which is mandatory up to hybi-03. 400.
    #[error("the Origin header is missing")]
    OriginMissing,
    /// Server: more than one `Origin`, or one with bytes that are not printable ASCII. 400 (RFC 6454 section 7).
    #[error("the Origin header is malformed")]
    Origin,
    /// Server: a subprotocol name is empty or no token. 400 (RFC 6455 section 4.1).
    #[error("a subprotocol name is not a token")]
    SubprotocolSyntax,
    /// A subprotocol is named twice: in the request, 400 (RFC 6455 section 4.1), or in the response (section 11.3.4).
    #[error("a subprotocol is named more than once")]
    SubprotocolRepeated,
    /// Server: more subprotocols are offered than are looked at (128). 400.
    #[error("more than 128 subprotocols are offered")]
    SubprotocolTooMany,
    /// A subprotocol is required and none was agreed. 400 on a server.
    #[error("a subprotocol is required, and none was agreed")]
    SubprotocolRequired,
    /// `Sec-WebSocket-Extensions` does not follow the grammar. 400 (RFC 6455 section 9.1).
    #[error("the Sec-WebSocket-Extensions header is malformed")]
    ExtensionSyntax,
    /// Server: more than 64 KiB arrived behind the head before the application decided. 400.
    #[error("too many bytes behind the request head")]
    EarlyData,
    /// Server: the peer is a Flash player that asked for the policy file, and got it: see `ServerConfig::flash_policy`.
    #[error("a Flash player asked for the policy file")]
    PolicyFile,
    /// The handshake took longer than `Timers::handshake`. 408 on a server.
    #[error("the handshake took too long")]
    Timeout,
    /// Server: the application did not decide within `Timers::handshake`. 503.
    #[error("the request was not decided in time")]
    Undecided,
    /// The stream ended before the handshake was done.
    #[error("the stream ended during the handshake")]
    Eof,
    /// The transport failed during the handshake.
    #[error("the transport failed during the handshake")]
    Transport,

    /// Client: a final answer other than 101 (RFC 6455 section 4.1); the response can be looked at.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// Client: the server does not speak the version that was asked for, and answered with 400 or 426 and a list of those
    /// that it speaks (RFC 6455 section 4.4).
    #[error("the server answered with status {status}: it speaks other WebSocket versions")]
    VersionRefused {
        /// The status of the answer.
        status: u16,
        /// The versions of the list that are compiled in. Those before hybi-04 have no number to stand in it.
        offered: Versions,
    },
    /// Client: more than 8 interim (1xx) answers.
    #[error("more than 8 interim answers")]
    TooManyInterim,
    /// Client: no `Sec-WebSocket-Accept` in the answer (RFC 6455 section 4.1).
    #[error("the Sec-WebSocket-Accept header is missing")]
    AcceptMissing,
    /// Client: more than one `Sec-WebSocket-Accept` (RFC 6455 section 11.3.3).
    #[error("more than one Sec-WebSocket-Accept header")]
    AcceptRepeated,
    /// Client: `Sec-WebSocket-Accept` does not fit the key that was sent (RFC 6455 section 4.1).
    #[error("the Sec-WebSocket-Accept header is wrong")]
    AcceptWrong,
    /// Client: more than one `Upgrade` header in the answer.
    #[error("more than one Upgrade header")]
    UpgradeRepeated,
    /// Client: the server chose a subprotocol that was not offered (RFC 6455 section 4.1).
    #[error("the server chose a subprotocol that was not offered")]
    SubprotocolNotOffered,
    /// Client: the server switched on an extension that was not offered (RFC 6455 section 4.1).
    #[error("the server chose an extension that was not offered")]
    ExtensionNotOffered,
    /// Client: the server switched on more than one extension.
    #[error("the server chose more than one extension")]
    ExtensionSeveral,
    /// Client: the server switched on an extension with parameters that can't be (RFC 6455 section 9.1).
    #[error("the parameters of the extension that the server chose: {0}")]
    ExtensionParameter(ParameterError),
    /// Client: the answer says another `Sec-WebSocket-Version` than the one asked for.
    #[error("the server speaks another WebSocket version")]
    VersionWrong,
    /// Client, hixie-75: the first three lines are not those that this version has.
    #[error("the first three lines are not those of hixie-75")]
    FirstLines,
    /// Client, up to hybi-03: the answer does not name our origin, once.
    #[error("the answer is for another origin")]
    OriginWrong,
    /// Client, up to hybi-03: the answer does not name the URL that was asked for, once.
    #[error("the answer is for another location")]
    LocationWrong,
    /// Client, hixie-76 to hybi-03: the sixteen bytes behind the head do not fit the keys that were sent.
    #[error("the bytes behind the head do not fit the keys")]
    ChallengeWrong,
    /// Client, hybi-04: not exactly one `Sec-WebSocket-Nonce` that is the base64 of 16 bytes.
    #[error("the Sec-WebSocket-Nonce header is missing or malformed")]
    Nonce,
}

impl HandshakeError {
    /// The HTTP status with which a server answers this; `None` if there is no use in answering.
    #[must_use]
    pub const fn status(self) -> Option<u16> {
        Some(match self {
            Self::Head(HeadError::NotHttp) | Self::Eof | Self::Transport | Self::PolicyFile => return None,
            Self::Head(HeadError::TooLarge(_) | HeadError::TooManyLines(_)) => 431,
            Self::Head(HeadError::FirstLineTooLong(_)) => 414,
            Self::Head(HeadError::Version) | Self::HttpVersion => 505,
            Self::Method => 405,
            Self::Version | Self::VersionNeedsBytes => 426,
            Self::Timeout => 408,
            Self::Undecided => 503,
            _ => 400,
        })
    }
}

impl From<AnswerError> for HandshakeError {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::NotOffered => Self::ExtensionNotOffered,
            AnswerError::SeveralAtOnce => Self::ExtensionSeveral,
            AnswerError::Parameter(error) => Self::ExtensionParameter(error),
        }
    }
}

/// An `accept` that was refused; nothing was queued, and the request can still be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// There is no request to accept, or it has been answered already.
    #[error("there is no request to accept")]
    NotReady,
    /// The request does not ask for a WebSocket.
    #[error("the request does not ask for a WebSocket")]
    NotWebSocket,
    /// The subprotocol is not one of those that the client offered (RFC 6455 section 4.2.2).
    #[error("the client did not offer this subprotocol")]
    SubprotocolNotOffered,
    /// The headers of the answer are too many (tens of thousands of names) or a name is too long (65,535 bytes) for the
    /// types of the crate `http`.
    #[error("the headers of the answer are too many or too long")]
    Headers,
    /// There is no randomness for the nonce that a server of hybi-04 sends: see `Accept::nonce`.
    #[error("there is no randomness for the nonce of hybi-04")]
    Entropy,
}

/// A connection was asked of a handshake that is not done, or that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the handshake is not done")]
pub struct NotDone;

/// A list of subprotocols that may not be offered or served (RFC 6455 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SubprotocolError {
    /// A name is empty or no token.
    #[error("a subprotocol name is not a token")]
    Syntax,
    /// A name stands in the list twice.
    #[error("a subprotocol is named more than once")]
    Repeated,
    /// There are more than 128 names.
    #[error("more than 128 subprotocols")]
    TooMany,
}
