//! Calls are interrupted at every point, and nothing is lost, torn, or sent twice.

mod common;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use common::script::{Scripted, Step, frames};
use common::{frame, guard, modern, patiently, raw_server, sockets, tcp_pair};
use ws_blocking::ws_proto::Timers;
use ws_blocking::{
    AcceptError, Acceptor, CancelToken, CloseCode, Config, ConnectError, Connector, Error, Event, HandshakeError,
    Interrupted, Message, NetStream, Role, WebSocket,
};

/// A hundred messages of many shapes, as a client sends them, and what they are.
fn hundred() -> (Vec<u8>, Vec<Message>) {
    let mut bytes = Vec::new();
    let mut messages = Vec::new();
    for n in 0..100_usize {
        let text = "x\u{e9}".repeat(n);
        match n % 4 {
            0 => bytes.extend(frame(0x81, text.as_bytes())),
            1 => bytes.extend(frame(0x82, text.as_bytes())),
            2 => {
                // In two fragments with a ping between them.
                let (a, b) = text.as_bytes().split_at(n / 2);
                bytes.extend([frame(0x01, a), frame(0x89, b"ping"), frame(0x80, b)].concat());
            }
            _ => bytes.extend([frame(0x81, text.as_bytes()), frame(0x8a, b"")].concat()),
        }
        messages.push(if n % 4 == 1 { Message::binary(text.into_bytes()) } else { Message::text(text) });
    }
    (bytes, messages)
}

/// One byte at a time, and nothing in between.
fn trickle(bytes: &[u8]) -> Scripted {
    let steps = [Step::Move(1), Step::Stuck].into_iter().cycle().take(4 * bytes.len() + 100);
    Scripted::new(bytes).reads(steps)
}

fn quiet() -> Config {
    let mut config = Config::default();
    config.timers = Timers::off();
    config
}

/// Calls take no time at all.
fn hasty(transport: Scripted, role: Role) -> WebSocket<Scripted> {
    let mut ws = WebSocket::from_upgraded(transport, role, modern(), quiet());
    ws.set_wait(Duration::ZERO);
    ws
}

#[test]
fn threat_108_recv_interrupted_at_every_byte() {
    let (bytes, expected) = hundred();
    let mut ws = hasty(trickle(&bytes), Role::Server);
    let mut got = Vec::new();
    let mut interrupted = 0;
    while got.len() < 100 {
        match ws.recv() {
            Ok(message) => got.push(message.expect("open")),
            Err(Interrupted::Deadline) => interrupted += 1,
            Err(Interrupted::Cancelled) => panic!(),
        }
    }
    assert_eq!(got, expected);
    assert!(interrupted > 100, "{interrupted}");
}

#[test]
fn threat_108_events_interrupted_at_every_byte() {
    let (bytes, expected) = hundred();
    let mut ws = hasty(trickle(&bytes), Role::Server);
    let mut got: Vec<Message> = Vec::new();
    let mut pings = 0;
    while got.len() < 100 {
        let event =
            if got.len().is_multiple_of(2) { ws.recv_event() } else { ws.recv_with(|event| Some(event.into_owned())) };
        match event {
            Ok(Some(Event::Text(text))) => got.push(text.into()),
            Ok(Some(Event::Binary(payload))) => got.push(payload.into()),
            Ok(Some(Event::Ping(_))) => pings += 1,
            _ => {}
        }
    }
    assert_eq!(got, expected);
    assert_eq!(pings, 25);
}

#[test]
fn threat_108_iterator_and_receiver_interrupted_at_every_byte() {
    let (bytes, expected) = hundred();
    let mut ws = hasty(trickle(&bytes), Role::Server);
    let messages: Vec<_> = ws
        .by_ref()
        .filter_map(|item| match item {
            Ok(message) => Some(message),
            Err(error) => {
                assert_eq!(error.as_interrupted(), Some(Interrupted::Deadline));
                None
            }
        })
        .take(100)
        .collect();
    assert_eq!(messages, expected);

    let (mut receiver, sender) = hasty(trickle(&bytes), Role::Server).split();
    let mut got = Vec::new();
    while got.len() < 100 {
        got.extend(receiver.recv().ok().map(|message| message.expect("open")));
        // The other half is at work too.
        let _ = sender.flush();
    }
    assert_eq!(got, expected);
}

#[test]
fn threat_108_close_interrupted_at_every_byte() {
    let bytes = [frame(0x81, b"late"), frame(0x88, b"\x03\xe8")].concat();
    let transport = trickle(&bytes);
    let log = transport.log.clone();
    let mut ws = hasty(transport, Role::Server);
    let closed = loop {
        match ws.close(CloseCode::NORMAL, "bye") {
            Ok(closed) => break closed,
            Err(error) => assert!(matches!(error, Error::Interrupted { queued: true, .. })),
        }
    };
    assert!(closed.is_clean());
    assert_eq!(log.get(|log| frames(&log.written)), [(0x88, b"\x03\xe8bye".to_vec())]);
}

/// The writes of a transport that takes `n` bytes and then nothing for a while.
fn after(n: usize) -> Vec<Step> {
    // A call that has no time looks twice.
    let mut steps = if n == 0 { Vec::new() } else { vec![Step::Move(n)] };
    steps.extend([Step::Stuck, Step::Stuck]);
    steps
}

/// Sends a long message with a call that is interrupted once `n` bytes are written, and then a short one.
fn torn(n: usize, long: &[u8], split: bool) -> Vec<(u8, Vec<u8>)> {
    let transport = Scripted::new("").reads(std::iter::repeat(Step::Stuck)).writes(after(n));
    let log = transport.log.clone();
    let mut ws = hasty(transport, Role::Server);
    let halfway = Err(Error::Interrupted { why: Interrupted::Deadline, queued: true });
    if split {
        let (_receiver, sender) = ws.split();
        assert_eq!(sender.send(long), halfway);
        sender.send("short").unwrap();
    } else {
        assert_eq!(ws.send(long), halfway);
        ws.send("short").unwrap();
    }
    log.get(|log| frames(&log.written))
}

#[test]
fn threat_109_send_interrupted_after_every_written_byte() {
    for split in [false, true] {
        let short = (0x81, b"short".to_vec());
        let message: Vec<u8> = (0..300_u32).map(|n| n as u8).collect();
        for n in 0..304 {
            assert_eq!(torn(n, &message, split), [(0x82, message.clone()), short.clone()], "{n}");
        }
        let long = vec![9; 100_000];
        for n in [1, 2, 9, 10, 11, 4096, 65_535, 65_536, 99_999, 100_008] {
            assert_eq!(torn(n, &long, split), [(0x82, long.clone()), short.clone()], "{n}");
        }
    }
}

#[test]
fn threat_109_a_message_that_found_no_room_is_not_sent() {
    let mut config = quiet();
    config.limits.outgoing = 10;
    let transport = Scripted::new("").reads(std::iter::repeat(Step::Stuck)).writes([Step::Stuck; 4]);
    let log = transport.log.clone();
    let mut ws = WebSocket::from_upgraded(transport, Role::Server, modern(), config);
    ws.set_wait(Duration::ZERO);
    let why = Interrupted::Deadline;
    assert_eq!(ws.send("a message over the mark"), Err(Error::Interrupted { why, queued: true }));
    assert_eq!(ws.send("dropped"), Err(Error::Interrupted { why, queued: false }));
    ws.send("last").unwrap();
    let payloads: Vec<_> = log.get(|log| frames(&log.written)).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(payloads, [&b"a message over the mark"[..], b"last"]);
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn threat_110_handshakes_interrupted_at_every_byte_leave_nothing() {
    for n in 0..REQUEST.len() {
        let transport = Scripted::new(&REQUEST[..n]).reads([Step::Move(n), Step::Stuck, Step::Stuck]);
        let log = transport.log.clone();
        let mut acceptor = Acceptor::new(quiet());
        acceptor.set_wait(Duration::ZERO);
        let error = acceptor.accept(transport).map(drop).unwrap_err();
        if n > 0 {
            assert!(matches!(error, AcceptError::Handshake(HandshakeError::Timeout)), "{n}: {error:?}");
        }
        assert!(log.get(|log| log.dropped), "{n}");
    }
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!";
    for n in 1..answer.len() - 1 {
        let transport = Scripted::new(&answer[..n]).reads([Step::Move(n), Step::Stuck, Step::Stuck]);
        let log = transport.log.clone();
        let mut connector = Connector::new("ws://localhost/").unwrap();
        connector.set_wait(Duration::ZERO);
        assert!(matches!(connector.connect_over(transport), Err(ConnectError::Timeout)), "{n}");
        assert!(log.get(|log| log.dropped), "{n}");
    }
}

#[test]
fn a_cancelled_handshake_says_so() {
    let token = CancelToken::new();
    token.cancel();
    let mut connector = Connector::new("ws://localhost/").unwrap();
    connector.set_wait(&token);
    let Err(ConnectError::Io(error)) = connector.connect() else { panic!() };
    let inner = error.get_ref().unwrap().downcast_ref::<Interrupted>();
    assert_eq!(inner, Some(&Interrupted::Cancelled));
    let mut acceptor = Acceptor::default();
    acceptor.set_wait(&token);
    assert!(matches!(acceptor.accept(Scripted::new("")), Err(AcceptError::Io(_))));
}

#[test]
fn tokens_end_every_wait_from_another_thread() {
    patiently(|| {
        type Wait = fn(&mut WebSocket) -> bool;
        let waits: [Wait; 6] = [
            |ws| ws.recv() == Err(Interrupted::Cancelled),
            |ws| ws.recv_event().unwrap_err() == Interrupted::Cancelled,
            |ws| ws.recv_with(|_| None::<()>) == Err(Interrupted::Cancelled),
            |ws| ws.send(vec![0; 12_000_000]).unwrap_err().as_interrupted() == Some(Interrupted::Cancelled),
            |ws| ws.feed(vec![0; 12_000_000]).unwrap_err().as_interrupted() == Some(Interrupted::Cancelled),
            |ws| ws.close(1000, "").unwrap_err().as_interrupted() == Some(Interrupted::Cancelled),
        ];
        for (n, wait) in waits.into_iter().enumerate() {
            let (mut ws, server) = tcp_pair();
            let token = CancelToken::new();
            ws.set_wait(&token);
            let begun = Arc::new(AtomicBool::new(false));
            let waiting = thread::spawn({
                let begun = begun.clone();
                move || {
                    begun.store(true, Ordering::Release);
                    (wait(&mut ws), ws)
                }
            });
            while !begun.load(Ordering::Acquire) {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(20));
            token.cancel();
            let (ended, mut ws) = waiting.join().unwrap();
            assert!(ended, "{n}");
            // It goes on, with another token.
            ws.set_wait(guard());
            let mut server = server;
            server.set_delivery(ws_blocking::Delivery::Chunks);
            let other = thread::spawn(move || {
                while server.recv().unwrap().is_some() {}
                server.closed().unwrap().is_clean()
            });
            assert!(ws.close(1000, "").unwrap().is_clean(), "{n}");
            assert!(other.join().unwrap(), "{n}");
        }
    });
}

/// An interruption comes at any time, while a peer sends at any time.
#[test]
fn nothing_is_lost_between_real_sockets_when_calls_are_interrupted_all_the_time() {
    patiently(|| {
        const MESSAGES: u32 = 3_000;
        let (mut ws, mut peer) = tcp_pair();
        let sending = thread::spawn(move || {
            for n in 0..MESSAGES {
                peer.send(&n.to_be_bytes()[..]).unwrap();
                if n % 16 == 0 {
                    thread::sleep(Duration::from_micros(50));
                }
                if n % 4 == 0 {
                    assert_eq!(peer.recv().unwrap().unwrap().as_bytes(), n.to_be_bytes());
                }
            }
            peer
        });
        let mut interrupted = 0;
        let mut n = 0;
        while n < MESSAGES {
            let wait = Duration::from_micros(u64::from(n % 7) * 10);
            ws.set_wait(wait);
            match ws.recv() {
                Ok(Some(message)) => {
                    assert_eq!(message.as_bytes(), n.to_be_bytes());
                    if n % 4 == 0 {
                        match ws.send(message) {
                            Ok(()) | Err(Error::Interrupted { queued: true, .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    n += 1;
                }
                Ok(None) => panic!("{:?}", ws.closed()),
                Err(_) => interrupted += 1,
            }
        }
        assert!(interrupted > 0);
        drop(ws);
        drop(sending.join().unwrap());
    });
}

#[test]
fn a_connection_moves_between_threads() {
    patiently(|| {
        let (mut peer, ws) = raw_server(Config::default());
        let (next, threads) = mpsc::channel();
        next.send(ws).unwrap();
        for n in 0..50_u8 {
            let mut ws = threads.recv().unwrap();
            let next = next.clone();
            let thread = thread::spawn(move || {
                let message = ws.recv().unwrap().unwrap();
                ws.send(message).unwrap();
                let _ = next.send(ws);
            });
            peer.write_all(&frame(0x82, &[n])).unwrap();
            let mut answer = [0; 3];
            peer.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [0x82, 1, n]);
            thread.join().unwrap();
        }
    });
}

#[test]
fn what_a_thread_read_ahead_goes_with_the_connection() {
    patiently(|| {
        let (here, mut peer) = sockets();
        let mut ws = common::server(NetStream::from(here));
        // Many messages in one read, taken by two threads in turn.
        for round in 0..50_u8 {
            let waiting = thread::spawn(move || {
                let first = ws.recv().unwrap().unwrap();
                (first, ws)
            });
            thread::sleep(Duration::from_millis(1));
            let all: Vec<u8> = (0..5).flat_map(|n| frame(0x82, &[round, n])).collect();
            peer.write_all(&all).unwrap();
            let (first, back) = waiting.join().unwrap();
            ws = back;
            assert_eq!(first.as_bytes(), [round, 0]);
            for n in 1..5 {
                assert_eq!(ws.recv().unwrap().unwrap().as_bytes(), [round, n]);
            }
        }
    });
}
