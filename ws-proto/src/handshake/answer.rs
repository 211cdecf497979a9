//! Server: the 101 of a request (RFC 6455 section 4.2.2), whoever writes it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::error::AcceptError;
use super::hybi;
use super::reply::{Accept, Choice};
use super::request::{Key, Request, Upgrade};
use super::server::ServerConfig;
#[cfg(feature = "legacy")]
use super::{hixie75, hixie76};
use crate::connection::Negotiated;
use crate::extension::{Agreement, Extensions};

/// The head of the 101, and what it agrees to. In hixie-76 to hybi-03 the sixteen bytes of `hixie76::reply` follow it.
pub(super) fn switch(
    request: &Request,
    accept: &Accept,
    config: &ServerConfig,
) -> Result<(Vec<u8>, Negotiated), AcceptError> {
    let upgrade = request.websocket().ok_or(AcceptError::NotWebSocket)?;
    let mut negotiated = Negotiated::new(upgrade.version);
    negotiated.subprotocol = subprotocol(request, upgrade, accept)?;
    let extra = accept.extra.as_str();
    #[cfg(feature = "legacy")]
    let secure = accept.secure.unwrap_or(config.secure);
    let key = match &upgrade.key {
        Key::Text(key) => &key[..],
        #[cfg(feature = "legacy")]
        Key::Header => hybi::key_text(request),
        #[cfg(feature = "legacy")]
        Key::Numbers(_) => return Ok((hixie76::make_response(request, &negotiated, secure, extra), negotiated)),
        #[cfg(feature = "legacy")]
        Key::None => return Ok((hixie75::make_response(request, &negotiated, secure, extra), negotiated)),
    };
    if upgrade.version.has_extensions() {
        negotiated.extension = agree(accept.extensions.as_ref().unwrap_or(&config.extensions), request);
    }
    let nonce = hybi::nonce(accept, request, &mut negotiated)?;
    Ok((hybi::make_response(key, &negotiated, nonce.as_ref(), extra), negotiated))
}

/// The subprotocol that was decided on, which the client must have offered.
fn subprotocol(request: &Request, upgrade: &Upgrade, accept: &Accept) -> Result<Option<Box<str>>, AcceptError> {
    match &accept.subprotocol {
        Choice::Policy => Ok(upgrade.subprotocol.clone()),
        Choice::None => Ok(None),
        Choice::Named(name) if request.subprotocols().any(|offered| *offered == **name) => Ok(Some(name.clone())),
        Choice::Named(_) => Err(AcceptError::SubprotocolNotOffered),
    }
}

/// The extension that a request and the settings have in common. Nothing is read if there is nothing to agree to.
fn agree(extensions: &Extensions, request: &Request) -> Option<Agreement> {
    if extensions.is_empty() { None } else { extensions.answer(&request.offers()) }
}
