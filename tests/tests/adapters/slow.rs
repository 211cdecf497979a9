//! Slow links, slow programs, and transports that buffer.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ws_adapter::Acceptor;
use ws_proto::{Cause, CloseCode, Config, Initiator, Role, Timers};

use crate::quiet;
use crate::sim::{World, yield_now};
use crate::wire::{End, Scripted, Step, Wire, frame, pipe};

crate::in_all_worlds!(
    the_end_of_the_handshake_is_flushed,
    a_flush_that_never_ends_is_a_stalled_write,
    a_ping_behind_a_long_message_gets_its_time,
    a_slow_program_does_not_make_the_peer_slow,
    a_close_that_was_written_first_was_first,
    a_slow_program_still_answers_a_close,
    a_crowd_of_waiting_senders_is_quiet,
);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Keeps what is written until it is flushed, and flushes only if it is `open`.
struct Buffered {
    end: End,
    kept: Vec<u8>,
    open: bool,
    wait: bool,
}

impl Wire for Buffered {
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.end.read(cx, buffer)
    }

    fn write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.kept.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.open {
            return Poll::Pending;
        }
        if std::mem::take(&mut self.wait) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let kept = std::mem::take(&mut self.kept);
        assert_eq!(self.end.try_write(&kept), kept.len(), "the pipe is large");
        Poll::Ready(Ok(()))
    }

    fn shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end.shutdown(cx)
    }
}

/// The answer must leave the transport's own buffer, too, before the server waits for the client.
async fn the_end_of_the_handshake_is_flushed<W: World>() {
    let (mut peer, end) = pipe(64 * 1024);
    let transport = Buffered { end, kept: Vec::new(), open: true, wait: true };
    let task = W::spawn(async move {
        let acceptor = Acceptor::<W::Runtime>::new(quiet());
        let (mut ws, _) = acceptor.accept(crate::wire::Io::from(transport)).await.unwrap();
        ws.recv().await
    });
    peer.write_all(
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    )
    .await
    .unwrap();
    assert_eq!(peer.read_exact(12).await, b"HTTP/1.1 101");
    drop(peer);
    assert!(task.await.is_none());
}

/// What is stuck in the transport's own buffer is stuck all the same.
async fn a_flush_that_never_ends_is_a_stalled_write<W: World>() {
    let (_peer, end) = pipe(64 * 1024);
    let mut ws = W::server(Buffered { end, kept: Vec::new(), open: false, wait: false });
    let sent = W::within(secs(600), ws.send("Hello")).await;
    assert!(sent.expect("it waits for ever").is_err());
    assert_eq!(ws.recv().await, None);
    assert_eq!(ws.closed().unwrap().cause, Cause::WriteStalled);
}

/// The time for the pong begins when the ping has left, however long that took.
async fn a_ping_behind_a_long_message_gets_its_time<W: World>() {
    let (near, mut far) = pipe(1000);
    let mut config = Config::default();
    config.timers = Timers::off();
    config.timers.keepalive = Some(secs(20));
    config.timers.pong = Some(secs(20));
    config.timers.write_stall = Some(secs(30));
    let mut ws = W::open(Role::Server, near, config);
    ws.try_send(vec![0; 60_000]).unwrap();
    let task = W::spawn(async move {
        let got = ws.recv().await;
        (got, ws.closed().map(|closed| closed.cause))
    });
    // A slow reader: 1000 bytes a second, so the ping arrives after a minute.
    let mut read = Vec::new();
    while !read.ends_with(b"\x89\x08\0\0\0\0\0\0\0\x01") {
        W::sleep(secs(1)).await;
        let some = far.read_some(1000).await;
        assert!(!some.is_empty(), "cut off after {} bytes", read.len());
        read.extend(some);
    }
    W::sleep(secs(5)).await;
    far.write_all(&frame(0x8a, b"\0\0\0\0\0\0\0\x01")).await.unwrap();
    far.write_all(&frame(0x81, b"alive")).await.unwrap();
    assert_eq!(task.await, (Some("alive".into()), None));
}

/// A program that takes its time for each message is no reason to call the peer slow.
async fn a_slow_program_does_not_make_the_peer_slow<W: World>() {
    for before in 110..140 {
        let mut input = frame(0x81, b"a").repeat(before);
        let first = input.len() + 10;
        input.extend(frame(0x82, &[7; 2000]));
        let transport = Scripted::new(&input).reads([Step::Move(first), Step::Move(10_000), Step::Stuck]);
        let mut ws = W::server(transport);
        for _ in 0..before {
            assert!(ws.recv().await.is_some());
            W::sleep(secs(1)).await;
        }
        let long = ws.recv().await;
        assert!(long.is_some(), "{before}: {:?}", ws.closed());
    }
}

/// Who began is told by the order of things, not by who looked first.
async fn a_close_that_was_written_first_was_first<W: World>() {
    let (mut client, mut server) = W::pair(1000);
    client.start_close(CloseCode::NORMAL, "").unwrap();
    client.flush().await.unwrap();
    assert_eq!(server.recv().await, None);
    assert_eq!(server.closed().unwrap().by, Initiator::Remote);
    assert_eq!(client.recv().await, None);
    assert_eq!(client.closed().unwrap().by, Initiator::Local);
}

/// The time for the end begins when the Close is queued, not when the input was read in which the peer's lay.
async fn a_slow_program_still_answers_a_close<W: World>() {
    let (near, mut far) = pipe(100);
    let mut ws = W::server(near);
    // The answer will have to wait for room.
    ws.send(vec![0; 98]).await.unwrap();
    far.write_all(&[frame(0x81, b"a").repeat(10), frame(0x88, b"\x03\xe8")].concat()).await.unwrap();
    for _ in 0..10 {
        assert!(ws.recv().await.is_some());
        W::sleep(secs(1)).await;
    }
    let reader = W::spawn(async move {
        W::sleep(secs(1)).await;
        far.read_to_end().await
    });
    assert_eq!(ws.recv().await, None);
    assert!(ws.closed().unwrap().is_clean(), "{:?}", ws.closed());
    assert!(reader.await.ends_with(b"\x88\x02\x03\xe8"));
}

/// However many tasks wait for a peer that does not read, none of them is busy meanwhile.
async fn a_crowd_of_waiting_senders_is_quiet<W: World>() {
    let (near, mut far) = pipe(100);
    let (mut receiver, sender) = W::server(near).split();
    let polls = Rc::new(Cell::new(0));
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let (sender, polls) = (sender.clone(), polls.clone());
            W::spawn(async move {
                let mut sending = std::pin::pin!(sender.send("Hello"));
                std::future::poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    sending.as_mut().poll(cx)
                })
                .await
            })
        })
        .collect();
    for _ in 0..100 {
        yield_now().await;
    }
    let settled = polls.get();
    for _ in 0..100 {
        yield_now().await;
    }
    assert_eq!(polls.get(), settled);
    // All of them hear when there is room.
    let reader = W::spawn(async move {
        far.read_exact(200 * 7).await;
    });
    for task in tasks {
        task.await.unwrap();
    }
    reader.await;
    assert_eq!(receiver.recv().await, None);
}
