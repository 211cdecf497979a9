//! The server's side of the opening handshake.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::{fmt, mem};

use bytes::Bytes;

use super::error::{AcceptError, HandshakeError, NotDone};
use super::outbox::Outbox;
use super::reply::{Accept, Reply};
use super::request::Request;
use super::subprotocol::SubprotocolPolicy;
use super::{answer, upgrade};
#[cfg(feature = "legacy")]
use super::{flash, hixie76};
use crate::config::Config;
use crate::connection::{Connection, Negotiated, Shutdown};
use crate::entropy::BoxEntropy;
use crate::extension::Extensions;
#[cfg(feature = "legacy")]
use crate::http::HeadError;
use crate::http::RequestHead;
use crate::http::head::{HeadReader, Kind, Rules};
use crate::input::Input;
use crate::time::Instant;
use crate::version::{Role, Versions};

/// How much may arrive behind the head, in later reads, before the application has decided.
const EARLY_MAX: usize = 64 * 1024;

/// Settings of a server's opening handshakes and of the connections that come of them.
///
/// ```
/// use ws_proto::handshake::{ServerConfig, SubprotocolPolicy};
/// let mut config = ServerConfig::default();
/// config.subprotocols = SubprotocolPolicy::client_order(["chat"])?;
/// # Ok::<(), ws_proto::handshake::SubprotocolError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The settings of the connection. The handshake uses `limits.head`, `limits.header_lines`, `limits.drain`,
    /// `timers.handshake`, `timers.write_stall`, `timers.close` and `leniency.bare_lf`.
    pub connection: Arc<Config>,
    /// The versions that are accepted. Default: [`Versions::MODERN`].
    pub versions: Versions,
    /// How to choose a subprotocol. Default: none.
    pub subprotocols: SubprotocolPolicy,
    /// The extensions that may be agreed on, the preferred one first. Default: none.
    ///
    /// Of a request the first 32 offers are looked at, except those with more than 32 parameters.
    pub extensions: Extensions,
    /// Whether clients reach us over TLS, which something in front of us may have taken off. Clients up to hybi-03 want
    /// to see `ws` or `wss` in the answer. Default: false.
    #[cfg(feature = "legacy")]
    pub secure: bool,
    /// What to answer to a Flash player that asks for a policy file. Default: nothing, it is refused as bad HTTP.
    #[cfg(feature = "legacy")]
    pub flash_policy: Option<flash::FlashPolicy>,
}

impl From<Arc<Config>> for ServerConfig {
    fn from(connection: Arc<Config>) -> Self {
        Self { connection, ..Self::default() }
    }
}

impl From<Config> for ServerConfig {
    fn from(connection: Config) -> Self {
        Arc::new(connection).into()
    }
}

/// Where a server handshake stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The request is not complete. Also after [`accept`](ServerHandshake::accept), in hixie-76 to hybi-03: what follows
    /// the head there may come later. Go on until there is another step.
    NeedInput,
    /// The request is complete and valid: look at [`ServerHandshake::request`], then
    /// [`accept`](ServerHandshake::accept) or [`respond`](ServerHandshake::respond).
    Request,
    /// Accepted: go on with [`ServerHandshake::into_connection`].
    Done,
    /// There will be no WebSocket: an answer other than 101 is going out, or the peer is gone. Write, then do as
    /// [`ServerHandshake::wants_shutdown`] says. If the machine decided, [`ServerHandshake::error`] tells why.
    Rejected,
}

/// The server's side of the opening handshake, without its transport.
///
/// It is driven like a [`Connection`]. Between the request and the 101 the application decides, in its own time
/// but within `Timers::handshake`, which counts from the start and is never restarted.
///
/// ```
/// use ws_proto::handshake::{Accept, Reply, ServerConfig, ServerHandshake, Step};
/// use ws_proto::{Input, Instant, NoEntropy};
///
/// let now = Instant::ZERO;
/// let mut handshake = ServerHandshake::new(now, ServerConfig::default());
/// let mut bytes = *b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// assert_eq!(handshake.poll(now, &mut Input::new(&mut bytes)), Step::Request);
/// match handshake.request() {
///     Some(request) if !request.is_websocket() => handshake.respond(now, Reply::text(200, "hello\n")),
///     Some(request) if request.path() == "/chat" => handshake.accept(now, Accept::new()).is_ok(),
///     _ => handshake.respond(now, Reply::new(404)),
/// };
/// // Write what `outgoing()` gives, or leave that to the connection.
/// let connection = handshake.into_connection(Box::new(NoEntropy))?;
/// assert!(connection.outgoing().next().unwrap().starts_with(b"HTTP/1.1 101 "));
/// # Ok::<(), ws_proto::handshake::NotDone>(())
/// ```
pub struct ServerHandshake {
    config: Arc<ServerConfig>,
    phase: Phase,
    out: Outbox,
    /// What came behind the head.
    tail: Vec<u8>,
    error: Option<HandshakeError>,
    /// When [`ServerHandshake::handle_timeout`] has something to do.
    deadline: Option<Instant>,
    eof: bool,
}

enum Phase {
    Head(HeadReader),
    /// So many bytes of a request for a policy file have come.
    #[cfg(feature = "legacy")]
    Policy(usize),
    Deciding(Request),
    /// Accepted; the eight bytes behind the head are still to come, or some of them. They are read into the tail.
    #[cfg(feature = "legacy")]
    Challenge(Request, Negotiated, [u8; 8]),
    Accepted(Request, Negotiated),
    /// Another answer than 101 goes out; so many bytes were thrown away meanwhile.
    Answered {
        request: Option<Request>,
        drained: usize,
    },
    /// Nothing is left to do.
    Over(Option<Request>),
}

impl ServerHandshake {
    /// The handshake on a transport that was just accepted. Its deadline counts from `now`.
    #[must_use]
    pub fn new(now: Instant, config: impl Into<Arc<ServerConfig>>) -> Self {
        let config = config.into();
        let Config { limits, timers, leniency, .. } = &*config.connection;
        let rules = Rules { bytes: limits.head, lines: limits.header_lines, bare_lf: leniency.bare_lf };
        Self {
            phase: Phase::Head(HeadReader::new(Kind::Request, rules)),
            out: Outbox::default(),
            tail: Vec::new(),
            error: None,
            deadline: timers.handshake.map(|after| now.saturating_add(after)),
            eof: false,
            config,
        }
    }

    /// Takes all of the input, and tells where the handshake stands.
    pub fn poll(&mut self, now: Instant, input: &mut Input<'_>) -> Step {
        self.handle_timeout(now);
        let bytes = input.take_all();
        #[cfg(feature = "legacy")]
        self.look_for_policy(now, bytes);
        match &mut self.phase {
            Phase::Head(reader) => match reader.push(bytes) {
                Ok(None) => {}
                Ok(Some(used)) => self.head_complete(now, bytes.get(used..).unwrap_or_default()),
                Err(error) => self.refuse(now, error.into()),
            },
            #[cfg(feature = "legacy")]
            Phase::Policy(_) => {}
            #[cfg(feature = "legacy")]
            Phase::Challenge(..) => {
                self.tail.extend_from_slice(bytes);
                self.answer_challenge(now);
            }
            Phase::Deciding(_) | Phase::Accepted(..) => {
                if self.tail.len() + bytes.len() > EARLY_MAX && !bytes.is_empty() {
                    self.refuse(now, HandshakeError::EarlyData);
                } else {
                    self.tail.extend_from_slice(bytes);
                }
            }
            Phase::Answered { drained, .. } => {
                *drained = drained.saturating_add(bytes.len());
                self.settle();
            }
            Phase::Over(_) => {}
        }
        self.step()
    }

    fn head_complete(&mut self, now: Instant, tail: &[u8]) {
        let Phase::Head(reader) = &mut self.phase else { return };
        let (bytes, lines) = reader.finish();
        let request = RequestHead::parse(bytes, lines)
            .map_err(HandshakeError::from)
            .and_then(|head| upgrade::examine(head, &self.config));
        match request {
            Ok(request) => {
                self.tail.extend_from_slice(tail);
                self.phase = Phase::Deciding(request);
            }
            Err(error) => self.refuse(now, error),
        }
    }

    fn step(&self) -> Step {
        match self.phase {
            Phase::Head(_) => Step::NeedInput,
            #[cfg(feature = "legacy")]
            Phase::Policy(_) | Phase::Challenge(..) => Step::NeedInput,
            Phase::Deciding(_) => Step::Request,
            Phase::Accepted(..) => Step::Done,
            Phase::Answered { .. } | Phase::Over(_) => Step::Rejected,
        }
    }

    /// The request, from [`Step::Request`] on. `None` before, and if it was not valid.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        match &self.phase {
            Phase::Deciding(request) | Phase::Accepted(request, _) => Some(request),
            #[cfg(feature = "legacy")]
            Phase::Challenge(request, ..) => Some(request),
            Phase::Answered { request, .. } | Phase::Over(request) => request.as_ref(),
            Phase::Head(_) => None,
            #[cfg(feature = "legacy")]
            Phase::Policy(_) => None,
        }
    }

    /// Accepts the request: the 101 is queued (RFC 6455 section 4.2.2).
    ///
    /// The handshake is done when [`ServerHandshake::poll`] says so: with an empty input, in most versions. In hixie-76
    /// to hybi-03 eight bytes behind the head belong to it, which need not have come yet.
    ///
    /// # Errors
    /// [`AcceptError`]; nothing was queued then, and the request can still be answered.
    pub fn accept(&mut self, now: Instant, accept: Accept) -> Result<(), AcceptError> {
        let Phase::Deciding(request) = &self.phase else { return Err(AcceptError::NotReady) };
        let (head, negotiated) = answer::switch(request, &accept, &self.config)?;
        #[cfg(feature = "legacy")]
        let challenge = request.challenge();
        self.out = Outbox::new(head);
        let Phase::Deciding(request) = mem::replace(&mut self.phase, Phase::Over(None)) else { return Ok(()) };
        #[cfg(feature = "legacy")]
        if let Some(numbers) = challenge {
            // The deadline stays: it covers the wait for the rest.
            self.phase = Phase::Challenge(request, negotiated, numbers);
            self.answer_challenge(now);
            return Ok(());
        }
        self.accepted(now, request, negotiated);
        Ok(())
    }

    fn accepted(&mut self, now: Instant, request: Request, negotiated: Negotiated) {
        self.deadline = self.config.connection.timers.write_stall.map(|after| now.saturating_add(after));
        self.phase = Phase::Accepted(request, negotiated);
    }

    /// Takes the eight bytes of hixie-76, once they are there; what follows them are frames.
    #[cfg(feature = "legacy")]
    fn answer_challenge(&mut self, now: Instant) {
        let Some(body) = self.tail.first_chunk().copied() else {
            if self.eof {
                self.refuse(now, HandshakeError::Eof);
            }
            return;
        };
        match mem::replace(&mut self.phase, Phase::Over(None)) {
            Phase::Challenge(request, negotiated, numbers) => {
                self.tail.drain(..body.len());
                self.out.push(&hixie76::reply(&numbers, &body));
                self.accepted(now, request, negotiated);
            }
            phase => self.phase = phase,
        }
    }

    /// Answers a Flash player that asks for the policy file, if that is switched on. Its request begins with a byte with
    /// which no other does.
    #[cfg(feature = "legacy")]
    fn look_for_policy(&mut self, now: Instant, bytes: &[u8]) {
        let Some(policy) = &self.config.flash_policy else { return };
        let seen = match &self.phase {
            Phase::Head(reader) if reader.is_empty() && bytes.first() == flash::REQUEST.first() => 0,
            Phase::Policy(seen) => *seen,
            _ => return,
        };
        let rest = flash::REQUEST.get(seen..).unwrap_or_default();
        if bytes.starts_with(rest) {
            let answer = policy.answer();
            self.error = Some(HandshakeError::PolicyFile);
            self.send_answer(now, answer, None);
        } else if rest.starts_with(bytes) {
            self.phase = Phase::Policy(seen + bytes.len());
        } else {
            self.refuse(now, HandshakeError::Head(HeadError::NotHttp));
        }
    }

    /// Answers the request with anything but 101: refuses the WebSocket, or serves plain HTTP.
    ///
    /// The answer is written whole, then the writing side is shut down, and what the peer still sends is thrown away
    /// for a while, because a transport that is dropped with unread input may take the answer with it.
    /// False, and nothing is done, if there is no request waiting for an answer.
    pub fn respond(&mut self, now: Instant, reply: Reply) -> bool {
        match mem::replace(&mut self.phase, Phase::Over(None)) {
            Phase::Deciding(request) => {
                self.answer(now, reply, Some(request));
                true
            }
            phase => {
                self.phase = phase;
                false
            }
        }
    }

    /// Why the machine itself refused the request; `None` if it did not.
    #[must_use]
    pub fn error(&self) -> Option<&HandshakeError> {
        self.error.as_ref()
    }

    /// Ends it for a fault: with an answer if that is of use.
    fn refuse(&mut self, now: Instant, error: HandshakeError) {
        self.error = Some(error);
        let (request, answer) = match mem::replace(&mut self.phase, Phase::Over(None)) {
            Phase::Deciding(request) => (Some(request), true),
            // The 101 may be on the wire already; no other answer can follow it.
            Phase::Accepted(request, _) => (Some(request), false),
            #[cfg(feature = "legacy")]
            Phase::Challenge(request, ..) => (Some(request), false),
            #[cfg(feature = "legacy")]
            Phase::Policy(_) => (None, false),
            Phase::Answered { request, .. } | Phase::Over(request) => (request, false),
            Phase::Head(_) => (None, true),
        };
        match Reply::for_error(error, self.config.versions).filter(|_| answer) {
            Some(reply) => self.answer(now, reply, request),
            None => self.end(request),
        }
    }

    fn answer(&mut self, now: Instant, reply: Reply, request: Option<Request>) {
        let head_only = request.as_ref().is_some_and(|r| r.method() == "HEAD");
        self.send_answer(now, reply.into_bytes(head_only), request);
    }

    fn send_answer(&mut self, now: Instant, bytes: Vec<u8>, request: Option<Request>) {
        self.out = Outbox::new(bytes);
        // What came behind a refused request is never looked at.
        self.tail = Vec::new();
        self.phase = Phase::Answered { request, drained: 0 };
        self.deadline = self.config.connection.timers.write_stall.map(|after| now.saturating_add(after));
    }

    /// Whether an answered handshake has nothing left to do.
    fn settle(&mut self) {
        if let Phase::Answered { request, drained } = &mut self.phase
            && self.out.is_empty()
            && (self.eof || *drained >= self.config.connection.limits.drain)
        {
            let request = request.take();
            self.end(request);
        }
    }

    fn end(&mut self, request: Option<Request>) {
        self.phase = Phase::Over(request);
        self.out = Outbox::default();
        self.tail = Vec::new();
        self.deadline = None;
    }

    /// What to write next. Follow with [`ServerHandshake::advance`].
    pub fn outgoing(&self) -> impl Iterator<Item = &[u8]> {
        Some(self.out.rest()).filter(|rest| !rest.is_empty()).into_iter()
    }

    /// The transport took the first `n` bytes of [`ServerHandshake::outgoing`].
    pub fn advance(&mut self, now: Instant, n: usize) {
        if n > 0 {
            self.out.advance(n);
            self.progress(now);
        }
    }

    /// The next bytes to write, given away for good: for completion-based I/O. They count as written.
    pub fn take_outgoing(&mut self, now: Instant) -> Option<Bytes> {
        let bytes = self.out.take();
        if bytes.is_some() {
            self.progress(now);
        }
        bytes
    }

    /// Output was taken: what goes out gets more time, an answer that is out waits for the peer to leave.
    fn progress(&mut self, now: Instant) {
        let timers = &self.config.connection.timers;
        let after = match self.phase {
            Phase::Accepted(..) if self.out.is_empty() => None,
            Phase::Answered { .. } if self.out.is_empty() => timers.close,
            Phase::Accepted(..) | Phase::Answered { .. } => timers.write_stall,
            Phase::Head(_) | Phase::Deciding(_) | Phase::Over(_) => return,
            #[cfg(feature = "legacy")]
            Phase::Policy(_) | Phase::Challenge(..) => return,
        };
        self.deadline = after.map(|after| now.saturating_add(after));
        self.settle();
    }

    /// Whether more input is of use: not while the application decides, nor when the handshake is done.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        !self.eof && (self.step() == Step::NeedInput || matches!(self.phase, Phase::Answered { .. }))
    }

    /// Whether there is something to write.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.out.is_empty()
    }

    /// What to do with the transport, once nothing is left to write: after an answer other than 101 first
    /// [`Shutdown::Write`], and go on reading; then [`Shutdown::Both`].
    #[must_use]
    pub fn wants_shutdown(&self) -> Option<Shutdown> {
        match self.phase {
            Phase::Over(_) => Some(Shutdown::Both),
            Phase::Answered { .. } if self.out.is_empty() => Some(Shutdown::Write),
            _ => None,
        }
    }

    /// Whether nothing is left to do but to drop the transport.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// The stream from the peer has ended. A request that is complete can still be answered.
    pub fn eof(&mut self, now: Instant) {
        self.eof = true;
        if self.step() == Step::NeedInput {
            self.refuse(now, HandshakeError::Eof);
        } else {
            self.settle();
        }
    }

    /// Reading from or writing to the transport failed.
    pub fn transport_failed(&mut self, now: Instant) {
        self.eof = true;
        if !self.is_finished() {
            let error = self.error.unwrap_or(HandshakeError::Transport);
            self.refuse(now, HandshakeError::Transport);
            self.error = Some(error);
        }
    }

    /// When [`ServerHandshake::handle_timeout`] wants to be called, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Looks at the clock. Call [`ServerHandshake::poll`] with [`Input::empty`] after it.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match &mut self.phase {
            Phase::Head(_) | Phase::Accepted(..) => self.refuse(now, HandshakeError::Timeout),
            #[cfg(feature = "legacy")]
            Phase::Policy(_) | Phase::Challenge(..) => self.refuse(now, HandshakeError::Timeout),
            Phase::Deciding(_) => self.refuse(now, HandshakeError::Undecided),
            Phase::Answered { request, .. } => {
                let request = request.take();
                self.end(request);
            }
            Phase::Over(_) => self.deadline = None,
        }
    }

    /// The open connection, after [`Step::Done`]. What is left to write of the 101 and what came behind
    /// the request move into it; nothing is lost. A server never uses `entropy`.
    ///
    /// # Errors
    /// [`NotDone`] if the request was not accepted, or is not complete.
    pub fn into_connection(self, entropy: BoxEntropy) -> Result<Connection, NotDone> {
        self.into_parts(entropy).map(|(connection, _)| connection)
    }

    /// Like [`ServerHandshake::into_connection`], and keeps the request.
    ///
    /// # Errors
    /// As there.
    pub fn into_parts(self, entropy: BoxEntropy) -> Result<(Connection, Request), NotDone> {
        let Phase::Accepted(request, negotiated) = self.phase else { return Err(NotDone) };
        let mut connection =
            Connection::from_upgraded(Role::Server, negotiated, Arc::clone(&self.config.connection), entropy);
        if !self.out.is_empty() {
            connection = connection.with_early_output(self.out.rest());
        }
        if !self.tail.is_empty() {
            connection = connection.with_early_input(self.tail);
        }
        Ok((connection, request))
    }
}

impl fmt::Debug for ServerHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandshake")
            .field("step", &self.step())
            .field("request", &self.request())
            .field("error", &self.error)
            .field("outgoing", &self.out)
            .finish_non_exhaustive()
    }
}
