//! Slow links, slow programs, and transports that buffer.

mod common;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use common::io::{Scripted, Step};
use common::{frame, modern, pair, patiently, server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use ws_tokio::ws_proto::{Initiator, Timers};
use ws_tokio::{Acceptor, Cause, CloseCode, Config, Role, WebSocket};

/// Keeps what is written until it is flushed, and flushes only once `open` is set.
struct Buffered {
    inner: DuplexStream,
    kept: Vec<u8>,
    open: Arc<AtomicBool>,
    wait: bool,
}

impl AsyncRead for Buffered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Buffered {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.kept.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.open.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        if std::mem::take(&mut self.wait) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let kept = std::mem::take(&mut self.kept);
        match Pin::new(&mut self.inner).poll_write(cx, &kept) {
            Poll::Ready(result) => Poll::Ready(result.map(drop)),
            Poll::Pending => unreachable!("the pipe is large"),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The answer must leave the transport's own buffer, too, before the server waits for the client.
#[tokio::test]
async fn the_end_of_the_handshake_is_flushed() {
    patiently(async {
        let (inner, mut peer) = duplex(64 * 1024);
        let transport = Buffered { inner, kept: Vec::new(), open: Arc::new(true.into()), wait: true };
        let mut config = Config::default();
        config.timers = Timers::off();
        let task = tokio::spawn(async move {
            let (mut ws, _) = Acceptor::new(config).accept(transport).await.unwrap();
            ws.recv().await
        });
        peer.write_all(
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .await
        .unwrap();
        let mut start = [0; 12];
        peer.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 101");
        drop(peer);
        assert!(task.await.unwrap().is_none());
    })
    .await;
}

/// What is stuck in the transport's own buffer is stuck all the same.
#[tokio::test(start_paused = true)]
async fn a_flush_that_never_ends_is_a_stalled_write() {
    let (inner, _peer) = duplex(64 * 1024);
    let transport = Buffered { inner, kept: Vec::new(), open: Arc::default(), wait: false };
    let mut ws = server(transport);
    let sent = tokio::time::timeout(Duration::from_secs(600), ws.send("Hello")).await;
    assert!(sent.expect("it waits for ever").is_err());
    assert_eq!(ws.recv().await, None);
    assert_eq!(ws.closed().unwrap().cause, Cause::WriteStalled);
}

/// The time for the pong begins when the ping has left, however long that took.
#[tokio::test(start_paused = true)]
async fn a_ping_behind_a_long_message_gets_its_time() {
    let (near, mut far) = duplex(1000);
    let mut config = Config::default();
    config.timers = Timers::off();
    config.timers.keepalive = Some(Duration::from_secs(20));
    config.timers.pong = Some(Duration::from_secs(20));
    config.timers.write_stall = Some(Duration::from_secs(30));
    let mut ws = WebSocket::from_upgraded(near, Role::Server, modern(), config);
    ws.try_send(vec![0; 60_000]).unwrap();
    let task = tokio::spawn(async move {
        let got = ws.recv().await;
        (got, ws.closed().map(|closed| closed.cause))
    });
    // A slow reader: 1000 bytes a second, so the ping arrives after a minute.
    let mut read = Vec::new();
    while !read.ends_with(b"\x89\x08\0\0\0\0\0\0\0\x01") {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut some = [0; 1000];
        let n = far.read(&mut some).await.unwrap();
        assert_ne!(n, 0, "cut off after {} bytes: {:?}", read.len(), task.await);
        read.extend_from_slice(&some[..n]);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    far.write_all(&frame(0x8a, b"\0\0\0\0\0\0\0\x01")).await.unwrap();
    far.write_all(&frame(0x81, b"alive")).await.unwrap();
    assert_eq!(task.await.unwrap().0, Some("alive".into()));
}

/// A program that takes its time for each message is no reason to call the peer slow.
#[tokio::test(start_paused = true)]
async fn a_slow_program_does_not_make_the_peer_slow() {
    for before in 110..140 {
        let mut input = frame(0x81, b"a").repeat(before);
        let first = input.len() + 10;
        input.extend(frame(0x82, &[7; 2000]));
        let transport = Scripted::new(&input).reads([Step::Move(first), Step::Move(10_000), Step::Stuck]);
        let mut ws = server(transport);
        for _ in 0..before {
            assert!(ws.recv().await.is_some());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let long = ws.recv().await;
        assert!(long.is_some(), "{before}: {:?}", ws.closed());
    }
}

/// Who began is told by the order of things, not by who looked first.
#[tokio::test]
async fn a_close_that_was_written_first_was_first() {
    patiently(async {
        let (mut client, mut server) = pair(1000);
        client.start_close(CloseCode::NORMAL, "").unwrap();
        client.flush().await.unwrap();
        assert_eq!(server.recv().await, None);
        assert_eq!(server.closed().unwrap().by, Initiator::Remote);
        assert_eq!(client.recv().await, None);
        assert_eq!(client.closed().unwrap().by, Initiator::Local);
    })
    .await;
}

/// The time for the end begins when the Close is queued, not when the input was read in which the peer's lay.
#[tokio::test(start_paused = true)]
async fn a_slow_program_still_answers_a_close() {
    let (near, mut far) = duplex(100);
    let mut ws = server(near);
    // The answer will have to wait for room.
    ws.send(vec![0; 98]).await.unwrap();
    far.write_all(&[frame(0x81, b"a").repeat(10), frame(0x88, b"\x03\xe8")].concat()).await.unwrap();
    for _ in 0..10 {
        assert!(ws.recv().await.is_some());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let reader = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        read
    });
    assert_eq!(ws.recv().await, None);
    assert!(ws.closed().unwrap().is_clean(), "{:?}", ws.closed());
    assert!(reader.await.unwrap().ends_with(b"\x88\x02\x03\xe8"));
}

/// A server that shuts down says so on a busy connection, too.
#[tokio::test]
async fn a_busy_connection_hears_of_the_shutdown() {
    patiently(async {
        let server = ws_tokio::Server::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap().tcp().unwrap();
        let handle = server.handle();
        let serving = tokio::spawn(server.serve(|mut ws, _| async move {
            while ws.recv().await.is_some() {
                // Input comes faster than it is dealt with.
                std::thread::sleep(Duration::from_micros(100));
                tokio::task::yield_now().await;
            }
        }));
        let ws = ws_tokio::connect(&format!("ws://{address}/")).await.unwrap();
        let (mut receiver, sender) = ws.split();
        let flood = tokio::spawn(async move { while sender.send("more").await.is_ok() {} });
        tokio::time::sleep(Duration::from_millis(100)).await;
        handle.shutdown(Duration::from_secs(30));
        while receiver.recv().await.is_some() {}
        let closed = receiver.closed().unwrap();
        assert_eq!(closed.received.as_ref().map(|close| close.code()), Some(CloseCode::GOING_AWAY), "{closed:?}");
        flood.await.unwrap();
        assert_eq!(serving.await.unwrap().graceful, 1);
    })
    .await;
}

/// However many tasks wait for a peer that does not read, none of them is busy meanwhile.
#[tokio::test]
async fn a_crowd_of_waiting_senders_is_quiet() {
    patiently(async {
        let (near, mut far) = duplex(100);
        let (mut receiver, sender) = server(near).split();
        let polls = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                let (sender, polls) = (sender.clone(), polls.clone());
                tokio::spawn(async move {
                    let mut sending = std::pin::pin!(sender.send("Hello"));
                    std::future::poll_fn(|cx| {
                        polls.fetch_add(1, Ordering::Relaxed);
                        sending.as_mut().poll(cx)
                    })
                    .await
                })
            })
            .collect();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let settled = polls.load(Ordering::Relaxed);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(polls.load(Ordering::Relaxed), settled);
        // All of them hear when there is room.
        let reader = tokio::spawn(async move {
            let mut frames = vec![0; 200 * 7];
            far.read_exact(&mut frames).await.unwrap();
        });
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        reader.await.unwrap();
        assert_eq!(receiver.recv().await, None);
    })
    .await;
}
