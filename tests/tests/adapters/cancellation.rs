//! Calls are interrupted at every point, and nothing is lost, torn, or sent twice.

use std::rc::Rc;

use ws_proto::connection::Event;
use ws_proto::{CloseCode, Message, Role};

use crate::poke::{Hears, Says, Verbs, by_deadline, with_patience};
use crate::quiet;
use crate::wire::{Scripted, Step, frame};

crate::with_the_verbs_of_all!(
    threat_108_recv_dropped_at_every_byte,
    threat_108_recv_event_and_lent_events_dropped_at_every_byte,
    threat_108_stream_dropped_at_every_byte,
    threat_108_split_receiver_dropped_at_every_byte,
    threat_108_close_dropped_at_every_byte,
    threat_108_a_call_that_was_never_begun_sends_nothing,
    threat_109_send_dropped_after_every_written_byte,
    threat_109_control_frames_dropped_after_every_written_byte,
    threat_109_a_client_s_frames_stay_whole_too,
    threat_109_a_message_that_found_no_room_is_not_sent,
    threat_110_accept_dropped_at_every_byte_leaves_nothing,
    threat_110_connect_dropped_at_every_byte_leaves_nothing,
    threat_110_open_connections_and_their_halves_let_go_of_the_transport,
);

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

fn threat_108_recv_dropped_at_every_byte<V: Verbs>() {
    let (bytes, expected) = hundred();
    let receive = || {
        let mut ws = V::server(Scripted::trickle(&bytes));
        let mut got = Vec::new();
        while got.len() < 100 {
            got.extend(ws.recv().map(|message| message.expect("open")));
        }
        assert_eq!(got, expected);
    };
    receive();
    by_deadline(receive);
}

fn threat_108_recv_event_and_lent_events_dropped_at_every_byte<V: Verbs>() {
    let (bytes, expected) = hundred();
    let mut ws = V::server(Scripted::trickle(&bytes));
    let mut got: Vec<Message> = Vec::new();
    let mut pings = 0;
    while got.len() < 100 {
        let event = if got.len().is_multiple_of(2) { ws.recv_event() } else { ws.recv_lent() };
        match event.map(Option::unwrap) {
            Some(Event::Text(text)) => got.push(text.into()),
            Some(Event::Binary(payload)) => got.push(payload.into()),
            Some(Event::Ping(_)) => pings += 1,
            _ => {}
        }
    }
    assert_eq!(got, expected);
    assert_eq!(pings, 25);
}

fn threat_108_stream_dropped_at_every_byte<V: Verbs>() {
    let (bytes, expected) = hundred();
    let mut ws = V::server(Scripted::trickle(&bytes));
    let mut got = Vec::new();
    while got.len() < 100 {
        got.extend(ws.next().map(|message| message.expect("open").unwrap()));
    }
    assert_eq!(got, expected);
}

fn threat_108_split_receiver_dropped_at_every_byte<V: Verbs>() {
    let (bytes, expected) = hundred();
    let (mut receiver, sender) = V::server(Scripted::trickle(&bytes)).split();
    let mut got = Vec::new();
    while got.len() < 100 {
        got.extend(receiver.recv().map(|message| message.expect("open")));
        // The other half is at work too.
        sender.flush();
    }
    assert_eq!(got, expected);
}

fn threat_108_close_dropped_at_every_byte<V: Verbs>() {
    let bytes = [frame(0x81, b"late"), frame(0x88, b"\x03\xe8")].concat();
    let transport = Scripted::trickle(&bytes);
    let log = transport.log.clone();
    let mut ws = V::server(transport);
    let closed = loop {
        if let Some(closed) = ws.close(CloseCode::NORMAL, "bye") {
            break closed.unwrap();
        }
    };
    assert!(closed.is_clean());
    assert_eq!(log.frames(), [(0x88, b"\x03\xe8bye".to_vec())]);
}

/// The writes of a transport that takes `n` bytes and then nothing for a moment.
fn after(n: usize) -> Vec<Step> {
    if n == 0 { vec![Step::Stuck] } else { vec![Step::Move(n), Step::Stuck] }
}

/// Sends a long message with a call that is interrupted once `n` bytes are written, and then a short one.
fn torn<V: Verbs>(n: usize, long: &[u8], split: bool) -> Vec<(u8, Vec<u8>)> {
    let transport = Scripted::silent().writes(after(n));
    let log = transport.log.clone();
    let mut ws = V::server(transport);
    if split {
        let (_receiver, sender) = ws.split();
        assert!(sender.send(long).is_none());
        sender.send("short").expect("sent").unwrap();
    } else {
        assert!(ws.send(long).is_none());
        ws.send("short").expect("sent").unwrap();
    }
    log.frames()
}

fn threat_109_send_dropped_after_every_written_byte<V: Verbs>() {
    for split in [false, true] {
        let short = (0x81, b"short".to_vec());
        let message: Vec<u8> = (0..300_u32).map(|n| n as u8).collect();
        for n in 0..304 {
            assert_eq!(torn::<V>(n, &message, split), [(0x82, message.clone()), short.clone()], "{n}");
        }
        let long = vec![9; 100_000];
        for n in [1, 2, 9, 10, 11, 4096, 65_535, 65_536, 99_999, 100_008] {
            assert_eq!(torn::<V>(n, &long, split), [(0x82, long.clone()), short.clone()], "{n}");
        }
    }
}

fn threat_109_control_frames_dropped_after_every_written_byte<V: Verbs>() {
    let payload = [7; 100];
    let expected = [(0x89, payload.to_vec()), (0x8a, payload.to_vec()), (0x88, b"\x03\xe8".to_vec())];
    for n in 0..102 {
        for split in [false, true] {
            // Each of the three calls is interrupted once.
            let steps = [after(n), after(102), after(102)].concat();
            let transport = Scripted::silent().writes(steps);
            let log = transport.log.clone();
            let mut ws = V::server(transport);
            if split {
                let (mut receiver, sender) = ws.split();
                assert!(sender.ping(&payload).is_none());
                sender.pong(&payload);
                sender.close(CloseCode::NORMAL, "");
                sender.flush();
                assert!(receiver.recv().is_none());
            } else {
                assert!(ws.ping(&payload).is_none());
                ws.pong(&payload);
                ws.close(CloseCode::NORMAL, "");
                ws.flush();
            }
            assert_eq!(log.frames(), expected, "{n}");
        }
    }
}

fn threat_109_a_client_s_frames_stay_whole_too<V: Verbs>() {
    for n in 0..106 {
        let transport = Scripted::silent().writes(after(n));
        let log = transport.log.clone();
        let mut ws = V::client(transport);
        assert!(ws.send(vec![5; 100]).is_none());
        ws.send("short").expect("sent").unwrap();
        // Our own server is the judge; its parser is tested elsewhere.
        let mut peer = V::server(Scripted::new(log.get(|log| log.written.clone())));
        assert_eq!(peer.all(), [Message::binary(vec![5; 100]), Message::text("short")]);
    }
}

fn threat_109_a_message_that_found_no_room_is_not_sent<V: Verbs>() {
    let mut config = quiet();
    config.limits.outgoing = 10;
    let transport = Scripted::silent().writes([Step::Stuck, Step::Stuck]);
    let log = transport.log.clone();
    let mut ws = V::upgraded(Role::Server, transport, config);
    assert!(ws.send("a message over the mark").is_none());
    // The call ends while it waits for room.
    assert!(ws.send("dropped").is_none());
    ws.send("last").expect("sent").unwrap();
    let payloads: Vec<_> = log.frames().into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(payloads, [&b"a message over the mark"[..], b"last"]);
}

fn threat_108_a_call_that_was_never_begun_sends_nothing<V: Verbs>() {
    let transport = Scripted::silent();
    let log = transport.log.clone();
    let mut ws = V::server(transport);
    with_patience(0, nothing(), || {
        assert!(ws.send("never").is_none());
        assert!(ws.feed("never").is_none());
        assert!(ws.ping(b"never").is_none());
        assert!(ws.pong(b"never").is_none());
    });
    ws.flush().expect("flushed").unwrap();
    assert!(log.get(|log| log.written.is_empty()));
}

fn nothing() -> Rc<dyn Fn()> {
    Rc::new(|| {})
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn threat_110_accept_dropped_at_every_byte_leaves_nothing<V: Verbs>() {
    for polls in 0.. {
        let transport = Scripted::trickle(REQUEST.as_bytes());
        let log = transport.log.clone();
        let done = with_patience(polls, nothing(), || V::accept(transport));
        if let Some(done) = done {
            assert!(polls >= REQUEST.len());
            assert!(!log.get(|log| log.dropped));
            drop(done.unwrap());
            assert!(log.get(|log| log.dropped));
            break;
        }
        assert!(log.get(|log| log.dropped), "{polls}");
    }
}

fn threat_110_connect_dropped_at_every_byte_leaves_nothing<V: Verbs>() {
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!";
    for polls in 0.. {
        let writes = [Step::Move(1), Step::Stuck].into_iter().cycle().take(50);
        let transport = Scripted::trickle(answer.as_bytes()).writes(writes);
        let log = transport.log.clone();
        let done = with_patience(polls, nothing(), || V::connect("ws://localhost/", transport));
        assert!(log.get(|log| log.dropped), "{polls}");
        if done.is_some() {
            assert!(polls >= answer.len());
            break;
        }
    }
}

fn threat_110_open_connections_and_their_halves_let_go_of_the_transport<V: Verbs>() {
    let transport = Scripted::new("");
    let log = transport.log.clone();
    drop(V::server(transport));
    assert!(log.get(|log| log.dropped));

    let transport = Scripted::silent();
    let log = transport.log.clone();
    let (mut receiver, sender) = V::client(transport).split();
    assert!(receiver.recv().is_none());
    drop(receiver);
    assert!(log.get(|log| log.dropped));
    drop(sender);
}
