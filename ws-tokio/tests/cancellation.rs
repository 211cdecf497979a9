//! Futures are dropped at every point, and nothing is lost, torn, or sent twice.

mod common;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use common::io::{Scripted, Step, frames};
use common::{client, frame, modern, server};
use futures_util::StreamExt;
use ws_tokio::{CloseCode, Config, Event, Message, Role, WebSocket};

/// Polls a future once and drops it.
fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

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

// The timers are not what this is about, and there is no runtime here.
fn quiet() -> Config {
    let mut config = Config::default();
    config.timers = ws_tokio::ws_proto::Timers::off();
    config
}

fn quiet_server(transport: Scripted) -> WebSocket<Scripted> {
    WebSocket::from_upgraded(transport, Role::Server, modern(), quiet())
}

#[test]
fn threat_108_recv_dropped_at_every_byte() {
    let (bytes, expected) = hundred();
    let mut ws = quiet_server(trickle(&bytes));
    let mut got = Vec::new();
    while got.len() < 100 {
        got.extend(once(ws.recv()).map(|message| message.expect("open")));
    }
    assert_eq!(got, expected);
}

#[test]
fn threat_108_recv_event_and_lent_events_dropped_at_every_byte() {
    let (bytes, expected) = hundred();
    let mut ws = quiet_server(trickle(&bytes));
    let mut got: Vec<Message> = Vec::new();
    let mut pings = 0;
    while got.len() < 100 {
        let event = if got.len().is_multiple_of(2) {
            once(ws.recv_event()).map(Option::unwrap)
        } else {
            once(ws.recv_with(|event| Some(event.into_owned()))).map(Option::unwrap)
        };
        match event {
            Some(Event::Text(text)) => got.push(text.into()),
            Some(Event::Binary(payload)) => got.push(payload.into()),
            Some(Event::Ping(_)) => pings += 1,
            _ => {}
        }
    }
    assert_eq!(got, expected);
    assert_eq!(pings, 25);
}

#[test]
fn threat_108_stream_dropped_at_every_byte() {
    let (bytes, expected) = hundred();
    let mut ws = quiet_server(trickle(&bytes));
    let mut got = Vec::new();
    while got.len() < 100 {
        got.extend(once(ws.next()).map(|message| message.expect("open").unwrap()));
    }
    assert_eq!(got, expected);
}

#[test]
fn threat_108_split_receiver_dropped_at_every_byte() {
    let (bytes, expected) = hundred();
    let (mut receiver, sender) = quiet_server(trickle(&bytes)).split();
    let mut got = Vec::new();
    while got.len() < 100 {
        got.extend(once(receiver.recv()).map(|message| message.expect("open")));
        // The other half is at work too.
        once(sender.flush());
    }
    assert_eq!(got, expected);
}

#[test]
fn threat_108_close_dropped_at_every_byte() {
    let bytes = [frame(0x81, b"late"), frame(0x88, b"\x03\xe8")].concat();
    let transport = trickle(&bytes);
    let log = transport.log.clone();
    let mut ws = quiet_server(transport);
    let closed = loop {
        if let Some(closed) = once(ws.close(CloseCode::NORMAL, "bye")) {
            break closed.unwrap();
        }
    };
    assert!(closed.is_clean());
    assert_eq!(log.get(|log| frames(&log.written)), [(0x88, b"\x03\xe8bye".to_vec())]);
}

/// The writes of a transport that takes `n` bytes and then nothing for a moment.
fn after(n: usize) -> Vec<Step> {
    if n == 0 { vec![Step::Stuck] } else { vec![Step::Move(n), Step::Stuck] }
}

/// Sends a long message with a future that is dropped once `n` bytes are written, and then a short one.
fn torn(n: usize, long: &[u8], split: bool) -> Vec<(u8, Vec<u8>)> {
    let transport = Scripted::new("").reads(std::iter::repeat(Step::Stuck)).writes(after(n));
    let log = transport.log.clone();
    let mut ws = quiet_server(transport);
    if split {
        let (_receiver, sender) = ws.split();
        assert!(once(sender.send(long)).is_none());
        once(sender.send("short")).expect("sent").unwrap();
    } else {
        assert!(once(ws.send(long)).is_none());
        once(ws.send("short")).expect("sent").unwrap();
    }
    log.get(|log| frames(&log.written))
}

#[test]
fn threat_109_send_dropped_after_every_written_byte() {
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
fn threat_109_a_client_s_frames_stay_whole_too() {
    for n in 0..106 {
        let transport = Scripted::new("").reads(std::iter::repeat(Step::Stuck)).writes(after(n));
        let log = transport.log.clone();
        let mut ws = WebSocket::from_upgraded(transport, Role::Client, modern(), quiet());
        assert!(once(ws.send(vec![5; 100])).is_none());
        once(ws.send("short")).expect("sent").unwrap();
        // Our own server is the judge; its parser is tested elsewhere.
        let mut peer = quiet_server(Scripted::new(log.get(|log| log.written.clone())));
        assert_eq!(once(peer.recv()), Some(Some(Message::binary(vec![5; 100]))));
        assert_eq!(once(peer.recv()), Some(Some(Message::text("short"))));
        assert_eq!(once(peer.recv()), Some(None));
    }
}

#[test]
fn threat_109_a_message_that_found_no_room_is_not_sent() {
    let mut config = quiet();
    config.limits.outgoing = 10;
    let transport = Scripted::new("").reads(std::iter::repeat(Step::Stuck)).writes([Step::Stuck, Step::Stuck]);
    let log = transport.log.clone();
    let mut ws = WebSocket::from_upgraded(transport, Role::Server, modern(), config);
    assert!(once(ws.send("a message over the mark")).is_none());
    // Its future is dropped while it waits for room.
    assert!(once(ws.send("dropped")).is_none());
    once(ws.send("last")).expect("sent").unwrap();
    let payloads: Vec<_> = log.get(|log| frames(&log.written)).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(payloads, [&b"a message over the mark"[..], b"last"]);
}

#[test]
fn threat_108_a_future_that_was_never_polled_sends_nothing() {
    let transport = Scripted::new("").reads([Step::Stuck]);
    let log = transport.log.clone();
    let mut ws = quiet_server(transport);
    drop(ws.send("never"));
    once(ws.flush()).expect("flushed").unwrap();
    assert!(log.get(|log| log.written.is_empty()));
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Polls a future up to `polls` times with a runtime around it, then drops it.
fn some_polls<F: Future>(future: F, polls: usize) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).any(|_| future.as_mut().poll(&mut context).is_ready())
}

#[test]
fn threat_110_accept_dropped_at_every_byte_leaves_nothing() {
    for polls in 0.. {
        let transport = trickle(REQUEST.as_bytes());
        let log = transport.log.clone();
        let done = some_polls(ws_tokio::accept(transport), polls);
        assert!(log.get(|log| log.dropped), "{polls}");
        if done {
            assert!(polls >= REQUEST.len());
            break;
        }
    }
}

#[test]
fn threat_110_connect_dropped_at_every_byte_leaves_nothing() {
    let connector = ws_tokio::Connector::new("ws://localhost/").unwrap();
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!";
    for polls in 0.. {
        let transport = trickle(answer.as_bytes()).writes([Step::Move(1), Step::Stuck].into_iter().cycle().take(50));
        let log = transport.log.clone();
        let done = some_polls(connector.connect_over(transport), polls);
        assert!(log.get(|log| log.dropped), "{polls}");
        if done {
            break;
        }
    }
}

#[test]
fn threat_110_open_connections_and_their_halves_let_go_of_the_transport() {
    let transport = Scripted::new("");
    let log = transport.log.clone();
    drop(server(transport));
    assert!(log.get(|log| log.dropped));

    let transport = Scripted::new("").reads([Step::Stuck]);
    let log = transport.log.clone();
    let (mut receiver, sender) = client(transport).split();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    {
        let _entered = runtime.enter();
        once(receiver.recv());
    }
    drop(receiver);
    assert!(log.get(|log| log.dropped));
    drop(sender);
}
