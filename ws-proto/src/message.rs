//! Payloads and messages: lent from the caller's buffer, or owned.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use bytes::Bytes;

use crate::wire::utf8::Utf8Error;
use crate::wire::utf8::is_utf8;

/// Whether a message is text or binary (RFC 6455 section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

/// The bytes of a message: lent when it lay whole in the input, owned when it was assembled.
pub struct Payload<'i>(Repr<'i>);

enum Repr<'i> {
    Lent(&'i [u8]),
    Owned(Vec<u8>),
}

impl<'i> Payload<'i> {
    #[inline]
    pub(crate) fn lent(bytes: &'i [u8]) -> Self {
        Self(Repr::Lent(bytes))
    }

    pub(crate) fn owned(bytes: Vec<u8>) -> Self {
        Self(Repr::Owned(bytes))
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Lent(bytes) => bytes,
            Repr::Owned(bytes) => bytes,
        }
    }

    /// Whether the bytes still lie in the caller's buffer, so that keeping them takes a copy.
    #[must_use]
    pub fn is_lent(&self) -> bool {
        matches!(self.0, Repr::Lent(_))
    }

    /// The bytes as a vector of their own; copies only what was lent.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        match self.0 {
            Repr::Lent(bytes) => bytes.to_vec(),
            Repr::Owned(bytes) => bytes,
        }
    }

    /// The bytes as [`Bytes`]; copies only what was lent.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Repr::Lent(bytes) => Bytes::copy_from_slice(bytes),
            Repr::Owned(bytes) => Bytes::from(bytes),
        }
    }

    /// The same payload, free of the input.
    #[must_use]
    pub fn into_owned(self) -> Payload<'static> {
        Payload::owned(self.into_vec())
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Payload<'_> {}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::dump::bytes(f, self)
    }
}

/// The text of a message, known to be UTF-8.
///
/// The check was done while the text was unmasked, so [`Text::as_bytes`] is free; [`Text::as_str`] looks once
/// more (at tens of gigabytes a second), because only that makes a `str` without `unsafe` code.
#[derive(PartialEq, Eq)]
pub struct Text<'i>(Payload<'i>);

impl<'i> Text<'i> {
    /// `payload` has been checked.
    #[inline]
    pub(crate) fn checked(payload: Payload<'i>) -> Self {
        Self(payload)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        as_str(&self.0)
    }

    /// The text as bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Whether the text still lies in the caller's buffer, so that keeping it takes a copy.
    #[must_use]
    pub fn is_lent(&self) -> bool {
        self.0.is_lent()
    }

    /// The text as an owned, cheaply clonable string; copies only what was lent.
    #[must_use]
    pub fn into_utf8_bytes(self) -> Utf8Bytes {
        Utf8Bytes(self.0.into_bytes())
    }

    /// The text as a `String`; copies only what was lent.
    #[must_use]
    pub fn into_string(self) -> String {
        String::from_utf8(self.0.into_vec()).unwrap_or_default()
    }

    /// The bytes of the text as a payload.
    #[must_use]
    pub fn into_payload(self) -> Payload<'i> {
        self.0
    }

    /// The same text, free of the input.
    #[must_use]
    pub fn into_owned(self) -> Text<'static> {
        Text(self.0.into_owned())
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::dump::text(f, self.as_bytes())
    }
}

/// Bytes that are known to be UTF-8; clones share them.
///
/// ```
/// use ws_proto::Utf8Bytes;
/// let text = Utf8Bytes::from("Hello");
/// assert_eq!(text.as_str(), "Hello");
/// assert!(Utf8Bytes::try_from(bytes::Bytes::from_static(b"\xff")).is_err());
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Utf8Bytes(Bytes);

impl Utf8Bytes {
    /// A text that lives as long as the program; never copied.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// The text; see [`Text::as_str`] about its cost.
    #[must_use]
    pub fn as_str(&self) -> &str {
        as_str(&self.0)
    }

    /// The text as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text as shared bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Deref for Utf8Bytes {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Utf8Bytes {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl TryFrom<Bytes> for Utf8Bytes {
    type Error = Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Utf8Error> {
        if is_utf8(&bytes) { Ok(Self(bytes)) } else { Err(Utf8Error) }
    }
}

impl TryFrom<Vec<u8>> for Utf8Bytes {
    type Error = Utf8Error;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Utf8Error> {
        Self::try_from(Bytes::from(bytes))
    }
}

impl PartialEq<str> for Utf8Bytes {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Utf8Bytes {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::dump::text(f, &self.0)
    }
}

/// A whole message that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// UTF-8 text.
    Text(Utf8Bytes),
    /// Any bytes.
    Binary(Bytes),
}

impl Message {
    /// A text message.
    pub fn text(text: impl Into<Utf8Bytes>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// Text or binary.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Binary(_) => Kind::Binary,
        }
    }

    /// The bytes of either kind.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The text, if this is a text message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            Self::Binary(_) => None,
        }
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Utf8Bytes> for Message {
    fn from(text: Utf8Bytes) -> Self {
        Self::Text(text)
    }
}

impl From<Text<'_>> for Message {
    fn from(text: Text<'_>) -> Self {
        Self::Text(text.into_utf8_bytes())
    }
}

impl From<Payload<'_>> for Message {
    fn from(payload: Payload<'_>) -> Self {
        Self::Binary(payload.into_bytes())
    }
}

/// Bytes that have been checked before, as a `str`.
fn as_str(checked: &[u8]) -> &str {
    simdutf8::basic::from_utf8(checked).unwrap_or_default()
}

/// Anything that can be sent as one message.
///
/// Text types are sent as text, byte types as binary.
pub trait IntoMessage: Sized + sealed::Sealed {
    /// Text or binary.
    fn kind(&self) -> Kind;
    /// The bytes to send; UTF-8 for [`Kind::Text`].
    fn bytes(&self) -> &[u8];
    /// The bytes as a shareable value; a large one is then queued whole.
    ///
    /// # Errors
    /// Gives the message back if sharing it would take a copy.
    fn into_shared(self) -> Result<Bytes, Self>;

    /// Whether to compress it, if the sender said so with [`IntoMessage::compress`].
    fn compression(&self) -> Option<bool> {
        None
    }

    /// Compress this message, or don't, where compression was agreed (RFC 7692 section 6). Without this the settings
    /// of the extension decide, by length.
    ///
    /// A message that is not compressed leaves no trace in the compressor: use this for secrets, if text that an
    /// attacker chooses is sent on the same connection.
    ///
    /// ```
    /// use ws_proto::IntoMessage;
    /// let message = "token: 8d2f".compress(false);
    /// assert_eq!(message.compression(), Some(false));
    /// ```
    fn compress(self, yes: bool) -> Compress<Self> {
        Compress { message: self, yes }
    }
}

/// A message, and whether to compress it; made by [`IntoMessage::compress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compress<M> {
    message: M,
    yes: bool,
}

impl<M> Compress<M> {
    /// The message.
    pub fn into_inner(self) -> M {
        self.message
    }
}

impl<M: IntoMessage> sealed::Sealed for Compress<M> {}

impl<M: IntoMessage> IntoMessage for Compress<M> {
    fn kind(&self) -> Kind {
        self.message.kind()
    }

    fn bytes(&self) -> &[u8] {
        self.message.bytes()
    }

    fn into_shared(self) -> Result<Bytes, Self> {
        let yes = self.yes;
        self.message.into_shared().map_err(|message| Self { message, yes })
    }

    fn compression(&self) -> Option<bool> {
        Some(self.yes)
    }
}

/// Only types that are known to hold UTF-8 may claim to be text.
mod sealed {
    pub trait Sealed {}
}

macro_rules! into_message {
    ($($type:ty, $kind:expr, $self:ident => $bytes:expr, $shared:expr;)*) => {$(
        impl sealed::Sealed for $type {}
        impl IntoMessage for $type {
            #[inline]
            fn kind(&self) -> Kind {
                let $self = self;
                let _ = $self;
                $kind
            }
            #[inline]
            fn bytes(&self) -> &[u8] {
                let $self = self;
                $bytes
            }
            #[inline]
            fn into_shared(self) -> Result<Bytes, Self> {
                let $self = self;
                $shared
            }
        }
    )*};
}

into_message! {
    &str, Kind::Text, m => m.as_bytes(), Err(m);
    &String, Kind::Text, m => m.as_bytes(), Err(m);
    String, Kind::Text, m => m.as_bytes(), Ok(Bytes::from(m));
    Utf8Bytes, Kind::Text, m => m.as_bytes(), Ok(m.0);
    &Utf8Bytes, Kind::Text, m => m.as_bytes(), Ok(m.0.clone());
    Text<'_>, Kind::Text, m => m.as_bytes(), m.0.into_shared().map_err(Text);
    &Text<'_>, Kind::Text, m => m.as_bytes(), Err(m);
    &[u8], Kind::Binary, m => m, Err(m);
    Vec<u8>, Kind::Binary, m => m, Ok(Bytes::from(m));
    &Vec<u8>, Kind::Binary, m => m, Err(m);
    Bytes, Kind::Binary, m => m, Ok(m);
    &Bytes, Kind::Binary, m => m, Ok(m.clone());
    Payload<'_>, Kind::Binary, m => m, match m.0 {
        Repr::Owned(bytes) => Ok(Bytes::from(bytes)),
        lent @ Repr::Lent(_) => Err(Self(lent)),
    };
    &Payload<'_>, Kind::Binary, m => m, Err(m);
    Message, m.kind(), m => m.as_bytes(), match m {
        Self::Text(text) => Ok(text.0),
        Self::Binary(bytes) => Ok(bytes),
    };
    &Message, (*m).kind(), m => m.as_bytes(), m.clone().into_shared().map_err(|_| m);
}

impl<const N: usize> sealed::Sealed for &[u8; N] {}

impl<const N: usize> IntoMessage for &[u8; N] {
    fn kind(&self) -> Kind {
        Kind::Binary
    }

    fn bytes(&self) -> &[u8] {
        *self
    }

    fn into_shared(self) -> Result<Bytes, Self> {
        Err(self)
    }
}

impl From<&Text<'_>> for String {
    fn from(text: &Text<'_>) -> Self {
        text.as_str().to_string()
    }
}
