//! Choosing a subprotocol (RFC 6455 sections 1.9 and 4.2.2).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::error::{HandshakeError, SubprotocolError};
use super::request::Request;
use crate::http::Headers;
use crate::http::syntax;

/// How many names one side may offer. More would only make comparing them slow.
pub(crate) const MAX_NAMES: usize = 128;

/// How a server chooses a subprotocol from those that the client offers.
///
/// Without one ([`SubprotocolPolicy::none`], the default) none is chosen, unless the application does it
/// in [`Accept::subprotocol`](super::Accept::subprotocol).
///
/// ```
/// use ws_proto::handshake::SubprotocolPolicy;
/// let policy = SubprotocolPolicy::client_order(["chat", "superchat"])?.required();
/// # Ok::<(), ws_proto::handshake::SubprotocolError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubprotocolPolicy {
    names: Vec<Box<str>>,
    server_order: bool,
    required: bool,
}

impl SubprotocolPolicy {
    /// Choose none.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The first one that the client offers and this list has.
    ///
    /// # Errors
    /// [`SubprotocolError`] if a name is no token, or stands there twice.
    pub fn client_order(names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, SubprotocolError> {
        Ok(Self { names: checked(names)?, ..Self::default() })
    }

    /// The first one of this list that the client offers.
    ///
    /// # Errors
    /// As [`SubprotocolPolicy::client_order`].
    pub fn server_order(names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, SubprotocolError> {
        Ok(Self { names: checked(names)?, server_order: true, required: false })
    }

    /// Refuse clients that offer none of the list, with 400. Default: accept them without a subprotocol.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// What this policy chooses for a request, in place of the one in `ServerConfig::subprotocols`: for
    /// [`Accept::subprotocol`](super::Accept::subprotocol), where it depends on the path, for example.
    ///
    /// # Errors
    /// [`HandshakeError::SubprotocolRequired`].
    pub fn choose_for(&self, request: &Request) -> Result<Option<Box<str>>, HandshakeError> {
        self.pick(&request.subprotocols().collect::<Vec<_>>())
    }

    /// Judges the one name that clients may offer up to hybi-03.
    #[cfg(feature = "legacy")]
    pub(super) fn choose_one(&self, offered: Option<&str>) -> Result<Option<Box<str>>, HandshakeError> {
        self.pick(offered.as_slice())
    }

    /// Checks what the request offers, if it offers `any`, and chooses.
    pub(super) fn choose(&self, headers: &Headers, any: bool) -> Result<Option<Box<str>>, HandshakeError> {
        if !any {
            return self.pick(&[]);
        }
        let mut offered: [&str; MAX_NAMES] = [""; MAX_NAMES];
        self.pick(read_offer(headers, &mut offered)?)
    }

    fn pick(&self, offered: &[&str]) -> Result<Option<Box<str>>, HandshakeError> {
        let chosen = if self.server_order {
            self.names.iter().find(|name| offered.contains(&&***name)).map(|name| &**name)
        } else {
            offered.iter().find(|name| self.names.iter().any(|n| **n == ***name)).copied()
        };
        if chosen.is_none() && self.required {
            return Err(HandshakeError::SubprotocolRequired);
        }
        Ok(chosen.map(Into::into))
    }
}

/// The offered names; all lines are one list (RFC 6455 section 11.3.4).
pub(super) fn offered<'h>(headers: &'h Headers, name: &str) -> impl Iterator<Item = &'h str> {
    headers.tokens(name).filter_map(|name| core::str::from_utf8(name).ok())
}

fn read_offer<'o, 'h>(
    headers: &'h Headers,
    out: &'o mut [&'h str; MAX_NAMES],
) -> Result<&'o [&'h str], HandshakeError> {
    let mut count = 0;
    for line in headers.get_all("sec-websocket-protocol") {
        for name in line.split(|b| *b == b',').map(syntax::trim) {
            if !syntax::is_token(name) {
                return Err(HandshakeError::SubprotocolSyntax);
            }
            let name = core::str::from_utf8(name).map_err(|_| HandshakeError::SubprotocolSyntax)?;
            if out.iter().take(count).any(|n| *n == name) {
                return Err(HandshakeError::SubprotocolRepeated);
            }
            *out.get_mut(count).ok_or(HandshakeError::SubprotocolTooMany)? = name;
            count += 1;
        }
    }
    Ok(out.get(..count).unwrap_or_default())
}

/// Names that this side may offer or serve.
pub(super) fn checked(names: impl IntoIterator<Item = impl Into<String>>) -> Result<Vec<Box<str>>, SubprotocolError> {
    let mut list: Vec<Box<str>> = Vec::new();
    for name in names {
        let name: String = name.into();
        if !syntax::is_token(name.as_bytes()) {
            return Err(SubprotocolError::Syntax);
        }
        if list.iter().any(|n| **n == *name) {
            return Err(SubprotocolError::Repeated);
        }
        if list.len() == MAX_NAMES {
            return Err(SubprotocolError::TooMany);
        }
        list.push(name.into());
    }
    Ok(list)
}
