//! When output is written: in batches, before the connection waits, and never later.

use ws_proto::{Config, Message, Role};

use crate::poke::Verbs;
use crate::wire::{Log, Scripted, Step, frame, pipe};
use crate::{quiet, wire};

crate::with_the_verbs_of_all!(
    answers_to_the_messages_of_one_read_go_out_in_one_write,
    a_message_cut_by_the_end_of_a_read_holds_nothing_back,
    a_large_batch_is_written_in_parts,
    a_transport_without_vectored_writes_works_too,
    send_writes_at_once_when_no_input_waits,
    what_was_fed_goes_out_before_recv_waits,
    the_high_water_mark_is_waited_for,
    the_first_messages_may_come_with_the_request,
);

fn hello(n: usize) -> Vec<u8> {
    frame(0x81, b"Hello").repeat(n)
}

fn echo<V: Verbs>(transport: Scripted) -> Log {
    let log = transport.log.clone();
    let mut ws = V::server(transport);
    loop {
        match ws.recv() {
            Some(Some(message)) => ws.send(message).expect("it takes everything").unwrap(),
            Some(None) => return log,
            None => {}
        }
    }
}

fn answers_to_the_messages_of_one_read_go_out_in_one_write<V: Verbs>() {
    for deep in [1, 2, 16, 100] {
        let reads = vec![Step::Move(11 * deep), Step::Wait, Step::Move(11 * deep), Step::Wait];
        let log = echo::<V>(Scripted::new(hello(2 * deep)).reads(reads));
        assert_eq!(log.get(|log| (log.reads, log.writes)), (2, 2), "{deep}");
        assert_eq!(log.frames(), vec![(0x81, b"Hello".to_vec()); 2 * deep]);
    }
}

fn a_message_cut_by_the_end_of_a_read_holds_nothing_back<V: Verbs>() {
    // Two messages and a half, then the rest.
    let reads = vec![Step::Move(27), Step::Wait, Step::Move(100), Step::Wait];
    let log = echo::<V>(Scripted::new(hello(4)).reads(reads));
    assert_eq!(log.get(|log| (log.reads, log.writes)), (2, 2));
    assert_eq!(log.frames().len(), 4);
}

fn a_large_batch_is_written_in_parts<V: Verbs>() {
    // 60 KB in one read; the answers do not wait for all of them.
    let message = vec![7; 1000];
    let input = frame(0x82, &message).repeat(60);
    let log = echo::<V>(Scripted::new(input));
    let writes = log.get(|log| log.writes);
    assert!((2..=3).contains(&writes), "{writes}");
    assert_eq!(log.frames(), vec![(0x82, message); 60]);
}

fn a_transport_without_vectored_writes_works_too<V: Verbs>() {
    let mut transport = Scripted::new(frame(0x82, &vec![7; 10_000]).repeat(5));
    transport.vectored = false;
    let log = echo::<V>(transport);
    assert_eq!(log.frames().len(), 5);
    assert!(log.get(|log| log.flushes) >= 1);
}

fn send_writes_at_once_when_no_input_waits<V: Verbs>() {
    let transport = Scripted::silent();
    let log = transport.log.clone();
    let mut ws = V::server(transport);
    ws.send("one").expect("sent").unwrap();
    assert_eq!(log.get(|log| log.written.clone()), b"\x81\x03one");
    ws.feed("two").expect("fed").unwrap();
    ws.try_send("three").unwrap();
    assert_eq!(log.get(|log| log.writes), 1);
    ws.flush().expect("flushed").unwrap();
    assert_eq!(log.get(|log| log.writes), 2);
    assert_eq!(log.frames().len(), 3);
    // Past a size, even `feed` writes.
    for _ in 0..40 {
        ws.feed(vec![0; 1000]).expect("fed").unwrap();
    }
    assert_eq!(log.get(|log| log.writes), 3);
}

fn what_was_fed_goes_out_before_recv_waits<V: Verbs>() {
    let (mut peer, transport) = pipe(1000);
    let mut ws = V::server(transport);
    ws.feed("fed").expect("fed").unwrap();
    assert_eq!(peer.try_read(100).unwrap(), b"");
    assert_eq!(ws.recv(), None);
    assert_eq!(peer.try_read(100).unwrap(), b"\x81\x03fed");
    peer.try_write(&hello(1));
    assert_eq!(ws.recv(), Some(Some(Message::from("Hello"))));
}

fn the_high_water_mark_is_waited_for<V: Verbs>() {
    let mut config: Config = quiet();
    config.limits.outgoing = 100;
    let transport = Scripted::silent().writes([Step::Wait, Step::Move(10), Step::Wait]);
    let log = transport.log.clone();
    let mut ws = V::upgraded(Role::Server, transport, config);
    ws.try_send(vec![1; 200]).unwrap();
    ws.try_send("full").unwrap_err();
    crate::poke::with_patience(10, std::rc::Rc::new(|| {}), || ws.send("then")).expect("sent").unwrap();
    assert_eq!(log.frames(), [(0x82, vec![1; 200]), (0x81, b"then".to_vec())]);
}

fn the_first_messages_may_come_with_the_request<V: Verbs>() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let transport = Scripted::new([head.as_bytes(), &hello(3)].concat());
    let log: wire::Log = transport.log.clone();
    let mut ws = V::accept(transport).expect("all is there").unwrap();
    assert_eq!(ws.all(), vec![Message::from("Hello"); 3]);
    assert!(log.get(|log| log.written.starts_with(b"HTTP/1.1 101 ")));
}
