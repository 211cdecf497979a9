//! What is offered, answered and accepted: RFC 7692 section 7.1, and the drafts of per-frame compression before it.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::{Agreed, Deflate, Direction};
use crate::extension::{Agreement, Extension, Negotiate, ParameterError, Scope};

const NAME: &str = "permessage-deflate";
const SERVER_NO_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// The names under which per-frame compression was offered.
const FRAME_NAMES: [&str; 2] = ["x-webkit-deflate-frame", "deflate-frame"];
const FRAME_BITS: &str = "max_window_bits";
const FRAME_NO_TAKEOVER: &str = "no_context_takeover";

/// What a window parameter that is not there means (RFC 7692 section 7.1.2).
const MOST_BITS: u8 = 15;
const LEAST_BITS: u8 = 8;

/// The two places where parameters stand. The rules differ in one point.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Offer,
    Answer,
}

/// The parameters of `permessage-deflate` as they were read.
#[derive(Default)]
struct Params {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<u8>,
    /// In an offer the value may be left out, which means 15: any limit will do.
    client_bits: Option<u8>,
}

impl Params {
    /// Reads them, with the rules that hold for each by itself (RFC 7692 sections 7.1.1 and 7.1.2).
    fn read(extension: &Extension, place: Place) -> Result<Self, ParameterError> {
        let mut params = Self::default();
        for (name, value) in &extension.params {
            let value = value.as_deref();
            match &**name {
                SERVER_NO_TAKEOVER => flag(&mut params.server_no_takeover, value)?,
                CLIENT_NO_TAKEOVER => flag(&mut params.client_no_takeover, value)?,
                SERVER_BITS => bits(&mut params.server_bits, value)?,
                CLIENT_BITS if place == Place::Offer => bits(&mut params.client_bits, value.or(Some("15")))?,
                CLIENT_BITS => bits(&mut params.client_bits, value)?,
                _ => return Err(ParameterError::Unknown),
            }
        }
        Ok(params)
    }
}

/// A parameter without a value.
fn flag(to: &mut bool, value: Option<&str>) -> Result<(), ParameterError> {
    match value {
        _ if *to => Err(ParameterError::Repeated),
        Some(_) => Err(ParameterError::ValueNotAllowed),
        None => {
            *to = true;
            Ok(())
        }
    }
}

/// A parameter with the bits of a window: 8 to 15, without leading zeros.
fn bits(to: &mut Option<u8>, value: Option<&str>) -> Result<(), ParameterError> {
    if to.is_some() {
        return Err(ParameterError::Repeated);
    }
    *to = match value.ok_or(ParameterError::ValueMissing)?.as_bytes() {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => return Err(ParameterError::Value),
    };
    Ok(())
}

/// The same extension with one more parameter, if there is reason for it.
fn with_flag(extension: Extension, name: &str, reason: bool) -> Extension {
    if reason { extension.with(name, None) } else { extension }
}

/// As [`with_flag`], for the bits of a window.
fn with_bits(extension: Extension, name: &str, bits: u8, reason: bool) -> Extension {
    if reason { extension.with(name, Some(&bits.to_string())) } else { extension }
}

impl Deflate {
    /// The settings with each number in its range.
    fn in_range(self) -> Self {
        Self {
            send_window_bits: self.send_window_bits.clamp(LEAST_BITS, MOST_BITS),
            receive_window_bits: self.receive_window_bits.clamp(LEAST_BITS, MOST_BITS),
            level: self.level.min(9),
            memory_level: self.memory_level.clamp(1, 9),
            ..self
        }
    }

    /// Server: what an offer leads to.
    fn agree(self, offer: &Extension) -> Result<Agreement, ParameterError> {
        let own = self.in_range();
        let asked = Params::read(offer, Place::Offer)?;
        let server = Direction {
            window_bits: own.send_window_bits.min(asked.server_bits.unwrap_or(MOST_BITS)),
            takeover: own.send_takeover && !asked.server_no_takeover,
        };
        let client = Direction {
            window_bits: match asked.client_bits {
                Some(bits) => own.receive_window_bits.min(bits),
                // Section 7.1.2.2: a client that does not offer the parameter can't be told to limit its window.
                None if own.receive_window_bits < MOST_BITS => return Err(ParameterError::Unacceptable),
                None => MOST_BITS,
            },
            takeover: own.receive_takeover && !asked.client_no_takeover,
        };
        // Nothing is said that need not be: the client of websocket-sharp takes no answer with a window in it.
        let answer = Extension::new(NAME);
        let answer = with_flag(answer, SERVER_NO_TAKEOVER, !server.takeover);
        let answer = with_flag(answer, CLIENT_NO_TAKEOVER, !client.takeover);
        let limited = asked.server_bits.is_some() || server.window_bits < MOST_BITS;
        let answer = with_bits(answer, SERVER_BITS, server.window_bits, limited);
        let answer = with_bits(answer, CLIENT_BITS, client.window_bits, client.window_bits < MOST_BITS);
        Ok(Agreement::new(answer, Agreed { server, client, scope: Scope::Message, settings: own }))
    }

    /// Client: the one offer.
    fn offer(self) -> Extension {
        let own = self.in_range();
        let offer = Extension::new(NAME);
        let offer = with_flag(offer, SERVER_NO_TAKEOVER, !own.receive_takeover);
        let offer = with_flag(offer, CLIENT_NO_TAKEOVER, !own.send_takeover);
        let limited = own.receive_window_bits < MOST_BITS;
        let offer = with_bits(offer, SERVER_BITS, own.receive_window_bits, limited);
        // Always there, so that a server may limit this side. Browsers send it without a value.
        if own.send_window_bits < MOST_BITS {
            with_bits(offer, CLIENT_BITS, own.send_window_bits, true)
        } else {
            with_flag(offer, CLIENT_BITS, true)
        }
    }

    /// Client: what an answer to [`Deflate::offer`] leads to.
    fn judge(self, answer: &Extension) -> Result<Agreed, ParameterError> {
        if *answer.name != *NAME {
            return Err(ParameterError::NotOffered);
        }
        let own = self.in_range();
        let said = Params::read(answer, Place::Answer)?;
        // Sections 7.1.1.1 and 7.1.2.1: a server accepts a demand by repeating it.
        let most = own.receive_window_bits;
        if !own.receive_takeover && !said.server_no_takeover
            || most < MOST_BITS && said.server_bits.is_none_or(|bits| bits > most)
        {
            return Err(ParameterError::NotHonoured);
        }
        Ok(Agreed {
            server: Direction {
                window_bits: said.server_bits.unwrap_or(MOST_BITS),
                takeover: !said.server_no_takeover,
            },
            client: Direction {
                window_bits: own.send_window_bits.min(said.client_bits.unwrap_or(MOST_BITS)),
                takeover: own.send_takeover && !said.client_no_takeover,
            },
            scope: Scope::Message,
            settings: own,
        })
    }
}

/// `permessage-deflate` (RFC 7692 section 7.1).
impl Negotiate for Deflate {
    /// One offer: `permessage-deflate; client_max_window_bits`, as browsers send it, and what the settings demand.
    fn offers(&self) -> Vec<Extension> {
        vec![self.offer()]
    }

    fn accept_answer(&self, answer: &Extension) -> Result<Agreement, ParameterError> {
        self.judge(answer).map(|agreed| Agreement::new(answer.clone(), agreed))
    }

    fn answer(&self, offer: &Extension) -> Option<Result<Agreement, ParameterError>> {
        (*offer.name == *NAME).then(|| self.agree(offer))
    }
}

/// `deflate-frame` and `x-webkit-deflate-frame`, for servers: compression from before RFC 7692, in which each frame is
/// compressed by itself. Old versions of Safari offer nothing else. As a client it offers nothing.
///
/// Add it behind [`Deflate`], which then has precedence with clients that offer both.
///
/// ```
/// use ws_proto::deflate::{Deflate, DeflateFrame};
/// use ws_proto::extension::{Extension, Extensions};
/// let settings = Deflate::default();
/// let extensions = Extensions::none().with(settings).with(DeflateFrame::new(settings));
/// let agreement = extensions.answer(&[Extension::new("x-webkit-deflate-frame")]).unwrap();
/// assert_eq!(agreement.extension().to_string(), "x-webkit-deflate-frame");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeflateFrame(Deflate);

impl DeflateFrame {
    /// Per-frame compression with these settings. Many old clients take no answer with parameters in it; so leave
    /// `receive_window_bits` and `receive_takeover` as they are by default.
    #[must_use]
    pub fn new(settings: Deflate) -> Self {
        Self(settings)
    }

    fn agree(self, offer: &Extension) -> Result<Agreement, ParameterError> {
        let own = self.0.in_range();
        let (mut most, mut no_takeover) = (None, false);
        for (name, value) in &offer.params {
            match &**name {
                FRAME_BITS => bits(&mut most, value.as_deref())?,
                FRAME_NO_TAKEOVER => flag(&mut no_takeover, value.as_deref())?,
                _ => return Err(ParameterError::Unknown),
            }
        }
        // In an offer the parameters limit the server, in an answer the client.
        let server = Direction {
            window_bits: own.send_window_bits.min(most.unwrap_or(MOST_BITS)),
            takeover: own.send_takeover && !no_takeover,
        };
        let client = Direction { window_bits: own.receive_window_bits, takeover: own.receive_takeover };
        let answer = Extension::new(offer.name.clone());
        let answer = with_bits(answer, FRAME_BITS, client.window_bits, client.window_bits < MOST_BITS);
        let answer = with_flag(answer, FRAME_NO_TAKEOVER, !client.takeover);
        Ok(Agreement::new(answer, Agreed { server, client, scope: Scope::Frame, settings: own }))
    }
}

impl Negotiate for DeflateFrame {
    /// None.
    fn offers(&self) -> Vec<Extension> {
        Vec::new()
    }

    fn accept_answer(&self, _: &Extension) -> Result<Agreement, ParameterError> {
        Err(ParameterError::NotOffered)
    }

    fn answer(&self, offer: &Extension) -> Option<Result<Agreement, ParameterError>> {
        FRAME_NAMES.contains(&&*offer.name).then(|| self.agree(offer))
    }
}
