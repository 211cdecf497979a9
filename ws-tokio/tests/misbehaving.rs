//! Halves in several threads, and runtimes that lack something. What transports may do to the engine is tested for all
//! adapters in `tests/tests/adapters`.

mod common;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use common::io::{Scripted, Step};
use common::{client, frame, modern, patiently, server};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, duplex};
use ws_tokio::ws_proto::Timers;
use ws_tokio::{Config, Message, Role, WebSocket};

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
