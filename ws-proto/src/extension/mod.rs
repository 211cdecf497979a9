//! Extensions (RFC 6455 section 9): how one is agreed on, and what it does to payloads.
//!
//! An extension is three things, each a trait:
//!
//! - [`Negotiate`]: what an end offers, answers and accepts. It sits in the settings of the handshake, in an
//!   [`Extensions`] list, and makes an [`Agreement`].
//! - [`Codec`]: what was agreed, with its parameters. It travels in [`Negotiated`](crate::Negotiated) and makes, for each
//!   connection, one of each of the next two.
//! - [`Decoder`] and [`Encoder`]: the transform of the payloads that arrive and that are sent.
//!
//! At most one extension is in use on a connection. `permessage-deflate` (feature `deflate`) is written with nothing but
//! what is here; so can be one of your own:
//!
//! ```
//! use ws_proto::connection::Event;
//! use ws_proto::extension::*;
//! use ws_proto::{Config, Connection, Input, Instant, Negotiated, NoEntropy, ProtocolError, Role, Version};
//!
//! /// Every byte of an encoded message is XORed with 0x20; RSV2 marks such a message.
//! #[derive(Debug)]
//! struct Swap;
//!
//! impl Codec for Swap {
//!     fn reserved_bits(&self) -> u8 { RSV2 }
//!     fn decoder(&self, _: Role) -> Box<dyn Decoder> { Box::new(Swap) }
//!     fn encoder(&self, _: Role) -> Box<dyn Encoder> { Box::new(Swap) }
//! }
//!
//! impl Decoder for Swap {
//!     fn decode(&mut self, input: &[u8], _end: bool, out: &mut Sink<'_>) -> Result<Decoded, ProtocolError> {
//!         let used = input.len().min(out.room());
//!         let bytes: Vec<u8> = input[..used].iter().map(|b| b ^ 0x20).collect();
//!         out.write(&bytes)?;
//!         Ok(Decoded { used, done: used == input.len() })
//!     }
//! }
//!
//! impl Encoder for Swap {
//!     fn begin(&mut self, _: &Outgoing) -> Option<u8> { Some(RSV2) }
//!     fn encode(&mut self, piece: &[u8], _end: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
//!         out.extend(piece.iter().map(|b| b ^ 0x20));
//!         Ok(())
//!     }
//! }
//!
//! let agreed = Negotiated::new(Version::Rfc6455).with_extension(Agreement::new(Extension::new("x-swap"), Swap));
//! let now = Instant::ZERO;
//! let mut conn = Connection::from_upgraded(Role::Server, agreed, Config::default(), Box::new(NoEntropy));
//! conn.send("Hello")?;
//! assert_eq!(conn.outgoing().next().unwrap(), b"\xa1\x05hELLO");
//! # let mut bytes = *b"\xa1\x85\0\0\0\0hELLO";
//! # let Some(Event::Text(text)) = conn.poll(now, &mut Input::new(&mut bytes)) else { panic!() };
//! # assert_eq!(text, "Hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod header;
mod sink;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

pub use header::{Extension, Malformed};
pub use sink::Sink;

use crate::error::ProtocolError;
use crate::message::Kind;
use crate::version::Role;

/// The first reserved bit, as [`Codec::reserved_bits`] counts them.
pub const RSV1: u8 = 4;
/// The second reserved bit.
pub const RSV2: u8 = 2;
/// The third reserved bit.
pub const RSV3: u8 = 1;

/// Negotiates one extension; shared by all connections of a client or server.
pub trait Negotiate: fmt::Debug + Send + Sync {
    /// Client: what to offer, the preferred alternative first. Names and values must be tokens.
    fn offers(&self) -> Vec<Extension>;

    /// Client: judges what the server agreed to. Called for the names that [`Negotiate::offers`] gives.
    ///
    /// # Errors
    /// What is wrong with it; the handshake then fails.
    fn accept_answer(&self, answer: &Extension) -> Result<Agreement, ParameterError>;

    /// Server: what to answer to one offer; `None` if it is not for this extension.
    ///
    /// # Errors
    /// Why it is declined. Then the next offer is looked at; the handshake goes on.
    fn answer(&self, offer: &Extension) -> Option<Result<Agreement, ParameterError>>;
}

/// A parameter of an extension that can't be agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// A parameter that the extension does not have.
    #[error("an unknown parameter")]
    Unknown,
    /// The same parameter twice.
    #[error("a parameter is given twice")]
    Repeated,
    /// A parameter without the value it must have.
    #[error("a parameter without its value")]
    ValueMissing,
    /// A value where none is allowed.
    #[error("a value for a parameter that has none")]
    ValueNotAllowed,
    /// A value that is no number in range, or not written as one should be.
    #[error("a value out of range")]
    Value,
    /// Client: the server answered with a parameter that needs to be offered and was not.
    #[error("a parameter that was not offered")]
    NotOffered,
    /// Client: the server did not agree to what it was asked for.
    #[error("a demand that the server does not meet")]
    NotHonoured,
    /// The parameter can't be met with the settings of this side.
    #[error("a demand that the settings do not allow")]
    Unacceptable,
}

/// Extensions that a client offers or a server accepts, the preferred one first. Empty by default.
///
/// ```
/// # #[cfg(feature = "deflate")] {
/// use ws_proto::deflate::Deflate;
/// use ws_proto::extension::Extensions;
/// let mut extensions = Extensions::none();
/// extensions.add(Deflate::default());
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Extensions(Vec<Arc<dyn Negotiate>>);

impl Extensions {
    /// No extension.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Adds one, to be preferred less than those that are there.
    pub fn add(&mut self, extension: impl Negotiate + 'static) {
        self.0.push(Arc::new(extension));
    }

    /// The list with one more.
    #[must_use]
    pub fn with(mut self, extension: impl Negotiate + 'static) -> Self {
        self.add(extension);
        self
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Client: everything to offer, in order.
    #[must_use]
    pub fn offers(&self) -> Vec<Extension> {
        self.0.iter().flat_map(|one| one.offers()).filter(Extension::is_valid).collect()
    }

    /// Server: the first extension of this list that can answer an offer, with the first offer it can answer
    /// (RFC 7692 section 5.1). `None` if no offer is of use: the connection then goes without.
    #[must_use]
    pub fn answer(&self, offers: &[Extension]) -> Option<Agreement> {
        let answer =
            |one: &Arc<dyn Negotiate>, offer| one.answer(offer)?.ok().filter(|made| made.extension().is_valid());
        self.0.iter().find_map(|one| offers.iter().find_map(|offer| answer(one, offer)))
    }

    /// Client: judges what the server agreed to (RFC 6455 section 9.1).
    ///
    /// # Errors
    /// [`AnswerError`]; the handshake fails with it.
    pub fn accept_answer(&self, answers: &[Extension]) -> Result<Option<Agreement>, AnswerError> {
        // The same extension may stand there twice, with other settings: any of them may take the answer.
        let candidates = |answer: &Extension| {
            let name = answer.name.clone();
            self.0.iter().filter(move |one| one.offers().iter().any(|offer| offer.name == name))
        };
        match answers {
            [] => Ok(None),
            [answer] => {
                let mut refusal = AnswerError::NotOffered;
                for one in candidates(answer) {
                    match one.accept_answer(answer) {
                        Ok(agreement) => return Ok(Some(agreement)),
                        Err(_) if refusal != AnswerError::NotOffered => {}
                        Err(error) => refusal = AnswerError::Parameter(error),
                    }
                }
                Err(refusal)
            }
            [answer, ..] if candidates(answer).next().is_none() => Err(AnswerError::NotOffered),
            _ => Err(AnswerError::SeveralAtOnce),
        }
    }
}

impl PartialEq for Extensions {
    /// Whether they are clones of one list.
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

impl Eq for Extensions {}

/// What is wrong with the extensions that a server agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// It was not offered.
    #[error("an extension that was not offered")]
    NotOffered,
    /// More than one at a time.
    #[error("more than one extension at a time")]
    SeveralAtOnce,
    /// A parameter is wrong.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
}

/// An extension that both ends agreed on: how it stands in the answer of the server, and what it does.
#[derive(Clone)]
pub struct Agreement(Arc<Agreed>);

struct Agreed {
    extension: Extension,
    codec: Box<dyn Codec>,
}

impl Agreement {
    /// `extension` is what the server answers.
    #[must_use]
    pub fn new(extension: Extension, codec: impl Codec + 'static) -> Self {
        Self(Arc::new(Agreed { extension, codec: Box::new(codec) }))
    }

    /// The extension with its parameters, as the server answered.
    #[must_use]
    pub fn extension(&self) -> &Extension {
        &self.0.extension
    }

    /// What it does to payloads.
    #[must_use]
    pub fn codec(&self) -> &dyn Codec {
        &*self.0.codec
    }
}

impl PartialEq for Agreement {
    /// By name and parameters.
    fn eq(&self, other: &Self) -> bool {
        self.0.extension == other.0.extension
    }
}

impl Eq for Agreement {}

impl fmt::Debug for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Agreement").field(&format_args!("{}", self.extension())).finish()
    }
}

/// What the payload of a transform is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A whole message: the reserved bits of its first frame tell, and continuation frames must have none.
    #[default]
    Message,
    /// Each frame by itself: the reserved bits of each data frame tell.
    Frame,
}

/// An extension with the parameters that were agreed.
pub trait Codec: fmt::Debug + Send + Sync {
    /// The reserved bits that it gives a meaning to: [`RSV1`], [`RSV2`], [`RSV3`] or a sum of them. Never 0, since an
    /// encoded message must be told from others.
    fn reserved_bits(&self) -> u8;

    /// What is encoded at a time. Default: a message.
    fn scope(&self) -> Scope {
        Scope::Message
    }

    /// The transform of what arrives at an end of this role. Called once for each connection.
    fn decoder(&self, role: Role) -> Box<dyn Decoder>;

    /// The transform of what is sent by an end of this role. Called once for each connection.
    fn encoder(&self, role: Role) -> Box<dyn Encoder>;
}

/// How far [`Decoder::decode`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that were used up.
    pub used: usize,
    /// All input was used, all that follows from it was written, and, with `end`, the message was found complete.
    /// False if the sink has no room: the caller comes back with the rest of the input, be it empty, and the same `end`.
    pub done: bool,
}

/// The transform of what arrives.
pub trait Decoder: fmt::Debug + Send {
    /// A message (in [`Scope::Frame`], a data frame) begins that has some of the claimed reserved bits: these. Messages
    /// with none of them are taken as they are, and the decoder does not hear of them. Default: fine.
    ///
    /// # Errors
    /// [`ProtocolError::ReservedBits`] if the bits make no sense together.
    fn begin(&mut self, _reserved: u8) -> Result<(), ProtocolError> {
        Ok(())
    }

    /// Decodes unmasked payload, in pieces as they arrive. `end`: the input ends the message (the frame).
    ///
    /// What is written must not depend on how the input is cut into pieces. That goes for faults as well: what
    /// precedes one is written before it is reported.
    ///
    /// # Errors
    /// What the sink says, or [`ProtocolError::InvalidCompression`]. The connection then fails.
    fn decode(&mut self, input: &[u8], end: bool, out: &mut Sink<'_>) -> Result<Decoded, ProtocolError>;
}

/// A message that is about to be sent.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Outgoing {
    /// Text or binary.
    pub kind: Kind,
    /// Its length, if known: not for a message sent in pieces.
    pub len: Option<usize>,
    /// What the program wants, if it said so; see [`IntoMessage::compress`](crate::IntoMessage::compress).
    pub compress: Option<bool>,
}

/// A message could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message could not be encoded")]
pub struct EncodeError;

/// The transform of what is sent.
pub trait Encoder: fmt::Debug + Send {
    /// A message is to be sent (in [`Scope::Frame`], a data frame): the reserved bits to mark it with, or `None` if it goes
    /// out as it is, and [`Encoder::encode`] is not called. A message that
    /// [`Config::auto_fragment`](crate::Config::auto_fragment) cuts into frames is asked about as a whole.
    fn begin(&mut self, message: &Outgoing) -> Option<u8>;

    /// Encodes a piece of a message and appends it to `out`. All of the piece must come out, so that the peer can decode
    /// it before the next. `end`: the piece is the last of the message (of the frame).
    ///
    /// # Errors
    /// [`EncodeError`]: the connection then fails, since nobody knows how much the peer could decode.
    fn encode(&mut self, piece: &[u8], end: bool, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Which encoding a [`Prepared`](crate::connection::Prepared) message has here, if a message can be encoded without
    /// regard to earlier ones: a name for the algorithm, and its parameters. Encoders with equal values must give the
    /// same bytes. Default: none, and prepared messages are encoded like others.
    fn standalone(&self) -> Option<(&'static str, u64)> {
        None
    }

    /// Encodes a message without regard to earlier ones, and as if none followed. Called only if
    /// [`Encoder::standalone`] gives something.
    ///
    /// # Errors
    /// [`EncodeError`]; nothing was sent.
    fn encode_standalone(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode(message, true, out)
    }

    /// A message that was encoded by itself goes out here: what follows must not refer to anything before it.
    fn standalone_sent(&mut self) {}

    /// If it holds memory that it could do without: for how long nothing must have been sent before
    /// [`Encoder::release`] is called. Default: never.
    fn idle_after(&self) -> Option<Duration> {
        None
    }

    /// Gives memory back; what follows must still be decodable.
    fn release(&mut self) {}
}
