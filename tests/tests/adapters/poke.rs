//! The verbs of a connection, each called for a while and then interrupted.
//!
//! A future is polled a few times and dropped; a call that blocks is cancelled when it has waited a few times.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::StreamExt;
use ws_adapter::{AcceptError, ConnectError, Error, Receiver, Sender, Transfer, WebSocket};
use ws_async_std::FuturesIo;
use ws_blocking::{CancelToken, Interrupted, Wait};
use ws_proto::connection::{Connection, Event, MessageWriter, Prepared, Stats};
use ws_proto::{CloseCode, CloseError, Closed, Config, Delivery, IntoMessage, Kind, Message, Role, SendError};
use ws_tokio::Tokio;

use crate::wire::Io;
use crate::{modern, quiet};

/// How long the calls of this thread may wait.
#[derive(Clone)]
struct Patience {
    /// Polls of a future; a call that blocks is interrupted at the wait of this number.
    polls: usize,
    /// What happens between two of them.
    between: Rc<dyn Fn()>,
}

thread_local! {
    static PATIENCE: RefCell<Patience> = RefCell::new(Patience { polls: 1, between: Rc::new(|| {}) });
    /// The token of a call that is under way on this thread, and how often it may still wait.
    static CALL: RefCell<Option<(CancelToken, usize)>> = const { RefCell::new(None) };
    /// Calls end by their deadline, not by a token.
    static BY_DEADLINE: Cell<bool> = const { Cell::new(false) };
}

/// Calls in `f` are interrupted after so many polls, with `between` run before each further one. By default after one.
pub fn with_patience<T>(polls: usize, between: Rc<dyn Fn()>, f: impl FnOnce() -> T) -> T {
    let before = PATIENCE.replace(Patience { polls, between });
    let value = f();
    PATIENCE.set(before);
    value
}

/// Calls in `f` that block end by a deadline that has passed when they begin.
pub fn by_deadline<T>(f: impl FnOnce() -> T) -> T {
    BY_DEADLINE.set(true);
    let value = f();
    BY_DEADLINE.set(false);
    value
}

/// A transport was asked, and had to say that it must be waited for or not.
pub fn waited(cx: &Context<'_>, pending: bool) {
    if !pending {
        return;
    }
    let again = CALL.with_borrow_mut(|call| match call {
        None => false,
        Some((token, 0 | 1)) => {
            token.cancel();
            false
        }
        Some((_, left)) => {
            *left -= 1;
            true
        }
    });
    if again {
        let between = PATIENCE.with_borrow(|patience| patience.between.clone());
        between();
        cx.waker().wake_by_ref();
    }
}

/// Polls a future as often as patience allows, and drops it.
pub fn some<F: Future>(future: F) -> Option<F::Output> {
    let Patience { polls, between } = PATIENCE.with_borrow(Clone::clone);
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        between();
    }
    None
}

/// Makes a call with a [`Wait`] that ends it when patience does.
pub fn call<T>(f: impl FnOnce(Wait) -> T) -> T {
    if BY_DEADLINE.get() {
        return f(Wait::new().timeout(std::time::Duration::ZERO));
    }
    let token = CancelToken::new();
    let polls = PATIENCE.with_borrow(|patience| patience.polls);
    if polls == 0 {
        token.cancel();
    }
    CALL.set(Some((token.clone(), polls)));
    let value = f(Wait::new().cancel(&token));
    CALL.set(None);
    value
}

/// Where the futures of a runtime can be polled.
pub trait Home: Transfer<Io> {
    fn home<T>(f: impl FnOnce() -> T) -> T;
}

impl Home for Tokio {
    fn home<T>(f: impl FnOnce() -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        f()
    }
}

impl Home for FuturesIo {
    fn home<T>(f: impl FnOnce() -> T) -> T {
        f()
    }
}

impl Home for ws_blocking::Blocking {
    fn home<T>(f: impl FnOnce() -> T) -> T {
        f()
    }
}

/// The end of a stream of messages.
pub type Ended = Box<Closed>;

/// A connection of an adapter. What gives an `Option` is `None` if the call was interrupted.
pub trait Verbs: Sized + 'static {
    type Receiver: Hears;
    type Sender: Says;

    /// Messages that come in a row before others get their turn.
    const MOST_AT_ONCE: usize;

    fn home(f: impl FnOnce());
    fn open(connection: Connection, io: impl Into<Io>) -> Self;
    fn upgraded(role: Role, io: impl Into<Io>, config: Config) -> Self;
    fn accept(io: impl Into<Io>) -> Option<Result<Self, AcceptError>>;
    fn connect(url: &str, io: impl Into<Io>) -> Option<Result<Self, ConnectError>>;

    fn recv(&mut self) -> Option<Option<Message>>;
    fn recv_event(&mut self) -> Option<Option<Event<'static>>>;
    fn recv_lent(&mut self) -> Option<Option<Event<'static>>>;
    /// As a `Stream`, or an `Iterator`.
    fn next(&mut self) -> Option<Option<Result<Message, Ended>>>;
    fn send(&mut self, message: impl IntoMessage) -> Option<Result<(), Error>>;
    fn feed(&mut self, message: impl IntoMessage) -> Option<Result<(), Error>>;
    fn send_prepared(&mut self, message: &Prepared) -> Option<Result<(), Error>>;
    fn flush(&mut self) -> Option<Result<(), Error>>;
    fn ping(&mut self, payload: &[u8]) -> Option<Result<(), Error>>;
    fn pong(&mut self, payload: &[u8]) -> Option<Result<(), Error>>;
    fn close(&mut self, code: CloseCode, reason: &str) -> Option<Result<Closed, CloseError>>;

    fn try_send<M: IntoMessage>(&mut self, message: M) -> Result<(), SendError<M>>;
    fn start_close(&mut self, code: CloseCode, reason: &str) -> Result<(), CloseError>;
    fn abort(&mut self);
    fn start_message(&mut self, kind: Kind) -> Result<MessageWriter<'_>, SendError>;
    fn resume_message(&mut self) -> Option<MessageWriter<'_>>;
    fn set_delivery(&mut self, delivery: Delivery);
    fn closed(&self) -> Option<&Closed>;
    fn io_error(&self) -> Option<&io::Error>;
    fn stats(&self) -> Stats;
    fn is_open(&self) -> bool;
    fn split(self) -> (Self::Receiver, Self::Sender);

    /// A server's connection without timers.
    fn server(io: impl Into<Io>) -> Self {
        Self::upgraded(Role::Server, io, quiet())
    }

    fn client(io: impl Into<Io>) -> Self {
        Self::upgraded(Role::Client, io, quiet())
    }

    /// The end of a connection that does not wait.
    fn all(&mut self) -> Vec<Message> {
        let mut all = Vec::new();
        loop {
            match self.recv() {
                Some(Some(message)) => all.push(message),
                Some(None) => return all,
                None => {}
            }
        }
    }
}

/// The half that receives.
pub trait Hears {
    fn recv(&mut self) -> Option<Option<Message>>;
    fn closed(&self) -> Option<&Closed>;
}

/// The half that sends.
pub trait Says: Clone {
    fn send(&self, message: impl IntoMessage) -> Option<Result<(), Error>>;
    fn feed(&self, message: impl IntoMessage) -> Option<Result<(), Error>>;
    fn send_prepared(&self, message: &Prepared) -> Option<Result<(), Error>>;
    fn flush(&self) -> Option<Result<(), Error>>;
    fn ping(&self, payload: &[u8]) -> Option<Result<(), Error>>;
    fn pong(&self, payload: &[u8]) -> Option<Result<(), Error>>;
    fn close(&self, code: CloseCode, reason: &str) -> Option<Result<(), CloseError>>;
}

/// What takes no time is called by the same names everywhere.
macro_rules! same_words {
    ($type:ty) => {
        fn try_send<M: IntoMessage>(&mut self, message: M) -> Result<(), SendError<M>> {
            <$type>::try_send(self, message)
        }
        fn start_close(&mut self, code: CloseCode, reason: &str) -> Result<(), CloseError> {
            <$type>::start_close(self, code, reason)
        }
        fn abort(&mut self) {
            <$type>::abort(self);
        }
        fn start_message(&mut self, kind: Kind) -> Result<MessageWriter<'_>, SendError> {
            <$type>::start_message(self, kind)
        }
        fn resume_message(&mut self) -> Option<MessageWriter<'_>> {
            <$type>::resume_message(self)
        }
        fn set_delivery(&mut self, delivery: Delivery) {
            <$type>::set_delivery(self, delivery);
        }
        fn closed(&self) -> Option<&Closed> {
            <$type>::closed(self)
        }
        fn io_error(&self) -> Option<&io::Error> {
            <$type>::io_error(self)
        }
        fn stats(&self) -> Stats {
            <$type>::stats(self)
        }
        fn is_open(&self) -> bool {
            <$type>::get_ref(self).is_some()
        }
        fn split(self) -> (Self::Receiver, Self::Sender) {
            <$type>::split(self)
        }
        fn open(connection: Connection, io: impl Into<Io>) -> Self {
            <$type>::from_connection(connection, io.into())
        }
        fn upgraded(role: Role, io: impl Into<Io>, config: Config) -> Self {
            <$type>::from_upgraded(io.into(), role, modern(), config)
        }
    };
}

/// The adapters whose calls are futures.
impl<R: Home> Verbs for WebSocket<Io, R> {
    type Receiver = Receiver<Io, R>;
    type Sender = Sender<Io, R>;

    const MOST_AT_ONCE: usize = 128;

    same_words!(WebSocket<Io, R>);

    fn home(f: impl FnOnce()) {
        R::home(f);
    }
    fn accept(io: impl Into<Io>) -> Option<Result<Self, AcceptError>> {
        let acceptor = ws_adapter::Acceptor::<R>::default();
        some(acceptor.accept(io.into())).map(|result| result.map(|(ws, _)| ws))
    }
    fn connect(url: &str, io: impl Into<Io>) -> Option<Result<Self, ConnectError>> {
        let connector = ws_adapter::Connector::<R>::new(url).unwrap();
        some(connector.connect_over(io.into())).map(|result| result.map(|(ws, _)| ws))
    }
    fn recv(&mut self) -> Option<Option<Message>> {
        some(WebSocket::recv(self))
    }
    fn recv_event(&mut self) -> Option<Option<Event<'static>>> {
        some(WebSocket::recv_event(self))
    }
    fn recv_lent(&mut self) -> Option<Option<Event<'static>>> {
        some(self.recv_with(|event| Some(event.into_owned())))
    }
    fn next(&mut self) -> Option<Option<Result<Message, Ended>>> {
        let next = some(StreamExt::next(self));
        next.map(|item| {
            item.map(|result| {
                result.map_err(|error| match error {
                    Error::Ended(closed) => closed,
                    error => panic!("{error}"),
                })
            })
        })
    }
    fn send(&mut self, message: impl IntoMessage) -> Option<Result<(), Error>> {
        some(WebSocket::send(self, message))
    }
    fn feed(&mut self, message: impl IntoMessage) -> Option<Result<(), Error>> {
        some(WebSocket::feed(self, message))
    }
    fn send_prepared(&mut self, message: &Prepared) -> Option<Result<(), Error>> {
        some(WebSocket::send_prepared(self, message))
    }
    fn flush(&mut self) -> Option<Result<(), Error>> {
        some(WebSocket::flush(self))
    }
    fn ping(&mut self, payload: &[u8]) -> Option<Result<(), Error>> {
        some(WebSocket::ping(self, payload))
    }
    fn pong(&mut self, payload: &[u8]) -> Option<Result<(), Error>> {
        some(WebSocket::pong(self, payload))
    }
    fn close(&mut self, code: CloseCode, reason: &str) -> Option<Result<Closed, CloseError>> {
        some(WebSocket::close(self, code, reason))
    }
}

impl<R: Home> Hears for Receiver<Io, R> {
    fn recv(&mut self) -> Option<Option<Message>> {
        some(Receiver::recv(self))
    }
    fn closed(&self) -> Option<&Closed> {
        Receiver::closed(self)
    }
}

impl<R: Home> Says for Sender<Io, R> {
    fn send(&self, message: impl IntoMessage) -> Option<Result<(), Error>> {
        some(Sender::send(self, message))
    }
    fn feed(&self, message: impl IntoMessage) -> Option<Result<(), Error>> {
        some(Sender::feed(self, message))
    }
    fn send_prepared(&self, message: &Prepared) -> Option<Result<(), Error>> {
        some(Sender::send_prepared(self, message))
    }
    fn flush(&self) -> Option<Result<(), Error>> {
        some(Sender::flush(self))
    }
    fn ping(&self, payload: &[u8]) -> Option<Result<(), Error>> {
        some(Sender::ping(self, payload))
    }
    fn pong(&self, payload: &[u8]) -> Option<Result<(), Error>> {
        some(Sender::pong(self, payload))
    }
    fn close(&self, code: CloseCode, reason: &str) -> Option<Result<(), CloseError>> {
        some(Sender::close(self, code, reason))
    }
}

/// What came of a call that blocks; `None` if it was interrupted.
fn received<T>(result: Result<T, Interrupted>) -> Option<T> {
    let expected = if BY_DEADLINE.get() { Interrupted::Deadline } else { Interrupted::Cancelled };
    result.map_err(|why| assert_eq!(why, expected)).ok()
}

/// What came of a call that sends; `None` if it was interrupted.
pub fn sent(result: Result<(), ws_blocking::Error>) -> Option<Result<(), Error>> {
    use ws_blocking::Error as Theirs;
    Some(Err(match result {
        Ok(()) => return Some(Ok(())),
        Err(Theirs::Interrupted { .. }) => return None,
        Err(Theirs::Closed) => Error::Closed,
        Err(Theirs::MessageOpen) => Error::MessageOpen,
        Err(Theirs::InvalidUtf8) => Error::InvalidUtf8,
        Err(Theirs::ControlTooLong(n)) => Error::ControlTooLong(n),
        Err(Theirs::Unsupported(version)) => Error::Unsupported(version),
        Err(Theirs::Entropy(error)) => Error::Entropy(error),
        Err(Theirs::Encoding(error)) => Error::Encoding(error),
        Err(error) => panic!("{error}"),
    }))
}

/// The adapter whose calls block.
impl Verbs for ws_blocking::WebSocket<Io> {
    type Receiver = ws_blocking::Receiver<Io>;
    type Sender = ws_blocking::Sender<Io>;

    const MOST_AT_ONCE: usize = usize::MAX;

    same_words!(ws_blocking::WebSocket<Io>);

    fn home(f: impl FnOnce()) {
        f();
    }
    fn accept(io: impl Into<Io>) -> Option<Result<Self, AcceptError>> {
        let io = io.into();
        let result = call(|wait| {
            let mut acceptor = ws_blocking::Acceptor::default();
            acceptor.set_wait(wait);
            acceptor.accept(io)
        });
        match result {
            Ok((mut ws, _)) => {
                ws.set_wait(Wait::new());
                Some(Ok(ws))
            }
            Err(AcceptError::Io(error)) if interrupted(&error) => None,
            Err(error) => Some(Err(error)),
        }
    }
    fn connect(url: &str, io: impl Into<Io>) -> Option<Result<Self, ConnectError>> {
        let io = io.into();
        let mut connector = ws_blocking::Connector::new(url).unwrap();
        let result = call(|wait| {
            connector.set_wait(wait);
            connector.connect_over(io)
        });
        match result {
            Ok((mut ws, _)) => {
                ws.set_wait(Wait::new());
                Some(Ok(ws))
            }
            Err(ConnectError::Io(error)) if interrupted(&error) => None,
            Err(error) => Some(Err(error)),
        }
    }
    fn recv(&mut self) -> Option<Option<Message>> {
        received(call(|wait| {
            self.set_wait(wait);
            Self::recv(self)
        }))
    }
    fn recv_event(&mut self) -> Option<Option<Event<'static>>> {
        received(call(|wait| {
            self.set_wait(wait);
            Self::recv_event(self)
        }))
    }
    fn recv_lent(&mut self) -> Option<Option<Event<'static>>> {
        received(call(|wait| {
            self.set_wait(wait);
            self.recv_with(|event| Some(event.into_owned()))
        }))
    }
    fn next(&mut self) -> Option<Option<Result<Message, Ended>>> {
        use ws_blocking::Error as Theirs;
        let next = call(|wait| {
            self.set_wait(wait);
            Iterator::next(self)
        });
        match next {
            Some(Err(Theirs::Interrupted { .. })) => None,
            Some(Err(Theirs::Ended(closed))) => Some(Some(Err(closed))),
            Some(Err(error)) => panic!("{error}"),
            Some(Ok(message)) => Some(Some(Ok(message))),
            None => Some(None),
        }
    }
    fn send(&mut self, message: impl IntoMessage) -> Option<Result<(), Error>> {
        sent(call(|wait| {
            self.set_wait(wait);
            Self::send(self, message)
        }))
    }
    fn feed(&mut self, message: impl IntoMessage) -> Option<Result<(), Error>> {
        sent(call(|wait| {
            self.set_wait(wait);
            Self::feed(self, message)
        }))
    }
    fn send_prepared(&mut self, message: &Prepared) -> Option<Result<(), Error>> {
        sent(call(|wait| {
            self.set_wait(wait);
            Self::send_prepared(self, message)
        }))
    }
    fn flush(&mut self) -> Option<Result<(), Error>> {
        sent(call(|wait| {
            self.set_wait(wait);
            Self::flush(self)
        }))
    }
    fn ping(&mut self, payload: &[u8]) -> Option<Result<(), Error>> {
        sent(call(|wait| {
            self.set_wait(wait);
            Self::ping(self, payload)
        }))
    }
    fn pong(&mut self, payload: &[u8]) -> Option<Result<(), Error>> {
        sent(call(|wait| {
            self.set_wait(wait);
            Self::pong(self, payload)
        }))
    }
    fn close(&mut self, code: CloseCode, reason: &str) -> Option<Result<Closed, CloseError>> {
        let result = call(|wait| {
            self.set_wait(wait);
            Self::close(self, code, reason)
        });
        match result {
            Ok(closed) => Some(Ok(closed)),
            Err(ws_blocking::Error::Interrupted { .. }) => None,
            Err(ws_blocking::Error::Close(error)) => Some(Err(error)),
            Err(error) => panic!("{error}"),
        }
    }
}

impl Hears for ws_blocking::Receiver<Io> {
    fn recv(&mut self) -> Option<Option<Message>> {
        received(call(|wait| {
            self.set_wait(wait);
            Self::recv(self)
        }))
    }
    fn closed(&self) -> Option<&Closed> {
        Self::closed(self)
    }
}

impl Says for ws_blocking::Sender<Io> {
    fn send(&self, message: impl IntoMessage) -> Option<Result<(), Error>> {
        sent(call(|wait| waiting(self, wait).send(message)))
    }
    fn feed(&self, message: impl IntoMessage) -> Option<Result<(), Error>> {
        sent(call(|wait| waiting(self, wait).feed(message)))
    }
    fn send_prepared(&self, message: &Prepared) -> Option<Result<(), Error>> {
        sent(call(|wait| waiting(self, wait).send_prepared(message)))
    }
    fn flush(&self) -> Option<Result<(), Error>> {
        sent(call(|wait| waiting(self, wait).flush()))
    }
    fn ping(&self, payload: &[u8]) -> Option<Result<(), Error>> {
        sent(call(|wait| waiting(self, wait).ping(payload)))
    }
    fn pong(&self, payload: &[u8]) -> Option<Result<(), Error>> {
        sent(call(|wait| waiting(self, wait).pong(payload)))
    }
    fn close(&self, code: CloseCode, reason: &str) -> Option<Result<(), CloseError>> {
        match call(|wait| waiting(self, wait).close(code, reason)) {
            Ok(()) => Some(Ok(())),
            Err(ws_blocking::Error::Interrupted { .. }) => None,
            Err(ws_blocking::Error::Close(error)) => Some(Err(error)),
            Err(error) => panic!("{error}"),
        }
    }
}

fn waiting(sender: &ws_blocking::Sender<Io>, wait: Wait) -> ws_blocking::Sender<Io> {
    let mut sender = sender.clone();
    sender.set_wait(wait);
    sender
}

fn interrupted(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Interrupted>())
}
