//! Helpers of the tests.
#![allow(dead_code, unreachable_pub)]

#[cfg(feature = "tls")]
pub mod certificates;
#[cfg(any(feature = "async-std", feature = "smol"))]
mod serving;

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_io::{Async, Timer};
use smol::channel;
use smol::future::FutureExt;
use ws_async_std::ws_proto::Timers;
use ws_async_std::{Config, Message, NetStream, WebSocket};

#[cfg(any(feature = "async-std", feature = "smol"))]
#[allow(unused_imports)]
pub use serving::{Running, server, start, start_with};

/// Only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Where the tasks of a test run.
#[derive(Clone, Copy, Debug)]
pub enum Rt {
    AsyncStd,
    Smol,
}

impl Rt {
    pub fn block_on<F: Future>(self, future: F) -> F::Output {
        match self {
            Self::AsyncStd => async_std::task::block_on(future),
            Self::Smol => smol::block_on(future),
        }
    }

    /// Runs a task. It goes on if what this gives is dropped.
    pub fn spawn<T: Send + 'static>(self, future: impl Future<Output = T> + Send + 'static) -> Joined<T> {
        let (done, result) = channel::bounded(1);
        let task = async move { drop(done.send(future.await).await) };
        match self {
            Self::AsyncStd => drop(async_std::task::spawn(task)),
            Self::Smol => smol::spawn(task).detach(),
        }
        Joined(result)
    }
}

/// A task that was spawned.
pub struct Joined<T>(channel::Receiver<T>);

impl<T> Joined<T> {
    pub async fn join(self) -> T {
        self.0.recv().await.expect("the task panicked")
    }
}

/// Runs a test in each runtime.
pub fn both<F: Future>(test: impl Fn(Rt) -> F) {
    for rt in [Rt::AsyncStd, Rt::Smol] {
        // In a box: a future is moved around in `block_on`, and unoptimized code takes stack for each move.
        rt.block_on(patiently(Box::pin(test(rt))));
    }
}

/// The body of a test with an end.
pub async fn patiently<F: Future>(future: F) -> F::Output {
    within(PATIENCE, future).await.expect("the test hangs")
}

/// What the future gives, or `None` if it takes longer.
pub async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    async { Some(future.await) }
        .or(async {
            Timer::after(limit).await;
            None
        })
        .await
}

pub async fn sleep(time: Duration) {
    Timer::after(time).await;
}

pub async fn yield_now() {
    smol::future::yield_now().await;
}

/// Polls a future once and drops it.
pub fn once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Polls a future up to `polls` times, with some time between, then drops it.
pub async fn some_polls<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        sleep(Duration::from_micros(100)).await;
    }
    None
}

/// No timers but the one that `set` sets.
pub fn timers(set: impl FnOnce(&mut Timers)) -> Config {
    let mut config = Config::default();
    config.timers = Timers::off();
    set(&mut config.timers);
    config
}

pub async fn echo<T>(mut ws: WebSocket<T>)
where
    T: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin,
{
    while let Some(message) = ws.recv().await {
        let _ = ws.send(message).await;
    }
}

/// Sends a word and hears it.
pub async fn says<T>(ws: &mut WebSocket<T>, word: &str)
where
    T: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin,
{
    ws.send(word).await.unwrap();
    assert_eq!(ws.recv().await, Some(Message::from(word)));
}

/// Two ends of a TCP connection.
pub async fn tcp() -> (NetStream, NetStream) {
    let (a, b) = tcp_sockets().await;
    (a.into(), b.into())
}

pub async fn tcp_sockets() -> (Async<std::net::TcpStream>, Async<std::net::TcpStream>) {
    let listener = Async::<std::net::TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
    let address = listener.get_ref().local_addr().unwrap();
    let (a, b) = smol::future::zip(Async::<std::net::TcpStream>::connect(address), listener.accept()).await;
    (a.unwrap(), b.unwrap().0)
}

/// An empty folder that belongs to the test of this name.
pub fn folder(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ws-async-std-{}-{test}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A masked frame as a client sends it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..126 => frame.push(0x80 | n as u8),
        n @ 126..0x10000 => {
            frame.push(0xfe);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0xff);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}
