//! The scripts of `tests/vectors`, against the public verbs of each adapter over a pipe in memory.
//!
//! Scripts in which time passes need a clock that can be moved. tokio has one; for the transports of the other adapters
//! the suite brings it, with the engine that they share. All other scripts run against each adapter as it is.

use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;

use ws_proto::connection::{Connection, Event, Prepared};
use ws_proto::{CloseError, Closed, IntoMessage, Role, SendError};
use ws_tests::endpoint::{message, seen, send_error};
use ws_tests::entropy::counting;
use ws_tests::run::{Cut, Subject, play};
use ws_tests::transcript::{Call, Seen, Step, Transcript, closed_words, scripts};

use crate::poke::{Home, Verbs};
use crate::sim::{Paused, Simulated, Socket, World};
use crate::wire::{End, Io, pipe};

/// Where a connection is played with.
trait Stage: Sized {
    type Socket: Verbs;

    /// Whether its clock can be moved.
    const MOVES: bool;

    fn new() -> Self;
    fn on<T>(&self, f: impl FnOnce() -> T) -> T;
    /// Lets time pass, with somebody receiving.
    fn pass(&self, time: Duration, socket: &mut Self::Socket, each: &mut dyn FnMut(Event<'_>));
}

/// As it is, with the clock on the wall.
struct Wall<V>(std::marker::PhantomData<V>);

impl<V: Verbs> Stage for Wall<V> {
    type Socket = V;

    const MOVES: bool = false;

    fn new() -> Self {
        Self(std::marker::PhantomData)
    }
    fn on<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }
    fn pass(&self, _: Duration, _: &mut V, _: &mut dyn FnMut(Event<'_>)) {
        unreachable!("such scripts are left out");
    }
}

impl<W: World<Runtime: Home>> Stage for W {
    type Socket = Socket<W>;

    const MOVES: bool = true;

    fn new() -> Self {
        <W as World>::new()
    }
    fn on<T>(&self, f: impl FnOnce() -> T) -> T {
        self.run(async { f() })
    }
    fn pass(&self, time: Duration, socket: &mut Socket<W>, each: &mut dyn FnMut(Event<'_>)) {
        self.run(async {
            let mut sleep = pin!(W::sleep(time));
            let receiving = async {
                let mut hand = |event: Event<'_>| -> Option<()> {
                    each(event);
                    None
                };
                socket.recv_with(&mut hand).await;
            };
            let mut receiving = pin!(receiving);
            let mut ended = false;
            std::future::poll_fn(|cx| {
                ended = ended || receiving.as_mut().poll(cx).is_ready();
                sleep.as_mut().poll(cx)
            })
            .await;
        });
    }
}

struct Adapter<S: Stage> {
    stage: S,
    socket: S::Socket,
    peer: End,
    breaker: Option<Box<dyn FnOnce(ErrorKind)>>,
    seen: Vec<Seen>,
    over: bool,
}

impl<S: Stage> Adapter<S> {
    fn new(script: &Transcript) -> Self {
        let stage = S::new();
        let (end, peer) = pipe(1 << 20);
        let breaker = Box::new(end.breaker());
        let connection = Connection::from_upgraded(script.role, script.negotiated(), script.config.clone(), counting());
        let socket = stage.on(|| S::Socket::open(connection, end));
        let mut adapter = Self { stage, socket, peer, breaker: Some(breaker), seen: Vec::new(), over: false };
        adapter.pump();
        adapter
    }

    /// Receives until there is nothing more to receive now.
    fn pump(&mut self) {
        while !self.over {
            let Self { stage, socket, .. } = self;
            match stage.on(|| socket.recv_event()) {
                Some(Some(event)) => self.seen.push(noted::<S>(&event)),
                Some(None) => self.ended(),
                None => return,
            }
        }
    }

    fn ended(&mut self) {
        self.over = true;
        let closed: &Closed = self.socket.closed().expect("nothing more comes, so it is over");
        self.seen.push(Seen::Closed(closed_words(closed)));
    }
}

/// On the wall clock a pong takes some time, in scripts where no time passes none.
fn noted<S: Stage>(event: &Event<'_>) -> Seen {
    match seen(event) {
        Seen::Pong(payload, Some(time)) if !S::MOVES => {
            assert!(time < Duration::from_secs(60));
            Seen::Pong(payload, Some(Duration::ZERO))
        }
        seen => seen,
    }
}

fn error(error: &ws_adapter::Error) -> String {
    use ws_adapter::Error;
    match error {
        Error::Closed => "closed",
        Error::MessageOpen => "message-open",
        Error::InvalidUtf8 => "utf8",
        Error::ControlTooLong(_) => "too-long",
        Error::Unsupported(_) => "unsupported",
        _ => "other",
    }
    .into()
}

/// What waits is sent later.
fn done(result: Option<Result<(), ws_adapter::Error>>) -> Result<(), String> {
    result.unwrap_or(Ok(())).map_err(|e| error(&e))
}

fn call<V: Verbs>(socket: &mut V, call: &Call) -> Result<(), String> {
    match call {
        Call::Send(kind, bytes) => socket.try_send(message(*kind, bytes)).map_err(|e| send_error(&e)),
        Call::SendAs(yes, kind, bytes) => {
            socket.try_send(message(*kind, bytes).compress(*yes)).map_err(|e| send_error(&e))
        }
        Call::Prepared(kind, bytes) => done(socket.send_prepared(&Prepared::new(message(*kind, bytes)))),
        Call::StartAs(yes, kind) => {
            let writer = socket.start_message(*kind).map_err(|e| send_error(&e))?;
            drop(writer.compress(*yes));
            Ok(())
        }
        Call::Start(kind) => socket.start_message(*kind).map(drop).map_err(|e| send_error(&e)),
        Call::Piece(bytes) | Call::Finish(bytes) => {
            let result = match socket.resume_message() {
                None => Err(SendError::Closed(())),
                Some(writer) if matches!(call, Call::Finish(_)) => writer.finish(bytes),
                Some(mut writer) => writer.write(bytes),
            };
            result.map_err(|e| send_error(&e))
        }
        Call::Ping(bytes) => done(socket.ping(bytes)),
        Call::Pong(bytes) => done(socket.pong(bytes)),
        Call::Close(None) => unreachable!("such scripts are left out"),
        Call::Close(Some((code, reason))) => socket.start_close((*code).into(), reason).map_err(|e| match e {
            CloseError::Code(_) => "code".into(),
            _ => "too-long".into(),
        }),
        Call::Delivery(delivery) => {
            socket.set_delivery(*delivery);
            Ok(())
        }
        Call::Abort => {
            socket.abort();
            Ok(())
        }
    }
}

impl<S: Stage> Subject for Adapter<S> {
    fn receive(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(1 << 19) {
            self.peer.try_write(bytes);
            self.pump();
        }
    }

    fn eof(&mut self) {
        self.peer.end();
        self.pump();
    }

    fn transport_failed(&mut self) {
        if let Some(fail) = self.breaker.take() {
            fail(ErrorKind::ConnectionReset);
        }
        self.pump();
    }

    fn advance_clock(&mut self, by: Duration) {
        let Self { stage, socket, seen, .. } = self;
        stage.pass(by, socket, &mut |event| seen.push(noted::<S>(&event)));
        if !self.over && self.socket.closed().is_some() {
            self.ended();
        }
    }

    fn call(&mut self, asked: &Call) -> Result<(), String> {
        let Self { stage, socket, .. } = self;
        let result = stage.on(|| call(socket, asked));
        self.pump();
        result
    }

    fn events(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < n {
            match self.peer.try_read(n.min(1 << 20) - all.len()) {
                Some(bytes) if !bytes.is_empty() => all.extend(bytes),
                _ => break,
            }
            self.pump();
        }
        all
    }

    fn fact(&mut self, _: &str) -> Option<String> {
        None
    }
}

/// Scripts about what only the core has are left out.
fn adaptable(script: &Transcript) -> bool {
    !script.core_only && !script.steps.iter().any(|(_, step)| matches!(step, Step::Call(Call::Close(None), _)))
}

fn waits(script: &Transcript) -> bool {
    script.steps.iter().any(|(_, step)| matches!(step, Step::Advance(_)))
}

/// Plays all scripts that can be played here; tells how many.
fn play_all<S: Stage>() -> usize {
    let scripts: Vec<_> =
        scripts().into_iter().filter(|script| adaptable(script) && (S::MOVES || !waits(script))).collect();
    assert!(scripts.iter().any(|script| script.role == Role::Client));
    let mut faults = Vec::new();
    for script in &scripts {
        let total: usize =
            script.steps.iter().map(|(_, step)| if let Step::Receive(b) = step { b.len() } else { 0 }).sum();
        let mut cuts = vec![Cut::Whole, Cut::Every(3), Cut::Every(7)];
        if total < 1000 {
            cuts.push(Cut::Bytewise);
        }
        for cut in cuts {
            if let Err(fault) = play(script, cut, &mut Adapter::<S>::new(script)) {
                faults.push(fault);
                break;
            }
        }
    }
    assert!(faults.is_empty(), "{} of {} scripts failed\n{}", faults.len(), scripts.len(), faults.join("\n\n"));
    scripts.len()
}

#[test]
fn transcripts_against_tokio() {
    // All of them.
    assert!(play_all::<Paused>() > 200);
}

#[test]
fn transcripts_against_the_transports_of_futures_io() {
    assert_eq!(play_all::<Simulated<ws_async_std::FuturesIo>>(), how_many(|_| true));
}

#[test]
fn transcripts_against_the_transports_of_threads() {
    assert_eq!(play_all::<Simulated<ws_blocking::Blocking>>(), how_many(|_| true));
}

#[test]
fn transcripts_without_time_against_futures_io() {
    assert_eq!(play_all::<Wall<ws_async_std::WebSocket<Io>>>(), how_many(|script| !waits(script)));
}

#[test]
fn transcripts_without_time_against_threads() {
    assert_eq!(play_all::<Wall<ws_blocking::WebSocket<Io>>>(), how_many(|script| !waits(script)));
}

#[test]
fn few_scripts_need_a_clock_that_moves() {
    let (all, still) = (how_many(|_| true), how_many(|script| !waits(script)));
    assert!(all > 350 && all - still <= 30, "{all} scripts, {still} in which no time passes");
}

fn how_many(which: impl Fn(&Transcript) -> bool) -> usize {
    scripts().iter().filter(|script| adaptable(script) && which(script)).count()
}
