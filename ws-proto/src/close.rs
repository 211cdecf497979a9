//! Close codes, Close frames, and how a connection ended (RFC 6455 section 7).

use alloc::string::String;
use core::fmt;

use crate::error::{CloseError, ProtocolError};
use crate::version::{CloseBody, Role};
use crate::wire::utf8;

/// The longest close reason, in bytes: a control frame holds 125, two of them are the code (RFC 6455 section 5.5.1).
pub const MAX_REASON: usize = 123;

/// A close code (RFC 6455 section 7.4, and the IANA registry).
///
/// ```
/// use ws_proto::CloseCode;
/// assert!(CloseCode::NORMAL.is_sendable());
/// assert!(!CloseCode::NO_STATUS.is_sendable());
/// assert_eq!(CloseCode::from(4000).to_string(), "4000");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server goes down, or the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of data that the endpoint does not take.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: local only: the peer's Close had no code.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: local only: the connection ended without a Close from the peer.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a rule of the endpoint was broken.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// 1010: the client needs an extension that the server did not agree to.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: the server met an unexpected condition.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the service is overloaded, try later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got a bad answer.
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 1015: local only: TLS failed.
    pub const TLS_FAILED: Self = Self(1015);

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether the code may stand in a Close frame: 1000-1003, 1007-1014, 3000-4999.
    ///
    /// The same table holds for what is received and for what may be sent (RFC 6455 section 7.4.2).
    #[must_use]
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

/// The body of a Close frame: a code and a reason (RFC 6455 section 5.5.1).
///
/// A Close frame with an empty body has the code [`CloseCode::NO_STATUS`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CloseFrame {
    code: CloseCode,
    reason: String,
}

impl CloseFrame {
    /// A Close frame without a body.
    pub const EMPTY: Self = Self { code: CloseCode::NO_STATUS, reason: String::new() };

    /// A Close frame with this code and reason (which may be empty).
    ///
    /// # Errors
    /// [`CloseError::Code`] if the code may not be sent (RFC 6455 section 7.4),
    /// [`CloseError::ReasonTooLong`] if the reason has more than [`MAX_REASON`] bytes.
    pub fn new(code: impl Into<CloseCode>, reason: &str) -> Result<Self, CloseError> {
        let code = code.into();
        if !code.is_sendable() {
            return Err(CloseError::Code(code));
        }
        if reason.len() > MAX_REASON {
            return Err(CloseError::ReasonTooLong(reason.len()));
        }
        Ok(Self { code, reason: reason.into() })
    }

    /// The code; [`CloseCode::NO_STATUS`] if the body is empty.
    #[must_use]
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// The reason; often empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// A Close for a failure of the peer; the reason is the error's own fixed text.
    pub(crate) fn for_error(error: &ProtocolError) -> Self {
        Self { code: error.close_code(), reason: String::from(error.reason()) }
    }

    /// A Close with a code from this library's own tables.
    pub(crate) fn fixed(code: CloseCode, reason: &'static str) -> Self {
        Self { code, reason: String::from(reason) }
    }

    /// Judges the first bytes of a body whose length is `total`; complete when `body.len() == total`.
    ///
    /// The verdict comes at the byte that decides it.
    pub(crate) fn check(body: &[u8], total: usize, rules: CloseBody) -> Result<(), ProtocolError> {
        let code_allowed = match rules {
            #[cfg(feature = "legacy")]
            CloseBody::None | CloseBody::Echo | CloseBody::Letter => return Ok(()),
            #[cfg(feature = "legacy")]
            CloseBody::OldCode | CloseBody::AnyCode => |code: CloseCode| (1000..=4999).contains(&code.0),
            CloseBody::Code => |code: CloseCode| code.is_sendable(),
        };
        if total == 1 {
            return Err(ProtocolError::CloseLength);
        }
        let Some((&[hi, lo], reason)) = body.split_first_chunk::<2>() else { return Ok(()) };
        if !code_allowed(CloseCode(u16::from_be_bytes([hi, lo]))) {
            return Err(ProtocolError::CloseCode);
        }
        let mut text = utf8::Utf8::new();
        text.push(reason).map_err(|_| ProtocolError::CloseReason)?;
        if body.len() == total {
            text.finish().map_err(|_| ProtocolError::CloseReason)?;
        }
        Ok(())
    }

    /// Reads a whole body that [`CloseFrame::check`] has passed.
    pub(crate) fn decode(body: &[u8], rules: CloseBody) -> Self {
        match rules {
            #[cfg(feature = "legacy")]
            CloseBody::None | CloseBody::Letter => return Self::EMPTY,
            #[cfg(feature = "legacy")]
            CloseBody::Echo => {
                let reason = core::str::from_utf8(body).map(String::from).unwrap_or_default();
                return Self { code: CloseCode::NO_STATUS, reason };
            }
            #[cfg(feature = "legacy")]
            CloseBody::OldCode | CloseBody::AnyCode => {}
            CloseBody::Code => {}
        }
        match body.split_first_chunk::<2>() {
            None => Self::EMPTY,
            Some((code, reason)) => Self {
                code: CloseCode(u16::from_be_bytes(*code)),
                reason: String::from_utf8_lossy(reason).into_owned(),
            },
        }
    }

    /// The Close that answers this one: the same code (RFC 6455 section 5.5.1), or in the drafts without codes the body.
    ///
    /// Codes that mean the lack of one, which version 8 and older do not forbid, are answered with none.
    pub(crate) fn answer(&self) -> Self {
        match self.code {
            CloseCode::NO_STATUS => self.clone(),
            CloseCode::ABNORMAL | CloseCode::TLS_FAILED => Self::EMPTY,
            code => Self::fixed(code, ""),
        }
    }

    /// What is left of this Close in a version: where there are no codes, only what answers the peer's body is.
    pub(crate) fn into_sent(self, rules: CloseBody) -> Self {
        match rules {
            #[cfg(feature = "legacy")]
            CloseBody::None | CloseBody::Letter => Self::EMPTY,
            #[cfg(feature = "legacy")]
            CloseBody::Echo if self.code != CloseCode::NO_STATUS => Self::EMPTY,
            #[cfg(feature = "legacy")]
            CloseBody::Echo => self,
            #[cfg(feature = "legacy")]
            CloseBody::OldCode if self.code == CloseCode::TOO_BIG => Self { code: CloseCode(1004), ..self },
            // Who passes on what came from a peer of another version may hold a code that this one never sends.
            #[cfg(feature = "legacy")]
            CloseBody::OldCode | CloseBody::AnyCode
                if matches!(self.code, CloseCode::NO_STATUS | CloseCode::ABNORMAL | CloseCode::TLS_FAILED) =>
            {
                Self::EMPTY
            }
            CloseBody::Code if !self.code.is_sendable() => Self::EMPTY,
            _ => self,
        }
    }

    /// Calls `with` on the two parts of the body of [`CloseFrame::into_sent`]; both are empty for an empty Close.
    pub(crate) fn encode<T>(&self, rules: CloseBody, _role: Role, with: impl FnOnce(&[u8], &[u8]) -> T) -> T {
        match rules {
            #[cfg(feature = "legacy")]
            CloseBody::Letter if _role == Role::Client => with(b"C", &[]),
            #[cfg(feature = "legacy")]
            CloseBody::Letter => with(b"S", &[]),
            _ if self.code == CloseCode::NO_STATUS => with(&[], self.reason.as_bytes()),
            _ => with(&self.code.0.to_be_bytes(), self.reason.as_bytes()),
        }
    }
}

impl fmt::Debug for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.reason.chars().take(64).collect();
        write!(f, "CloseFrame({}, {shown:?})", self.code)
    }
}

/// Which side began the closing handshake or ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// This side.
    Local,
    /// The peer, or the transport below.
    Remote,
}

/// Why a connection ended: the first cause, whatever came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// Both Close frames passed (RFC 6455 section 7.1.4).
    #[error("closing handshake")]
    Handshake,
    /// The peer broke the protocol or a limit; a Close with the fitting code was sent.
    #[error("protocol error: {0}")]
    Protocol(#[from] ProtocolError),
    /// The stream ended without a Close from the peer.
    #[error("the stream ended without a Close")]
    Eof,
    /// The transport failed (reset, for example); the adapter has the details.
    #[error("the transport failed")]
    Transport,
    /// The peer did not finish the closing handshake in time.
    #[error("the closing handshake timed out")]
    CloseTimeout,
    /// A keepalive ping was not answered in time, and nothing else arrived.
    #[error("no answer to a ping in time")]
    PongTimeout,
    /// No message passed in either direction for too long.
    #[error("idle for too long")]
    IdleTimeout,
    /// The connection reached its maximum lifetime.
    #[error("maximum lifetime reached")]
    Lifetime,
    /// The transport took no output for too long.
    #[error("the peer stopped reading")]
    WriteStalled,
    /// A message arrived slower than the slowest rate allowed.
    #[error("a message arrived too slowly")]
    TooSlow,
    /// The source of randomness failed, so nothing more can be masked.
    #[error("the source of randomness failed")]
    Entropy,
    /// An extension could not encode a message that was to be sent.
    #[error("a message could not be encoded")]
    Encoding,
    /// This side gave up without a closing handshake.
    #[error("aborted")]
    Aborted,
}

/// How a connection ended. Reported exactly once, after everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The peer's Close, if one arrived.
    pub received: Option<CloseFrame>,
    /// The Close that this side wrote to the transport, if it did; without what the version has no place for.
    pub sent: Option<CloseFrame>,
    /// Who began.
    pub by: Initiator,
    /// The first cause.
    pub cause: Cause,
}

impl Closed {
    /// The status to report (RFC 6455 section 7.1.5): the received code; for a failure that this side found its own
    /// code; 1005 if the peer's Close had no body; 1006 if there was none.
    ///
    /// A peer that answers the Close of hixie-76 with the end of the stream, as some do, counts as one whose Close had
    /// no body. In versions 6 and 7 a message that is too big has the code 1004.
    #[must_use]
    pub fn code(&self) -> CloseCode {
        match (&self.received, self.cause) {
            (Some(frame), _) => frame.code,
            (None, Cause::Protocol(error)) => error.close_code(),
            (None, Cause::TooSlow) => CloseCode::POLICY,
            (None, Cause::Handshake) => CloseCode::NO_STATUS,
            (None, _) => CloseCode::ABNORMAL,
        }
    }

    /// The peer's reason (RFC 6455 section 7.1.6); empty if there was none.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.received.as_ref().map_or("", CloseFrame::reason)
    }

    /// Whether both Close frames passed before the transport ended (RFC 6455 section 7.1.4), or as much of that as the
    /// version has.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.cause == Cause::Handshake
            || self.received.is_some() && self.sent.is_some() && !matches!(self.cause, Cause::Protocol(_))
    }
}
