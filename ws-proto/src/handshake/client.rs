//! The client's side of the opening handshake.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::error::{HandshakeError, NotDone, SubprotocolError};
use super::outbox::Outbox;
#[cfg(feature = "legacy")]
use super::{hixie75, hixie76};
use super::{hybi, subprotocol};
use crate::config::Config;
use crate::connection::{Connection, Negotiated, Shutdown};
use crate::entropy::{BoxEntropy, Entropy as _, EntropyError};
use crate::extension::Extensions;
use crate::http::body::{BodyReader, Progress};
use crate::http::fields::Lines;
use crate::http::head::{HeadReader, Kind, Rules};
use crate::http::{HeaderError, Host, Response, ResponseHead, Target};
use crate::input::Input;
use crate::time::Instant;
use crate::version::{Role, Version, Versions};

/// How many interim answers (1xx) are skipped before the final one.
const INTERIM_MAX: u8 = 8;

/// What a client asks for. It can be used for any number of attempts; each gets a fresh key.
///
/// ```
/// use ws_proto::handshake::ClientRequest;
/// use ws_proto::http::Target;
/// let target = Target::new(true, "example.com", None, "/chat")?;
/// let request = ClientRequest::new(target)
///     .subprotocols(["chat", "superchat"])?
///     .origin("https://example.com")?
///     .header("Authorization", "Bearer 123")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ClientRequest {
    pub(super) target: Target,
    pub(super) version: Version,
    pub(super) host: Option<Box<str>>,
    pub(super) origin: Option<Box<str>>,
    pub(super) subprotocols: Vec<Box<str>>,
    pub(super) subprotocol_required: bool,
    pub(super) extensions: Extensions,
    pub(super) extra: Lines,
}

impl ClientRequest {
    /// A request without options.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            version: Version::Rfc6455,
            host: None,
            origin: None,
            subprotocols: Vec::new(),
            subprotocol_required: false,
            extensions: Extensions::none(),
            extra: Lines::default(),
        }
    }

    /// Where it goes.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Speaks this version of the protocol and no other. Default: [`Version::Rfc6455`].
    ///
    /// A server that does not speak it may answer with a list of those that it speaks, see
    /// [`ClientHandshake::offered_versions`].
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Adds a header, `Authorization` or `Cookie` for example. A name may come again.
    ///
    /// # Errors
    /// [`HeaderError`] for names that are set otherwise (the handshake's own, `Host`, `Origin`), and for what would
    /// break the head.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, HeaderError> {
        self.extra.add(name, value, &["host", "origin"])?;
        Ok(self)
    }

    /// Sets the `Origin` header; before version 13 it is called `Sec-WebSocket-Origin` or `Origin`. Default: none, as for
    /// programs that are no browsers (RFC 6455 section 4.1). Up to hybi-03 it is mandatory; the default is then that of
    /// the server itself.
    ///
    /// # Errors
    /// [`HeaderError::Value`] if it is not printable ASCII.
    pub fn origin(mut self, origin: &str) -> Result<Self, HeaderError> {
        if origin.is_empty() || !origin.bytes().all(|b| matches!(b, 0x20..=0x7e)) {
            return Err(HeaderError::Value("Origin".into()));
        }
        self.origin = Some(origin.into());
        Ok(self)
    }

    /// Sets the `Host` header to another `host[:port]` than the target's.
    ///
    /// # Errors
    /// [`HeaderError::Value`] if it is not `host[:port]`.
    pub fn host(mut self, host: &str) -> Result<Self, HeaderError> {
        if Host::parse(host).is_none() {
            return Err(HeaderError::Value("Host".into()));
        }
        self.host = Some(host.into());
        Ok(self)
    }

    /// Offers these subprotocols and no others, the preferred one first (RFC 6455 section 4.1). Up to hybi-03 only one can
    /// be offered, which is the first, and the server must agree to it.
    ///
    /// # Errors
    /// [`SubprotocolError`] if a name is no token, or stands there twice.
    pub fn subprotocols(
        mut self,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, SubprotocolError> {
        self.subprotocols = subprotocol::checked(names)?;
        Ok(self)
    }

    /// Refuse a server that chooses none of the subprotocols, as browsers do. Default: accept it without one, as
    /// RFC 6455 section 4.1 allows.
    #[must_use]
    pub fn require_subprotocol(mut self) -> Self {
        self.subprotocol_required = true;
        self
    }

    /// Offers these extensions and no others, the preferred one first (RFC 6455 section 9.1). Default: none.
    ///
    /// The server chooses one or none. An answer that does not fit the offer fails the handshake. Nothing is offered in
    /// versions without extensions, see [`Version::has_extensions`].
    #[must_use]
    pub fn extensions(mut self, extensions: Extensions) -> Self {
        self.extensions = extensions;
        self
    }
}

impl fmt::Debug for ClientRequest {
    /// Without the further headers, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRequest")
            .field("target", &self.target)
            .field("version", &self.version)
            .field("host", &self.host)
            .field("origin", &self.origin)
            .field("subprotocols", &self.subprotocols)
            .field("extensions", &self.extensions)
            .finish_non_exhaustive()
    }
}

/// Where a client handshake stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientStep {
    /// The answer is not complete.
    NeedInput,
    /// The server accepted: go on with [`ClientHandshake::into_connection`].
    Done,
    /// The server answered with another status than 101: see [`ClientHandshake::response`]. Drop the transport.
    Refused,
    /// There is no valid answer: see [`ClientHandshake::error`]. Drop the transport.
    Failed,
}

/// The client's side of the opening handshake, without its transport.
///
/// It is driven like a [`Connection`].
///
/// ```
/// # #[cfg(feature = "getrandom")] {
/// use ws_proto::handshake::{ClientHandshake, ClientRequest, ClientStep, HandshakeError};
/// use ws_proto::http::Target;
/// use ws_proto::{Config, Input, Instant, OsEntropy};
///
/// let now = Instant::ZERO;
/// let request = ClientRequest::new(Target::new(false, "example.com", Some(8080), "/chat")?);
/// let mut handshake = ClientHandshake::new(now, &request, Config::default(), Box::new(OsEntropy))?;
/// let written = handshake.take_outgoing(now).unwrap();
/// assert!(written.starts_with(b"GET /chat HTTP/1.1\r\nHost: example.com:8080\r\n"));
///
/// let mut bytes = *b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone";
/// assert_eq!(handshake.poll(now, &mut Input::new(&mut bytes)), ClientStep::Refused);
/// assert_eq!(handshake.error(), Some(&HandshakeError::Status(404)));
/// assert_eq!(handshake.response().unwrap().body(), b"none");
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ClientHandshake {
    request: ClientRequest,
    config: Arc<Config>,
    entropy: BoxEntropy,
    key: Key,
    phase: Phase,
    interim: u8,
    out: Outbox,
    response: Option<Response>,
    error: Option<HandshakeError>,
    deadline: Option<Instant>,
}

/// What the answer is judged by.
enum Key {
    /// The text of `Sec-WebSocket-Key`.
    Text(hybi::Nonce),
    /// What the sixteen bytes behind the head must be.
    #[cfg(feature = "legacy")]
    Challenge([u8; hixie76::REPLY]),
    /// There is none.
    #[cfg(feature = "legacy")]
    None,
}

enum Phase {
    Head(HeadReader),
    Body(BodyReader),
    /// The head was right; the sixteen bytes behind it are still to come, or some of them.
    #[cfg(feature = "legacy")]
    Challenge(Negotiated, Vec<u8>),
    /// Open; what came behind the head is kept.
    Done(Negotiated, Vec<u8>),
    Refused,
    Failed,
}

impl ClientHandshake {
    /// The handshake on a transport that was just connected. The request is queued; the deadline counts from `now`.
    ///
    /// `entropy` gives the key (RFC 6455 section 4.1), fresh for each attempt, and later the masks of the connection.
    ///
    /// # Errors
    /// [`EntropyError`] if there is no randomness for the key.
    pub fn new(
        now: Instant,
        request: &ClientRequest,
        config: impl Into<Arc<Config>>,
        mut entropy: BoxEntropy,
    ) -> Result<Self, EntropyError> {
        let config = config.into();
        let (head, key) = make_request(request, &mut entropy)?;
        Ok(Self {
            out: Outbox::new(head),
            request: request.clone(),
            phase: Phase::Head(reader(&config)),
            interim: 0,
            response: None,
            error: None,
            deadline: config.timers.handshake.map(|after| now.saturating_add(after)),
            config,
            entropy,
            key,
        })
    }

    /// Takes all of the input, and tells where the handshake stands.
    pub fn poll(&mut self, now: Instant, input: &mut Input<'_>) -> ClientStep {
        self.handle_timeout(now);
        let mut bytes: &[u8] = input.take_all();
        while !bytes.is_empty() {
            match &mut self.phase {
                Phase::Head(reader) => match reader.push(bytes) {
                    Ok(None) => break,
                    Ok(Some(used)) => {
                        bytes = bytes.get(used..).unwrap_or_default();
                        self.head_complete();
                    }
                    Err(error) => self.fail(error.into()),
                },
                Phase::Body(body) => {
                    if let Some(response) = &mut self.response {
                        let progress = body.push(bytes, &mut response.body);
                        self.body_progress(progress);
                    }
                    break;
                }
                #[cfg(feature = "legacy")]
                Phase::Challenge(_, seen) => {
                    let missing = hixie76::REPLY.saturating_sub(seen.len()).min(bytes.len());
                    let (reply, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
                    seen.extend_from_slice(reply);
                    bytes = rest;
                    self.judge_challenge();
                }
                Phase::Done(_, tail) => {
                    tail.extend_from_slice(bytes);
                    break;
                }
                Phase::Refused | Phase::Failed => break,
            }
        }
        self.step()
    }

    fn step(&self) -> ClientStep {
        match self.phase {
            Phase::Head(_) | Phase::Body(_) => ClientStep::NeedInput,
            #[cfg(feature = "legacy")]
            Phase::Challenge(..) => ClientStep::NeedInput,
            Phase::Done(..) => ClientStep::Done,
            Phase::Refused => ClientStep::Refused,
            Phase::Failed => ClientStep::Failed,
        }
    }

    fn head_complete(&mut self) {
        let Phase::Head(reader) = &mut self.phase else { return };
        let (bytes, lines) = reader.finish();
        match ResponseHead::parse(bytes, lines) {
            Ok(head) => self.judge(head),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Decides what a complete head means.
    fn judge(&mut self, head: ResponseHead) {
        match head.status {
            101 => {
                match self.check_response(&head) {
                    #[cfg(feature = "legacy")]
                    Ok(negotiated) if matches!(self.key, Key::Challenge(_)) => {
                        self.phase = Phase::Challenge(negotiated, Vec::with_capacity(hixie76::REPLY));
                    }
                    Ok(negotiated) => self.done(negotiated),
                    Err(error) => self.fail(error),
                }
                let mut response = Response::new(head);
                response.body_complete = true;
                self.response = Some(response);
            }
            100..=199 if self.interim == INTERIM_MAX => self.fail(HandshakeError::TooManyInterim),
            100..=199 => {
                self.interim += 1;
                self.phase = Phase::Head(reader(&self.config));
            }
            _ => {
                self.error = Some(refusal(&head, self.request.version));
                let limits = &self.config.limits;
                let (body, progress) = BodyReader::new(&head, limits.refusal_body, limits.drain);
                self.response = Some(Response::new(head));
                // Whatever of the request is not written yet, nobody waits for it any more.
                self.out = Outbox::default();
                if let Some(body) = body {
                    self.phase = Phase::Body(body);
                }
                self.body_progress(progress);
            }
        }
    }

    fn check_response(&self, head: &ResponseHead) -> Result<Negotiated, HandshakeError> {
        match &self.key {
            Key::Text(key) => hybi::check_response(head, &self.request, key),
            #[cfg(feature = "legacy")]
            Key::Challenge(_) => hixie76::check_response(self.request.version, head, &self.request),
            #[cfg(feature = "legacy")]
            Key::None => hixie75::check_response(head, &self.request),
        }
    }

    /// Compares the sixteen bytes of hixie-76, once they are there.
    #[cfg(feature = "legacy")]
    fn judge_challenge(&mut self) {
        let (Phase::Challenge(negotiated, seen), Key::Challenge(wanted)) = (&self.phase, &self.key) else { return };
        if seen.len() == wanted.len() {
            let negotiated = negotiated.clone();
            if seen == wanted { self.done(negotiated) } else { self.fail(HandshakeError::ChallengeWrong) }
        }
    }

    fn done(&mut self, negotiated: Negotiated) {
        self.phase = Phase::Done(negotiated, Vec::new());
        self.deadline = None;
    }

    fn body_progress(&mut self, progress: Progress) {
        if progress != Progress::Open {
            if let Some(response) = &mut self.response {
                response.body_complete = progress == Progress::Complete;
            }
            self.phase = Phase::Refused;
            self.deadline = None;
        }
    }

    fn fail(&mut self, error: HandshakeError) {
        self.error = Some(error);
        self.phase = Phase::Failed;
        self.out = Outbox::default();
        self.deadline = None;
    }

    /// Ends it for a reason that is not the peer's answer.
    fn cut(&mut self, error: HandshakeError) {
        match &self.phase {
            Phase::Head(_) => self.fail(error),
            // The refusal stands, with as much of its body as there is.
            Phase::Body(body) => {
                let progress = if error == HandshakeError::Eof { body.eof() } else { Progress::Cut };
                self.body_progress(progress);
            }
            #[cfg(feature = "legacy")]
            Phase::Challenge(..) => self.fail(error),
            Phase::Done(..) | Phase::Refused | Phase::Failed => {}
        }
    }

    /// The answer: complete after [`ClientStep::Done`] and [`ClientStep::Refused`]. Also there if a 101 was wrong.
    #[must_use]
    pub fn response(&self) -> Option<&Response> {
        self.response.as_ref()
    }

    /// Why there is no connection; for a refusal, [`HandshakeError::Status`] or [`HandshakeError::VersionRefused`].
    #[must_use]
    pub fn error(&self) -> Option<&HandshakeError> {
        self.error.as_ref()
    }

    /// The versions that the server says it speaks, if it does not speak ours: see [`HandshakeError::VersionRefused`].
    /// Else none.
    #[must_use]
    pub fn offered_versions(&self) -> Versions {
        match self.error {
            Some(HandshakeError::VersionRefused { offered, .. }) => offered,
            _ => Versions::NONE,
        }
    }

    /// The newest version that both this list has and the server says it speaks: what to try instead, on a new transport
    /// (RFC 6455 section 4.4).
    #[must_use]
    pub fn best_common(&self, ours: Versions) -> Option<Version> {
        let offered = self.offered_versions();
        ours.iter().find(|version| offered.contains(*version))
    }

    /// What to write next. Follow with [`ClientHandshake::advance`].
    pub fn outgoing(&self) -> impl Iterator<Item = &[u8]> {
        Some(self.out.rest()).filter(|rest| !rest.is_empty()).into_iter()
    }

    /// The transport took the first `n` bytes of [`ClientHandshake::outgoing`].
    pub fn advance(&mut self, _now: Instant, n: usize) {
        self.out.advance(n);
    }

    /// The next bytes to write, given away for good: for completion-based I/O. They count as written.
    pub fn take_outgoing(&mut self, _now: Instant) -> Option<Bytes> {
        self.out.take()
    }

    /// Whether more input is of use.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.step() == ClientStep::NeedInput
    }

    /// Whether there is something to write.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.out.is_empty()
    }

    /// What to do with the transport: [`Shutdown::Both`] after [`ClientStep::Refused`] and [`ClientStep::Failed`]. No
    /// frame is sent on a connection that was never open (RFC 6455 section 7.1.7).
    #[must_use]
    pub fn wants_shutdown(&self) -> Option<Shutdown> {
        matches!(self.phase, Phase::Refused | Phase::Failed).then_some(Shutdown::Both)
    }

    /// Whether nothing is left to do but to drop the transport.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.wants_shutdown().is_some()
    }

    /// The stream from the server has ended.
    pub fn eof(&mut self, _now: Instant) {
        self.cut(HandshakeError::Eof);
    }

    /// Reading from or writing to the transport failed.
    pub fn transport_failed(&mut self, _now: Instant) {
        self.cut(HandshakeError::Transport);
    }

    /// When [`ClientHandshake::handle_timeout`] wants to be called, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Looks at the clock. Call [`ClientHandshake::poll`] with [`Input::empty`] after it.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.cut(HandshakeError::Timeout);
        }
    }

    /// The open connection and the answer, after [`ClientStep::Done`]. What is left to write of the request and what
    /// came behind the answer move into it; nothing is lost.
    ///
    /// # Errors
    /// [`NotDone`] if the server has not accepted.
    pub fn into_connection(self) -> Result<(Connection, Response), NotDone> {
        let (Phase::Done(negotiated, tail), Some(response)) = (self.phase, self.response) else {
            return Err(NotDone);
        };
        let mut connection = Connection::from_upgraded(Role::Client, negotiated, self.config, self.entropy);
        if !self.out.is_empty() {
            connection = connection.with_early_output(self.out.rest());
        }
        if !tail.is_empty() {
            connection = connection.with_early_input(tail);
        }
        Ok((connection, response))
    }

    /// The answer, to keep.
    #[must_use]
    pub fn into_response(self) -> Option<Response> {
        self.response
    }
}

impl fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandshake")
            .field("step", &self.step())
            .field("request", &self.request)
            .field("response", &self.response)
            .field("error", &self.error)
            .field("outgoing", &self.out)
            .finish_non_exhaustive()
    }
}

/// What to write, and what the answer is judged by.
fn make_request(request: &ClientRequest, entropy: &mut BoxEntropy) -> Result<(Vec<u8>, Key), EntropyError> {
    match request.version {
        #[cfg(feature = "legacy")]
        Version::Hixie75 => Ok((hixie75::make_request(request, hixie75::Prefix::None, ""), Key::None)),
        #[cfg(feature = "legacy")]
        version if hixie76::has(version) => {
            let (bytes, wanted) = hixie76::make_request(version, request, entropy)?;
            Ok((bytes, Key::Challenge(wanted)))
        }
        _ => {
            let mut nonce = [0; 16];
            entropy.fill(&mut nonce)?;
            let key = hybi::encode(nonce);
            Ok((hybi::make_request(request, &key), Key::Text(key)))
        }
    }
}

/// What an answer other than 101 means.
fn refusal(head: &ResponseHead, asked: Version) -> HandshakeError {
    let status = head.status;
    let number = |text: &[u8]| core::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    let of = |n: u8| Version::ALL.iter().copied().find(|version| version.number() == Some(n));
    let list = head.headers.tokens("sec-websocket-version");
    let offered: Versions = list.filter_map(|text| number(text).and_then(of)).collect();
    if matches!(status, 400 | 426) && !offered.is_empty() && !offered.contains(asked) {
        return HandshakeError::VersionRefused { status, offered };
    }
    HandshakeError::Status(status)
}

fn reader(config: &Config) -> HeadReader {
    let Config { limits, leniency, .. } = config;
    let rules = Rules { bytes: limits.head, lines: limits.header_lines, bare_lf: leniency.bare_lf };
    HeadReader::new(Kind::Response, rules)
}
