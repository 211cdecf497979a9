//! Transports that lie, stall and fail, and programs that call anything at any time.

mod common;

use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::io::{Scripted, Step, frames};
use common::{client, frame, modern, pair, patiently, server};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, duplex};
use ws_tokio::ws_proto::Timers;
use ws_tokio::{Cause, CloseCode, Config, Error, Kind, Message, Role, WebSocket};

/// A small random number generator: tests print their seed by failing.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    /// What a transport may do without being broken.
    fn step(&mut self) -> Step {
        match self.roll(8) {
            0 | 1 => Step::Wait,
            2 => Step::Fail(ErrorKind::Interrupted),
            3 => Step::Fail(ErrorKind::WouldBlock),
            4 => Step::Move(1),
            5 => Step::Move(1 + self.roll(5) as usize),
            6 => Step::Move(1 + self.roll(100) as usize),
            _ => Step::Move(1 + self.roll(100_000) as usize),
        }
    }

    fn steps(mut self) -> impl Iterator<Item = Step> + Send {
        std::iter::from_fn(move || Some(self.step()))
    }
}

#[tokio::test]
async fn threat_113_spurious_wakes_interruptions_and_short_counts_change_nothing() {
    patiently(async {
        for seed in 0..300 {
            let mut dice = Dice::new(seed);
            let mut input = Vec::new();
            let mut expected = Vec::new();
            for _ in 0..dice.roll(20) {
                let len = [0, 1, 125, 126, 3000, 70_000][dice.roll(6) as usize];
                input.extend(frame(0x82, &vec![len as u8; len]));
                expected.push((0x82, vec![len as u8; len]));
            }
            input.extend(frame(0x88, b"\x03\xe8"));
            expected.push((0x88, b"\x03\xe8".to_vec()));
            let mut transport =
                Scripted::new(&input).reads(Dice::new(seed + 1000).steps()).writes(Dice::new(seed + 2000).steps());
            transport.vectored = seed % 2 == 0;
            let log = transport.log.clone();
            let mut ws = server(transport);
            while let Some(message) = ws.recv().await {
                ws.send(message).await.unwrap();
            }
            assert!(ws.closed().unwrap().is_clean(), "seed {seed}: {:?}", ws.closed());
            assert!(log.get(|log| frames(&log.written)) == expected, "seed {seed}");
        }
    })
    .await;
}

/// Says that it did more than it could.
struct Liar {
    reading: bool,
    writing: bool,
}

impl AsyncRead for Liar {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.reading {
            return Poll::Pending;
        }
        // All that safe code can do: swap the buffer for a longer one.
        let mut longer = ReadBuf::new(Box::leak(vec![0; 1_000_000].into_boxed_slice()));
        longer.set_filled(1_000_000);
        *buf = longer;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Liar {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(if self.writing { buf.len() + 1 } else { buf.len() }))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, _: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let len: usize = bufs.iter().map(|buf| buf.len()).sum();
        Poll::Ready(Ok(if self.writing { usize::MAX } else { len }))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn threat_113_counts_that_are_too_large_are_errors() {
    patiently(async {
        let mut ws = server(Liar { reading: true, writing: false });
        assert_eq!(ws.recv().await, None);
        assert_eq!(ws.closed().unwrap().cause, Cause::Transport);
        assert_eq!(ws.io_error().unwrap().kind(), ErrorKind::InvalidData);

        let mut ws = server(Liar { reading: false, writing: true });
        assert_eq!(ws.send("x").await, Err(Error::Closed));
        assert_eq!(ws.recv().await, None);
        assert_eq!(ws.closed().unwrap().cause, Cause::Transport);
        assert_eq!(ws.io_error().unwrap().kind(), ErrorKind::InvalidData);

        assert!(ws_tokio::accept(Liar { reading: true, writing: false }).await.is_err());
        let connector = ws_tokio::Connector::new("ws://localhost/").unwrap();
        assert!(connector.connect_over(Liar { reading: false, writing: true }).await.is_err());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn threat_113_a_write_of_nothing_is_an_error() {
    patiently(async {
        let transport = Scripted::new("").reads(std::iter::repeat(Step::Stuck)).writes([Step::Move(0)]);
        let mut ws = server(transport);
        assert_eq!(ws.send("x").await, Err(Error::Closed));
        assert_eq!(ws.send("y").await, Err(Error::Closed));
        assert_eq!(ws.recv().await, None);
        assert_eq!(ws.closed().unwrap().cause, Cause::Transport);
        assert_eq!(ws.io_error().unwrap().kind(), ErrorKind::WriteZero);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn threat_113_after_a_failed_write_what_had_arrived_is_still_delivered() {
    patiently(async {
        let bytes = [frame(0x81, b"one"), frame(0x81, b"two"), frame(0x88, b"\x03\xe9")].concat();
        let transport =
            Scripted::new(bytes).reads([Step::Move(20), Step::Wait]).writes([Step::Fail(ErrorKind::BrokenPipe)]);
        let mut ws = server(transport);
        assert_eq!(ws.send("x").await, Err(Error::Closed));
        assert_eq!(ws.recv().await, Some("one".into()));
        assert_eq!(ws.recv().await, Some("two".into()));
        assert_eq!(ws.recv().await, None);
        let closed = ws.closed().unwrap();
        assert_eq!((closed.cause, closed.code()), (Cause::Transport, CloseCode::GOING_AWAY));
        assert_eq!(ws.io_error().unwrap().kind(), ErrorKind::BrokenPipe);
    })
    .await;
}

#[tokio::test]
async fn threat_106_many_causes_at_once_make_one_end() {
    patiently(async {
        // The peer's Close, the end of the stream or an error, a failing write, our own close and abort.
        for order in 0..64_u32 {
            let bytes = if order & 1 == 0 { frame(0x88, b"\x03\xe8") } else { Vec::new() };
            let last = if order & 2 == 0 { Step::Move(0) } else { Step::Fail(ErrorKind::ConnectionReset) };
            let write = if order & 4 == 0 { Step::Move(1000) } else { Step::Fail(ErrorKind::BrokenPipe) };
            let reads = if bytes.is_empty() { vec![last] } else { vec![Step::Move(100), last] };
            let transport = Scripted::new(bytes).reads(reads).writes([write]);
            let mut ws = server(transport);
            if order & 8 == 0 {
                ws.start_close(4000, "").unwrap();
            }
            let mut ends = 0;
            if order & 16 == 0 {
                ends += u32::from(ws.recv_event().await.is_none());
            }
            if order & 32 == 0 {
                ws.abort();
            }
            while ws.recv_event().await.is_some() {
                assert_eq!(ends, 0, "an event after the end");
            }
            let first = ws.closed().cloned().unwrap();
            ws.abort();
            assert_eq!(ws.recv().await, None);
            assert_eq!(ws.close(1000, "").await.unwrap(), first, "order {order}");
        }
    })
    .await;
}

#[tokio::test]
async fn threat_114_any_order_of_calls_is_harmless() {
    patiently(async {
        let mut context = Context::from_waker(Waker::noop());
        for seed in 0..400 {
            let mut dice = Dice::new(seed);
            let (a, b) = pair(1 + dice.roll(300) as usize);
            let mut both = [a, b];
            for _ in 0..60 {
                let ws = &mut both[dice.roll(2) as usize];
                let message = vec![0; dice.roll(600) as usize];
                // Each future is polled once and dropped.
                match dice.roll(14) {
                    0..=2 => drop(pin!(ws.recv()).poll(&mut context)),
                    3 => drop(pin!(ws.recv_event()).poll(&mut context)),
                    4 => drop(pin!(ws.send(message)).poll(&mut context)),
                    5 => drop(pin!(ws.feed("text")).poll(&mut context)),
                    6 => drop(pin!(ws.flush()).poll(&mut context)),
                    7 => drop(pin!(ws.ping(&message)).poll(&mut context)),
                    8 => drop(ws.try_send(message)),
                    9 => drop(ws.start_message(Kind::Text).map(|mut writer| writer.write(&message))),
                    10 => drop(ws.resume_message().map(|writer| writer.finish(b"end"))),
                    11 if dice.roll(6) == 0 => drop(pin!(ws.close(dice.roll(5000) as u16, "")).poll(&mut context)),
                    12 if dice.roll(12) == 0 => ws.abort(),
                    _ => drop((ws.stats(), ws.closed().is_some(), ws.io_error().is_some(), ws.get_ref().is_some())),
                }
            }
            let [a, b] = both;
            match dice.roll(3) {
                0 => drop(a),
                1 => drop(a.split().0),
                _ => drop(a.split().1),
            }
            drop(b);
        }
    })
    .await;
}

/// Two pipes that keep one waker each, of whoever came last: what a transport is allowed to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_112_halves_in_two_tasks_never_miss_a_wake_up() {
    patiently(async {
        for (seed, size) in (0..20).zip([1, 2, 5, 64, 100, 1000].into_iter().cycle()) {
            let (a, b) = duplex(size);
            let (a, b) = (client(OneWaker::new(a)), server(OneWaker::new(b)));
            let tasks = [flow(a, seed), flow(b, seed + 100)];
            for task in tasks {
                task.await.unwrap();
            }
        }
    })
    .await;
}

/// Sends and receives a hundred messages at the same time, in two tasks.
fn flow(ws: WebSocket<OneWaker>, seed: u64) -> tokio::task::JoinHandle<()> {
    let (mut receiver, sender) = ws.split();
    let sending = tokio::spawn(async move {
        let mut dice = Dice::new(seed);
        for n in 0..100_u8 {
            sender.send(vec![n; dice.roll(60) as usize]).await.unwrap();
            if dice.roll(4) == 0 {
                tokio::task::yield_now().await;
            }
        }
        sender
    });
    tokio::spawn(async move {
        for n in 0..100_u8 {
            let Some(Message::Binary(message)) = receiver.recv().await else { panic!("no message {n}") };
            assert!(message.iter().all(|byte| *byte == n));
        }
        let sender = sending.await.unwrap();
        // Not `close().await`: in the smallest pipe a Close has no room until the other side reads.
        sender.start_close(1000, "").unwrap();
        while receiver.recv().await.is_some() {}
        assert!(receiver.closed().unwrap().is_clean(), "{:?}", receiver.closed());
    })
}

/// Registers only the latest waker, whether it came to read or to write.
struct OneWaker {
    io: tokio::io::DuplexStream,
    waker: std::sync::Arc<Latest>,
}

#[derive(Default)]
struct Latest(std::sync::Mutex<Option<Waker>>);

impl std::task::Wake for Latest {
    fn wake(self: std::sync::Arc<Self>) {
        if let Some(waker) = self.0.lock().unwrap().take() {
            waker.wake();
        }
    }
}

impl OneWaker {
    fn new(io: tokio::io::DuplexStream) -> Self {
        Self { io, waker: Default::default() }
    }

    fn polled<R>(
        &mut self,
        cx: &Context<'_>,
        f: impl FnOnce(Pin<&mut tokio::io::DuplexStream>, &mut Context<'_>) -> R,
    ) -> R {
        *self.waker.0.lock().unwrap() = Some(cx.waker().clone());
        let waker = Waker::from(self.waker.clone());
        f(Pin::new(&mut self.io), &mut Context::from_waker(&waker))
    }
}

impl AsyncRead for OneWaker {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.polled(cx, |io, cx| io.poll_read(cx, buf))
    }
}

impl AsyncWrite for OneWaker {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.polled(cx, |io, cx| io.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.polled(cx, |io, cx| io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.polled(cx, |io, cx| io.poll_shutdown(cx))
    }
}

#[tokio::test]
async fn threat_111_a_connection_that_always_has_input_lets_others_run() {
    patiently(async {
        let input = frame(0x81, b"").repeat(20_000);
        let mut ws = server(Scripted::new(input));
        let mut context = Context::from_waker(Waker::noop());
        let mut got = 0;
        let mut longest = 0;
        let mut run = 0;
        while got < 20_000 {
            match ws.poll_recv(&mut context) {
                Poll::Ready(message) => {
                    assert_eq!(message, Some(Message::from("")));
                    got += 1;
                    run += 1;
                    longest = longest.max(run);
                }
                Poll::Pending => run = 0,
            }
        }
        assert!(longest <= 128, "{longest}");
        // Input that makes no events, too.
        let transport = Scripted::new(frame(0x02, &[0; 1000])).reads(std::iter::repeat(Step::Move(1)));
        let log = transport.log.clone();
        let mut ws = server(transport);
        assert!(ws.poll_recv(&mut context).is_pending());
        let reads = log.get(|log| log.reads);
        assert!(reads <= 64, "{reads}");
    })
    .await;
}

#[tokio::test]
async fn threat_117_both_ends_send_at_once() {
    patiently(async {
        // A sender and a receiver on each side: no deadlock, however small the pipe.
        let (client, server) = pair(4096);
        let halves = |ws: WebSocket<tokio::io::DuplexStream>| async move {
            let (mut receiver, sender) = ws.split();
            let sending = tokio::spawn(async move {
                for _ in 0..64 {
                    sender.send(vec![1; 256 * 1024]).await.unwrap();
                }
                sender
            });
            for _ in 0..64 {
                assert_eq!(receiver.recv().await.unwrap().len(), 256 * 1024);
            }
            drop(sending.await.unwrap());
        };
        let one = tokio::spawn(halves(client));
        halves(server).await;
        one.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn threat_117_two_that_only_send_end_by_the_write_stall() {
    tokio::time::timeout(Duration::from_secs(1000), async {
        let (client, server) = pair(4096);
        let pour = |mut ws: WebSocket<tokio::io::DuplexStream>| async move {
            while ws.send(vec![1; 10_000]).await.is_ok() {}
            while ws.recv().await.is_some() {}
            ws.closed().unwrap().cause
        };
        let (a, b) = tokio::join!(tokio::spawn(pour(client)), tokio::spawn(pour(server)));
        let causes = [a.unwrap(), b.unwrap()];
        assert!(causes.contains(&Cause::WriteStalled), "{causes:?}");
    })
    .await
    .expect("a deadlock");
}

#[tokio::test]
async fn timers_off_needs_no_timer_of_the_runtime() {
    let mut config = Config::default();
    config.timers = Timers::off();
    let bytes = [frame(0x81, b"x"), frame(0x88, b"\x03\xe8")].concat();
    let transport = Scripted::new(bytes).reads([Step::Wait, Step::Move(3), Step::Wait]).writes([Step::Wait]);
    let ws = WebSocket::from_upgraded(transport, Role::Server, modern(), config);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async move {
            let mut ws = ws;
            while let Some(message) = ws.recv().await {
                ws.send(message).await.unwrap();
            }
            assert!(ws.closed().unwrap().is_clean());
        });
    })
    .join()
    .unwrap();
}
