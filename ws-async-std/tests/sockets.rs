//! What passes through real sockets: nothing is lost, torn, or waited for in vain.
#![cfg(any(feature = "async-std", feature = "smol"))]

mod common;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{both, echo, frame, once, says, server, sleep, start, start_with, tcp, within, yield_now};
use smol::future::{FutureExt, zip};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;
use ws_async_std::ws_proto::Timers;
use ws_async_std::{Cause, CloseCode, Config, Message, Negotiated, NetStream, Role, Version, WebSocket, connect};

fn open(stream: NetStream, role: Role) -> WebSocket {
    let mut config = Config::default();
    config.timers = Timers::off();
    WebSocket::from_upgraded(stream, role, Negotiated::new(Version::Rfc6455), config)
}

async fn pair() -> (WebSocket, WebSocket) {
    let (a, b) = tcp().await;
    (open(a, Role::Client), open(b, Role::Server))
}

/// A hundred messages of many lengths, as a client sends them, and what they are.
fn hundred() -> (Vec<u8>, Vec<Message>) {
    let texts: Vec<_> = (0..100).map(|n| "x\u{e9}".repeat(n)).collect();
    let bytes = texts.iter().flat_map(|text| frame(0x81, text.as_bytes())).collect();
    (bytes, texts.into_iter().map(Message::text).collect())
}

/// Polls a future, lets others run, and drops it.
async fn for_a_turn<F: Future>(future: F) -> Option<F::Output> {
    let give_up = async {
        yield_now().await;
        None
    };
    async { Some(future.await) }.or(give_up).await
}

#[test]
fn threat_108_recv_is_dropped_at_every_turn() {
    both(async |rt| {
        for split in [false, true] {
            let (near, mut far) = tcp().await;
            let (bytes, expected) = hundred();
            let trickle = rt.spawn(async move {
                for some in bytes.chunks(7) {
                    far.write_all(some).await.unwrap();
                    yield_now().await;
                }
                far
            });
            let ws = open(near, Role::Server);
            let mut got = Vec::new();
            if split {
                let (mut receiver, sender) = ws.split();
                while got.len() < 100 {
                    got.extend(for_a_turn(receiver.recv()).await.map(|message| message.expect("open")));
                    // The other half is at work too.
                    once(sender.flush());
                }
            } else {
                let mut ws = ws;
                while got.len() < 100 {
                    got.extend(for_a_turn(ws.recv()).await.map(|message| message.expect("open")));
                }
            }
            assert_eq!(got, expected);
            drop(trickle.join().await);
        }
    });
}

#[test]
fn threat_109_send_is_dropped_half_way() {
    both(async |rt| {
        let (mut ws, peer) = pair().await;
        // More than the system keeps for a socket.
        let long = vec![9; 15_000_000];
        assert!(once(ws.send(long.clone())).is_none(), "the system took all of it");
        let reading = rt.spawn(async move {
            let mut peer = peer;
            (peer.recv().await, peer.recv().await, peer)
        });
        ws.send("short").await.unwrap();
        let (first, second, _peer) = reading.join().await;
        assert!(first == Some(Message::binary(long)) && second == Some("short".into()));
    });
}

/// The wake-up goes to whoever waits now, not to whoever waited before.
#[test]
fn threat_112_a_connection_is_passed_from_task_to_task() {
    both(async |rt| {
        let (mut ws, mut peer) = pair().await;
        for n in 0..50 {
            // This task has asked, and will not be there.
            assert!(once(ws.recv()).is_none());
            let short = Duration::from_micros(10);
            assert!(within(short, ws.recv()).await.is_none());
            let waiting = rt.spawn(async move {
                let message = ws.recv().await;
                (ws, message)
            });
            if n % 2 == 0 {
                yield_now().await;
            }
            peer.send(n.to_string()).await.unwrap();
            let (back, message) = waiting.join().await;
            assert_eq!(message, Some(n.to_string().into()));
            ws = back;
        }
    });
}

#[test]
fn threat_112_many_senders_and_no_message_is_lost_or_mixed() {
    both(async |rt| {
        let running = start(rt, server().await);
        let (mut receiver, sender) = connect(&running.url()).await.unwrap().split();
        let tasks: Vec<_> = (0..20_u8)
            .map(|task| {
                let sender = sender.clone();
                rt.spawn(async move {
                    for number in 0..100_u8 {
                        let mut message = vec![number; 2 + 100 * usize::from(number)];
                        message[0] = task;
                        sender.send(message).await.unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0_u8; 20];
        for _ in 0..2000 {
            let Some(Message::Binary(message)) = receiver.recv().await else { panic!("no message") };
            let (task, number) = (usize::from(message[0]), message[1]);
            assert_eq!((number, message.len()), (next[task], 2 + 100 * usize::from(number)));
            assert!(message[1..].iter().all(|byte| *byte == number));
            next[task] += 1;
        }
        for task in tasks {
            task.join().await;
        }
        let closing = async { sender.close(1000, "").await.unwrap() };
        let ((), end) = zip(closing, receiver.recv()).await;
        assert_eq!(end, None);
        assert!(receiver.closed().unwrap().is_clean());
        assert_eq!(running.stop().await.served, 1);
    });
}

/// Messages that end where a read ends, and around it.
#[test]
fn messages_of_about_the_size_of_a_read() {
    both(async |rt| {
        let running = start(rt, server().await);
        let mut ws = connect(&running.url()).await.unwrap();
        for base in [4096, 8192, 16_384, 32_768, 65_536, 131_072] {
            for length in base - 16..base + 4 {
                ws.send(vec![1; length]).await.unwrap();
                assert_eq!(ws.recv().await.unwrap().len(), length);
            }
        }
        assert!(ws.close(1000, "").await.unwrap().is_clean());
        running.stop().await;
    });
}

#[test]
fn threat_117_both_ends_send_at_once() {
    both(async |rt| {
        let (client, server) = pair().await;
        let flow = |mut ws: WebSocket| async move {
            for n in 0..16_u8 {
                // Nothing is received meanwhile but what `send` itself must take.
                ws.feed(vec![n; 1024 * 1024]).await.unwrap();
                let message = ws.recv().await;
                assert_eq!(message, Some(Message::binary(vec![n; 1024 * 1024])));
            }
            ws.flush().await.unwrap();
            ws
        };
        let (a, b) = (rt.spawn(flow(client)), rt.spawn(flow(server)));
        drop((a.join().await, b.join().await));
    });
}

#[test]
fn threat_031_a_slow_handler_stops_the_reading() {
    both(async |rt| {
        let (mut far, near) = tcp().await;
        let taken = Arc::new(AtomicUsize::new(0));
        let pouring = rt.spawn({
            let taken = taken.clone();
            async move {
                let message = frame(0x82, &[1; 100_000]);
                for _ in 0..500 {
                    far.write_all(&message).await.unwrap();
                    taken.fetch_add(1, Ordering::SeqCst);
                }
                far
            }
        });
        let mut ws = open(near, Role::Server);
        assert!(ws.recv().await.is_some());
        // Until the peer is stuck; nobody reads.
        let mut before = usize::MAX;
        while taken.load(Ordering::SeqCst) != before {
            before = taken.load(Ordering::SeqCst);
            sleep(Duration::from_millis(200)).await;
        }
        assert!(before < 500, "the peer was never made to wait");
        for _ in 1..500 {
            assert!(ws.recv().await.is_some());
        }
        drop(pouring.join().await);
        assert_eq!(ws.recv().await, None);
    });
}

#[test]
fn threat_102_an_end_and_a_reset_without_a_close() {
    both(async |_| {
        for reset in [false, true] {
            let (mut peer, near) = tcp().await;
            let mut ws = open(near, Role::Server);
            if reset {
                // Data that was not read turns the close of the peer into a reset.
                ws.send("never read by the peer").await.unwrap();
            }
            peer.write_all(&[frame(0x81, b"before"), frame(0x82, &[7; 100])[..50].to_vec()].concat()).await.unwrap();
            if reset {
                // Until it is there.
                let mut some = [0];
                peer.read_exact(&mut some).await.unwrap();
            }
            drop(peer);
            assert_eq!(ws.recv().await, Some("before".into()));
            assert_eq!(ws.recv().await, None);
            let closed = ws.closed().unwrap();
            assert_eq!(closed.code(), CloseCode::ABNORMAL);
            let kind = ws.io_error().map(std::io::Error::kind);
            if reset {
                assert_eq!((closed.cause, kind), (Cause::Transport, Some(ErrorKind::ConnectionReset)));
            } else {
                assert_eq!((closed.cause, kind), (Cause::Eof, None));
            }
        }
    });
}

#[test]
fn threat_105_a_peer_in_mid_upload_reads_the_close() {
    both(async |rt| {
        let running = start(rt, server().await);
        // Opcode 3 does not exist; the upload goes on behind it.
        let upload = [common::REQUEST, &frame(0x83, b""), &vec![0x55; 512 * 1024]].concat();
        for n in 0..200 {
            let mut peer = TcpStream::connect(running.address).await.unwrap();
            peer.write_all(&upload).await.unwrap();
            let mut got = Vec::new();
            peer.read_to_end(&mut got).await.unwrap();
            let head = got.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
            assert_eq!(got[head], 0x88, "{n}");
            assert_eq!(got[head + 2..head + 4], 1002_u16.to_be_bytes(), "{n}");
        }
        assert_eq!(running.stop().await.served, 200);
    });
}

/// Connections, messages and ends in an order that nobody has thought of.
#[test]
fn many_at_once() {
    both(async |rt| {
        let running = start_with(rt, server().await, echo);
        let tasks: Vec<_> = (0..40)
            .map(|task| {
                let url = running.url();
                rt.spawn(async move {
                    for round in 0..5 {
                        let mut ws = connect(&url).await.unwrap();
                        for n in 0..20 {
                            says(&mut ws, &format!("{task} {round} {n} {}", "x".repeat(n * task))).await;
                        }
                        if (task + round) % 3 > 0 {
                            assert!(ws.close(1000, "").await.unwrap().is_clean());
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.join().await;
        }
        let report = running.stop().await;
        assert_eq!((report.served, report.panicked, report.refused), (200, 0, 0));
    });
}
