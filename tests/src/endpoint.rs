//! The core as a [`Subject`]: as one connection, and as two halves.

use std::time::Duration;

use ws_proto::connection::{Connection, Event, Negotiated, Prepared, Receiver, Sender, Shutdown, State};
use ws_proto::{
    BoxEntropy, CloseError, CloseFrame, Compress, Config, Delivery, Input, Instant, IntoMessage, Kind, Message, Role,
    SendError, Version,
};

use crate::run::Subject;
use crate::transcript::{Call, Seen, close_words, closed_words};

/// The verbs that a connection and a pair of halves share.
#[allow(missing_docs)]
pub trait Endpoint: Sized {
    fn open(role: Role, negotiated: Negotiated, config: Config, entropy: BoxEntropy) -> Self;
    fn new(role: Role, config: Config, entropy: BoxEntropy) -> Self {
        Self::open(role, Negotiated::new(Version::Rfc6455), config, entropy)
    }
    fn poll<'i>(&mut self, now: Instant, input: &mut Input<'i>) -> Option<Event<'i>>;
    fn sender<T>(&mut self, now: Instant, with: impl FnOnce(&mut dyn Sending) -> T) -> T;
    fn eof(&mut self, now: Instant);
    fn transport_failed(&mut self, now: Instant);
    fn abort(&mut self, now: Instant);
    fn outgoing(&self) -> Vec<u8>;
    fn advance(&mut self, now: Instant, n: usize);
    fn poll_timeout(&self) -> Option<Instant>;
    fn handle_timeout(&mut self, now: Instant);
    fn wants_shutdown(&self) -> Option<Shutdown>;
    fn set_delivery(&mut self, delivery: Delivery);
    fn state(&self) -> Option<State>;
    fn buffered(&self) -> usize;
}

/// The verbs of sending.
#[allow(missing_docs)]
pub trait Sending {
    fn send(&mut self, message: Message) -> Result<(), SendError<Message>>;
    fn send_as(&mut self, message: Compress<Message>) -> Result<(), SendError<Compress<Message>>>;
    fn send_prepared(&mut self, message: &Prepared) -> Result<(), SendError>;
    fn start(&mut self, kind: Kind) -> Result<(), SendError>;
    fn start_as(&mut self, kind: Kind, compress: bool) -> Result<(), SendError>;
    fn piece(&mut self, bytes: &[u8], last: bool) -> Result<(), SendError>;
    fn ping(&mut self, now: Instant, payload: &[u8]) -> Result<(), SendError>;
    fn pong(&mut self, payload: &[u8]) -> Result<(), SendError>;
    fn close(&mut self, now: Instant, frame: Option<(u16, &str)>) -> Result<(), CloseError>;
}

macro_rules! sending {
    ($type:ty) => {
        fn send(&mut self, message: Message) -> Result<(), SendError<Message>> {
            <$type>::send(self, message)
        }
        fn send_as(&mut self, message: Compress<Message>) -> Result<(), SendError<Compress<Message>>> {
            <$type>::send(self, message)
        }
        fn send_prepared(&mut self, message: &Prepared) -> Result<(), SendError> {
            <$type>::send_prepared(self, message)
        }
        fn start(&mut self, kind: Kind) -> Result<(), SendError> {
            self.start_message(kind).map(drop)
        }
        fn start_as(&mut self, kind: Kind, compress: bool) -> Result<(), SendError> {
            self.start_message(kind).map(|writer| drop(writer.compress(compress)))
        }
        fn piece(&mut self, bytes: &[u8], last: bool) -> Result<(), SendError> {
            match self.resume_message() {
                None => Err(SendError::Closed(())),
                Some(writer) if last => writer.finish(bytes),
                Some(mut writer) => writer.write(bytes),
            }
        }
        fn ping(&mut self, now: Instant, payload: &[u8]) -> Result<(), SendError> {
            <$type>::ping(self, now, payload)
        }
        fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
            <$type>::pong(self, payload)
        }
    };
}

impl Sending for Connection {
    sending!(Connection);

    fn close(&mut self, now: Instant, frame: Option<(u16, &str)>) -> Result<(), CloseError> {
        match frame {
            Some((code, reason)) => Connection::close(self, now, code, reason),
            None => {
                self.close_with(now, CloseFrame::EMPTY);
                Ok(())
            }
        }
    }
}

impl Sending for Sender {
    sending!(Sender);

    fn close(&mut self, now: Instant, frame: Option<(u16, &str)>) -> Result<(), CloseError> {
        match frame {
            Some((code, reason)) => Sender::close(self, now, code, reason),
            None => {
                self.close_with(now, CloseFrame::EMPTY);
                Ok(())
            }
        }
    }
}

impl Endpoint for Connection {
    fn open(role: Role, negotiated: Negotiated, config: Config, entropy: BoxEntropy) -> Self {
        Self::from_upgraded(role, negotiated, config, entropy)
    }
    fn poll<'i>(&mut self, now: Instant, input: &mut Input<'i>) -> Option<Event<'i>> {
        Connection::poll(self, now, input)
    }
    fn sender<T>(&mut self, _: Instant, with: impl FnOnce(&mut dyn Sending) -> T) -> T {
        with(self)
    }
    fn eof(&mut self, now: Instant) {
        Connection::eof(self, now);
    }
    fn transport_failed(&mut self, now: Instant) {
        Connection::transport_failed(self, now);
    }
    fn abort(&mut self, now: Instant) {
        Connection::abort(self, now);
    }
    fn outgoing(&self) -> Vec<u8> {
        Connection::outgoing(self).flatten().copied().collect()
    }
    fn advance(&mut self, now: Instant, n: usize) {
        Connection::advance(self, now, n);
    }
    fn poll_timeout(&self) -> Option<Instant> {
        Connection::poll_timeout(self)
    }
    fn handle_timeout(&mut self, now: Instant) {
        Connection::handle_timeout(self, now);
    }
    fn wants_shutdown(&self) -> Option<Shutdown> {
        Connection::wants_shutdown(self)
    }
    fn set_delivery(&mut self, delivery: Delivery) {
        Connection::set_delivery(self, delivery);
    }
    fn state(&self) -> Option<State> {
        Some(Connection::state(self))
    }
    fn buffered(&self) -> usize {
        Connection::buffered(self)
    }
}

/// The two halves of a connection, with everything that is owed carried over at once.
#[derive(Debug)]
pub struct Halves {
    rx: Receiver,
    tx: Sender,
}

impl Halves {
    fn carry(&mut self, now: Instant) {
        loop {
            if let Some(owed) = self.rx.take_owed() {
                self.tx.settle(now, owed);
            }
            let Some(receipt) = self.tx.receipt() else { return };
            self.rx.note(now, receipt);
        }
    }
}

impl Endpoint for Halves {
    fn open(role: Role, negotiated: Negotiated, config: Config, entropy: BoxEntropy) -> Self {
        let (rx, tx) = <Connection as Endpoint>::open(role, negotiated, config, entropy).split();
        Self { rx, tx }
    }
    fn poll<'i>(&mut self, now: Instant, input: &mut Input<'i>) -> Option<Event<'i>> {
        let event = self.rx.poll(now, input);
        self.carry(now);
        self.rx.handle_timeout(now, self.tx.messages_sent());
        self.tx.handle_timeout(now);
        self.carry(now);
        match event {
            Some(Event::Pong(mut pong)) => {
                pong.round_trip = self.tx.pong_received(now, &pong.payload);
                Some(Event::Pong(pong))
            }
            None => {
                let ended = self.rx.ended(now);
                self.carry(now);
                ended
            }
            event => event,
        }
    }
    fn sender<T>(&mut self, now: Instant, with: impl FnOnce(&mut dyn Sending) -> T) -> T {
        let value = with(&mut self.tx);
        self.carry(now);
        value
    }
    fn eof(&mut self, now: Instant) {
        self.rx.eof(now);
        self.carry(now);
    }
    fn transport_failed(&mut self, now: Instant) {
        self.rx.transport_failed(now);
        self.carry(now);
    }
    fn abort(&mut self, now: Instant) {
        self.rx.abort(now);
        self.carry(now);
    }
    fn outgoing(&self) -> Vec<u8> {
        self.tx.outgoing().flatten().copied().collect()
    }
    fn advance(&mut self, now: Instant, n: usize) {
        self.tx.advance(n);
        self.carry(now);
    }
    fn poll_timeout(&self) -> Option<Instant> {
        [self.rx.poll_timeout(), self.tx.poll_timeout()].into_iter().flatten().min()
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.rx.handle_timeout(now, self.tx.messages_sent());
        self.carry(now);
        self.tx.handle_timeout(now);
        self.carry(now);
    }
    fn wants_shutdown(&self) -> Option<Shutdown> {
        if self.tx.wants_write() { None } else { self.rx.wants_shutdown() }
    }
    fn set_delivery(&mut self, delivery: Delivery) {
        self.rx.set_delivery(delivery);
    }
    fn state(&self) -> Option<State> {
        None
    }
    fn buffered(&self) -> usize {
        self.tx.buffered()
    }
}

/// An [`Endpoint`] with a clock and the events it gave.
#[derive(Debug)]
pub struct Driven<E> {
    /// The end under test.
    pub end: E,
    /// The virtual time.
    pub now: Instant,
    /// How often it was polled.
    pub polls: u64,
    seen: Vec<Seen>,
}

impl<E: Endpoint> Driven<E> {
    /// Starts the clock one second after its origin.
    #[must_use]
    pub fn new(role: Role, config: Config, entropy: BoxEntropy) -> Self {
        Self::open(role, Negotiated::new(Version::Rfc6455), config, entropy)
    }

    /// The same for an end whose handshake agreed on something.
    #[must_use]
    pub fn open(role: Role, negotiated: Negotiated, config: Config, entropy: BoxEntropy) -> Self {
        let end = E::open(role, negotiated, config, entropy);
        let mut driven = Self { end, now: Instant::from_secs(1), polls: 0, seen: Vec::new() };
        driven.poll(&mut []);
        driven
    }

    /// Polls until there is nothing more to say.
    pub fn poll(&mut self, bytes: &mut [u8]) {
        let mut input = Input::new(bytes);
        self.polls += 1;
        while let Some(event) = self.end.poll(self.now, &mut input) {
            self.polls += 1;
            self.seen.push(seen(&event));
        }
        assert!(input.is_empty(), "bytes were left behind");
    }
}

/// An event as scripts see it.
#[must_use]
pub fn seen(event: &Event<'_>) -> Seen {
    match event {
        Event::Text(text) => {
            assert_eq!(text.as_str().as_bytes(), text.as_bytes());
            Seen::Text(text.as_bytes().to_vec())
        }
        Event::Binary(bytes) => Seen::Binary(bytes.to_vec()),
        Event::Chunk(chunk) => {
            Seen::Chunk { kind: chunk.kind, first: chunk.first, last: chunk.last, data: chunk.data.to_vec() }
        }
        Event::Ping(payload) => Seen::Ping(payload.to_vec()),
        Event::Pong(pong) => Seen::Pong(pong.payload.to_vec(), pong.round_trip),
        Event::Closing(frame) => Seen::Closing(close_words(frame)),
        Event::Closed(closed) => Seen::Closed(closed_words(closed)),
        _ => unreachable!("an event that scripts have no word for"),
    }
}

/// A message of that kind; the bytes of a text must be UTF-8.
#[must_use]
pub fn message(kind: Kind, bytes: &[u8]) -> Message {
    match kind {
        Kind::Text => Message::text(str::from_utf8(bytes).expect("a script that sends text sends UTF-8")),
        Kind::Binary => Message::binary(bytes.to_vec()),
    }
}

/// The name of an error in scripts.
#[must_use]
pub fn send_error<M>(error: &SendError<M>) -> String {
    match error {
        SendError::Full(_) => "full",
        SendError::Closed(_) => "closed",
        SendError::MessageOpen(_) => "message-open",
        SendError::InvalidUtf8 => "utf8",
        SendError::ControlTooLong(_) => "too-long",
        SendError::Entropy(_) => "entropy",
        SendError::Unsupported(_) => "unsupported",
        _ => "other",
    }
    .into()
}

impl<E: Endpoint> Subject for Driven<E> {
    fn receive(&mut self, bytes: &[u8]) {
        self.poll(&mut bytes.to_vec());
    }

    fn eof(&mut self) {
        self.end.eof(self.now);
        self.poll(&mut []);
    }

    fn transport_failed(&mut self) {
        self.end.transport_failed(self.now);
        self.poll(&mut []);
    }

    fn advance_clock(&mut self, by: Duration) {
        let target = self.now.saturating_add(by);
        // Timers are few, and none restarts itself within no time.
        for _ in 0..10_000 {
            match self.end.poll_timeout() {
                Some(at) if at <= target => {
                    self.now = self.now.max(at);
                    self.end.handle_timeout(self.now);
                    self.poll(&mut []);
                }
                _ => {
                    self.now = target;
                    return;
                }
            }
        }
        panic!("a timer that never rests");
    }

    fn call(&mut self, call: &Call) -> Result<(), String> {
        let now = self.now;
        let result = match call {
            Call::Delivery(delivery) => {
                self.end.set_delivery(*delivery);
                Ok(())
            }
            Call::Abort => {
                self.end.abort(now);
                Ok(())
            }
            call => self.end.sender(now, |to| match call {
                Call::Send(kind, bytes) => {
                    let sent = message(*kind, bytes);
                    to.send(sent.clone()).map_err(|error| {
                        if let SendError::Full(back) | SendError::Closed(back) | SendError::MessageOpen(back) = &error {
                            assert_eq!((back.kind(), back.bytes()), (sent.kind(), sent.bytes()));
                        }
                        send_error(&error)
                    })
                }
                Call::SendAs(yes, kind, bytes) => {
                    to.send_as(message(*kind, bytes).compress(*yes)).map_err(|e| send_error(&e))
                }
                Call::Prepared(kind, bytes) => {
                    to.send_prepared(&Prepared::new(message(*kind, bytes))).map_err(|e| send_error(&e))
                }
                Call::Start(kind) => to.start(*kind).map_err(|e| send_error(&e)),
                Call::StartAs(yes, kind) => to.start_as(*kind, *yes).map_err(|e| send_error(&e)),
                Call::Piece(bytes) => to.piece(bytes, false).map_err(|e| send_error(&e)),
                Call::Finish(bytes) => to.piece(bytes, true).map_err(|e| send_error(&e)),
                Call::Ping(bytes) => to.ping(now, bytes).map_err(|e| send_error(&e)),
                Call::Pong(bytes) => to.pong(bytes).map_err(|e| send_error(&e)),
                Call::Close(frame) => {
                    let frame = frame.as_ref().map(|(code, reason)| (*code, reason.as_str()));
                    to.close(now, frame).map_err(|e| match e {
                        CloseError::Code(_) => "code".into(),
                        CloseError::ReasonTooLong(_) => "too-long".into(),
                        _ => "other".into(),
                    })
                }
                Call::Delivery(_) | Call::Abort => Ok(()),
            }),
        };
        self.poll(&mut []);
        result
    }

    fn events(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = self.end.outgoing();
        bytes.truncate(n);
        self.end.advance(self.now, bytes.len());
        self.poll(&mut []);
        bytes
    }

    fn fact(&mut self, question: &str) -> Option<String> {
        Some(match question {
            "state" => match self.end.state()? {
                State::Open => "open",
                State::CloseSent => "close-sent",
                State::CloseReceived => "close-received",
                State::Closed => "closed",
            }
            .into(),
            "shutdown" => match self.end.wants_shutdown() {
                None => "none",
                Some(Shutdown::Write) => "write",
                Some(Shutdown::Both) => "both",
            }
            .into(),
            "timeout" => match self.end.poll_timeout() {
                None => "none".into(),
                Some(at) => format!("{}ms", at.duration_since(self.now).as_millis()),
            },
            "buffered" => self.end.buffered().to_string(),
            _ => return None,
        })
    }
}
