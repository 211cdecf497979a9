//! Deadlines, on the clock of the machine. The times are short, but nothing depends on how long things really take.
#![cfg(unix)]

mod common;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use async_io::Async;
use common::{both, echo, frame, sleep, timers, yield_now};
use smol::channel;
use smol::future::{FutureExt, zip};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use ws_async_std::{Cause, CloseCode, Config, Kind, Negotiated, Role, Version, WebSocket};

type Pipe = Async<UnixStream>;

const SHORT: Duration = Duration::from_millis(30);

fn open(pipe: Pipe, role: Role, config: Config) -> WebSocket<Pipe> {
    WebSocket::from_upgraded(pipe, role, Negotiated::new(Version::Rfc6455), config)
}

/// A server with this setting, and the other end.
fn server(config: Config) -> (WebSocket<Pipe>, Pipe) {
    let (near, far) = Pipe::pair().unwrap();
    (open(near, Role::Server, config), far)
}

#[test]
fn threat_098_a_silent_wire_is_found_dead() {
    both(async |_| {
        let (mut ws, mut peer) = server(timers(|timers| {
            timers.keepalive = Some(SHORT);
            timers.pong = Some(SHORT);
        }));
        assert_eq!(ws.recv().await, None);
        assert_eq!(ws.closed().unwrap().cause, Cause::PongTimeout);
        let mut ping = [0; 2];
        peer.read_exact(&mut ping).await.unwrap();
        assert_eq!(ping[0], 0x89);
    });
}

#[test]
fn keepalive_keeps_a_quiet_connection() {
    both(async |rt| {
        let config = timers(|timers| {
            timers.keepalive = Some(SHORT);
            timers.pong = Some(Duration::from_secs(50));
        });
        let (mut ws, peer) = server(config);
        let (enough, rang) = channel::bounded::<()>(1);
        let peer = rt.spawn(async move {
            let mut peer = open(peer, Role::Client, timers(|_| ()));
            let mut pings = 0;
            while peer.recv_event().await.is_some() {
                pings += 1;
                if pings == 5 {
                    enough.send(()).await.unwrap();
                }
            }
            peer.closed().unwrap().is_clean()
        });
        let waiting = async {
            let message = ws.recv().await;
            panic!("{message:?}")
        };
        let ringing = async { rang.recv().await.unwrap() };
        waiting.or(ringing).await;
        assert!(ws.stats().sent.pings >= 5);
        assert!(ws.close(1000, "").await.unwrap().is_clean());
        assert!(peer.join().await);
    });
}

/// The program was busy while the answer came, and asks late: it finds the answer, not the deadline.
#[test]
fn an_absence_of_the_program_is_not_the_silence_of_the_peer() {
    both(async |_| {
        let pong = Duration::from_secs(2);
        let (mut ws, mut peer) = server(timers(|timers| {
            timers.keepalive = Some(SHORT);
            timers.pong = Some(pong);
        }));
        let waiting = async { panic!("{:?}", ws.recv().await) };
        let ping = async {
            let mut ping = [0; 2];
            peer.read_exact(&mut ping).await.unwrap();
        };
        waiting.or(ping).await;
        peer.write_all(&[frame(0x8a, b""), frame(0x81, b"one")].concat()).await.unwrap();
        assert_eq!(ws.recv().await, Some("one".into()));
        peer.write_all(&frame(0x81, b"two")).await.unwrap();
        std::thread::sleep(pong + SHORT);
        assert_eq!(ws.recv().await, Some("two".into()));
    });
}

#[test]
fn threat_097_closing_idling_and_living_have_their_ends() {
    both(async |_| {
        let (mut ws, _peer) = server(timers(|timers| timers.close = Some(SHORT)));
        assert_eq!(ws.close(1000, "").await.unwrap().cause, Cause::CloseTimeout);

        let (mut ws, mut peer) = server(timers(|timers| timers.idle = Some(SHORT)));
        let answer = async {
            let mut close = [0; 4];
            peer.read_exact(&mut close).await.unwrap();
            assert_eq!((close[0], &close[2..]), (0x88, &1001_u16.to_be_bytes()[..]));
            peer.write_all(&frame(0x88, &close[2..])).await.unwrap();
        };
        assert_eq!(zip(ws.recv(), answer).await, (None, ()));
        assert_eq!(ws.closed().unwrap().cause, Cause::IdleTimeout);

        let (near, far) = Pipe::pair().unwrap();
        let mut ws = open(near, Role::Server, timers(|timers| timers.lifetime = Some(SHORT)));
        let mut peer = open(far, Role::Client, timers(|_| ()));
        assert_eq!(zip(ws.recv(), peer.recv()).await, (None, None));
        assert_eq!(ws.closed().unwrap().cause, Cause::Lifetime);
        assert_eq!(peer.closed().unwrap().code(), CloseCode::GOING_AWAY);
    });
}

#[test]
fn threat_101_a_peer_that_takes_nothing_ends_by_the_write_stall() {
    both(async |rt| {
        let stall = || timers(|timers| timers.write_stall = Some(SHORT));
        let (mut ws, _peer) = server(stall());
        ws.start_message(Kind::Binary).unwrap().write(&vec![0; 10_000_000]).unwrap();
        assert_eq!(ws.recv().await, None);
        assert_eq!(ws.closed().unwrap().cause, Cause::WriteStalled);

        let (ws, _peer) = server(stall());
        let (mut receiver, sender) = ws.split();
        let sending = rt.spawn({
            let sender = sender.clone();
            async move { sender.send(vec![0; 10_000_000]).await }
        });
        assert_eq!(receiver.recv().await, None);
        assert!(sending.join().await.is_err());
        assert_eq!((receiver.closed().unwrap().cause, sender.buffered()), (Cause::WriteStalled, 0));
    });
}

/// Times that the clock can't tell are no times.
#[test]
fn endless_times() {
    both(async |rt| {
        let config = timers(|timers| {
            timers.keepalive = Some(Duration::MAX);
            timers.idle = Some(Duration::MAX);
            timers.lifetime = Some(Duration::MAX);
            timers.close = Some(Duration::MAX);
            timers.write_stall = Some(Duration::MAX);
        });
        let (ws, peer) = server(config);
        let serving = rt.spawn(echo(ws));
        let mut client = open(peer, Role::Client, Config::default());
        common::says(&mut client, "for ever").await;
        assert!(client.close(1000, "").await.unwrap().is_clean());
        serving.join().await;
    });
}

/// Timers and sockets are seen to by `async-io`, whatever polls the futures.
#[test]
fn no_runtime_is_needed() {
    let (mut ws, mut peer) = server(timers(|timers| {
        timers.keepalive = Some(SHORT);
        timers.pong = Some(Duration::from_secs(50));
    }));
    // It parks the thread, and nothing else.
    smol::future::block_on(async {
        let mut ping = [0; 2];
        let late = async {
            peer.read_exact(&mut ping).await.unwrap();
            sleep(SHORT).await;
            peer.write_all(&frame(0x81, b"late")).await.unwrap();
        };
        let (message, ()) = zip(ws.recv(), late).await;
        assert_eq!(message, Some("late".into()));
        yield_now().await;
    });
}

/// A thousand timers, set, moved and dropped.
#[test]
fn threat_032_timers_of_connections_that_are_gone() {
    both(async |_| {
        for n in 0..1000 {
            let (mut ws, mut peer) = server(Config::default());
            peer.write_all(&frame(0x81, b"x")).await.unwrap();
            assert!(ws.recv().await.is_some());
            // It waits, with a timer, and is dropped.
            assert!(common::once(ws.recv()).is_none(), "{n}");
        }
    });
}
