//! The two halves, on threads.

mod common;

use std::thread;
use std::time::Duration;

use common::{both, pair, patiently, tcp_pair};
use ws_blocking::{
    CancelToken, Cause, CloseCode, Error, Event, Interrupted, Kind, Message, NetStream, Prepared, Receiver, SendError,
    SendReaderError, Sender,
};

#[test]
fn senders_are_shared_by_threads() {
    fn check<T: Clone + Send + Sync>() {}
    fn sent<T: Send>() {}
    check::<Sender>();
    check::<Sender<NetStream>>();
    sent::<Receiver>();
}

#[test]
fn many_senders_and_no_message_is_lost_or_mixed() {
    patiently(|| {
        let (client, mut server) = tcp_pair();
        let (mut receiver, sender) = client.split();
        let receive = thread::spawn(move || while receiver.recv().unwrap().is_some() {});
        let threads: Vec<_> = (0..10_u8)
            .map(|thread| {
                let sender = sender.clone();
                thread::spawn(move || {
                    for number in 0..50_u8 {
                        let mut message = vec![thread; 1 + 20 * usize::from(number)];
                        message[0] = number;
                        sender.send(message).unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0_u8; 10];
        for _ in 0..500 {
            let Some(Message::Binary(message)) = server.recv().unwrap() else { panic!("no message") };
            let number = message[0];
            assert_eq!(message.len(), 1 + 20 * usize::from(number));
            let thread = if number == 0 { continue } else { message[1] };
            assert!(message[1..].iter().all(|byte| *byte == thread));
            next[usize::from(thread)] += 1;
            assert_eq!(next[usize::from(thread)], number);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(server.close(1000, "").unwrap().is_clean());
        receive.join().unwrap();
        assert!(sender.is_closed());
    });
}

#[test]
fn a_sender_closes_and_the_receiver_hears_the_end() {
    patiently(|| {
        let (client, mut server) = pair();
        let (mut receiver, sender) = client.split();
        let receive = thread::spawn(move || {
            assert_eq!(receiver.recv(), Ok(None));
            receiver.closed().cloned().unwrap()
        });
        let peer = thread::spawn(move || while server.recv().unwrap().is_some() {});
        assert!(sender.close(1006, "").is_err());
        sender.send("before").unwrap();
        sender.close(4000, "over").unwrap();
        assert_eq!(sender.send("after"), Err(Error::Closed));
        assert_eq!(sender.ping(b""), Err(Error::Closed));
        let closed = receive.join().unwrap();
        assert!(closed.is_clean());
        assert_eq!(closed.sent.unwrap().code(), CloseCode::from(4000));
        peer.join().unwrap();
    });
}

#[test]
fn a_dropped_receiver_ends_the_connection_for_the_senders() {
    patiently(|| {
        for tcp in [false, true] {
            if tcp {
                let (client, server) = tcp_pair();
                dropped_receiver(client.split(), server);
            } else {
                let (client, server) = pair();
                dropped_receiver(client.split(), server);
            }
        }
    });
}

fn dropped_receiver<T: ws_blocking::Transport + 'static>(
    (receiver, sender): (Receiver<T>, Sender<T>),
    mut server: ws_blocking::WebSocket<T>,
) {
    // One sender waits for room that never comes.
    let waiting = thread::spawn({
        let sender = sender.clone();
        move || sender.send(vec![0; 12_000_000])
    });
    while sender.buffered() == 0 {
        thread::yield_now();
    }
    thread::sleep(Duration::from_millis(20));
    drop(receiver);
    assert_eq!(waiting.join().unwrap(), Err(Error::Closed));
    assert!(sender.is_closed());
    assert_eq!(sender.send("x"), Err(Error::Closed));
    assert!(matches!(sender.try_send("x"), Err(SendError::Closed("x"))));
    while server.recv().unwrap().is_some() {}
    assert!(!server.closed().unwrap().is_clean());
}

#[test]
fn the_receiver_goes_on_without_senders() {
    patiently(|| {
        let (client, mut server) = pair();
        let (mut receiver, sender) = client.split();
        drop(sender);
        server.send("still here").unwrap();
        server.ping(b"and answering").unwrap();
        assert_eq!(receiver.recv(), Ok(Some("still here".into())));
        let receive = thread::spawn(move || receiver.recv());
        assert!(matches!(server.recv_event(), Ok(Some(Event::Pong(_)))));
        assert!(server.close(1000, "").unwrap().is_clean());
        assert_eq!(receive.join().unwrap(), Ok(None));
    });
}

#[test]
fn a_sender_can_abort() {
    patiently(|| {
        let (client, _server) = tcp_pair();
        let (mut receiver, sender) = client.split();
        let receive = thread::spawn(move || {
            let message = receiver.recv();
            (message, receiver.closed().unwrap().cause)
        });
        thread::sleep(Duration::from_millis(10));
        sender.abort();
        assert_eq!(receive.join().unwrap(), (Ok(None), Cause::Aborted));
    });
}

#[test]
fn pings_are_timed_across_the_halves() {
    patiently(|| {
        let (client, mut server) = pair();
        let (mut receiver, sender) = client.split();
        let peer = thread::spawn(move || while server.recv().unwrap().is_some() {});
        sender.ping(b"?").unwrap();
        let Some(Event::Pong(pong)) = receiver.recv_event().unwrap() else { panic!("no pong") };
        assert!(pong.round_trip.is_some());
        assert!(receiver.stats().round_trip.is_some());
        drop((receiver, sender));
        peer.join().unwrap();
    });
}

#[test]
fn threat_117_both_ends_send_at_once() {
    patiently(|| {
        // A sender and a receiver on each side: no deadlock.
        let (client, server) = tcp_pair();
        let halves = |ws: ws_blocking::WebSocket| {
            move || {
                let (mut receiver, sender) = ws.split();
                both(
                    || (0..64).for_each(|_| sender.send(vec![1; 256 * 1024]).unwrap()),
                    || (0..64).for_each(|_| assert_eq!(receiver.recv().unwrap().unwrap().len(), 256 * 1024)),
                );
            }
        };
        both(halves(client), halves(server));
    });
}

#[test]
fn a_message_that_waited_for_room_in_vain_is_not_sent() {
    patiently(|| {
        let mut config = ws_blocking::Config::default();
        config.limits.outgoing = 1000;
        let (here, there) = ws_blocking::pipe();
        let ws = common::upgraded(here, ws_blocking::Role::Client, config);
        let mut peer = common::server(there);
        let (receiver, mut sender) = ws.split();
        sender.set_wait(Duration::ZERO);
        let long = vec![1; 100_000];
        let why = Interrupted::Deadline;
        assert_eq!(sender.send(&long[..]), Err(Error::Interrupted { why, queued: true }));
        assert_eq!(sender.send("not this"), Err(Error::Interrupted { why, queued: false }));
        let token = CancelToken::new();
        token.cancel();
        let prepared = Prepared::new("nor this");
        assert_eq!(sender.try_send_prepared(&prepared), Err(SendError::Full(())));
        assert_eq!(sender.send_prepared(&prepared), Err(Error::Interrupted { why, queued: false }));
        sender.set_wait(&token);
        let why = Interrupted::Cancelled;
        assert_eq!(sender.send_prepared(&prepared), Err(Error::Interrupted { why, queued: false }));
        assert_eq!(sender.send("nor this"), Err(Error::Interrupted { why, queued: false }));
        assert_eq!(sender.ping(b"nor this"), Err(Error::Interrupted { why, queued: false }));
        sender.set_wait(common::guard());
        let receive = thread::spawn(move || {
            assert_eq!(peer.recv().unwrap().unwrap().as_bytes(), long);
            (peer.recv().unwrap(), peer)
        });
        sender.send("but this").unwrap();
        assert_eq!(receive.join().unwrap().0, Some("but this".into()));
        drop(receiver);
    });
}

#[test]
fn a_crowd_of_waiting_senders_all_get_through() {
    patiently(|| {
        let mut config = ws_blocking::Config::default();
        config.limits.outgoing = 1000;
        let (here, there) = common::sockets();
        let ws = common::upgraded(NetStream::from(here), ws_blocking::Role::Client, config);
        let mut peer = common::server(NetStream::from(there));
        let (mut receiver, sender) = ws.split();
        let threads: Vec<_> = (0..100)
            .map(|_| {
                let sender = sender.clone();
                thread::spawn(move || (0..10).for_each(|_| sender.send(vec![7; 30_000]).unwrap()))
            })
            .collect();
        thread::sleep(Duration::from_millis(50));
        let receive = thread::spawn(move || while receiver.recv().unwrap().is_some() {});
        for _ in 0..1000 {
            assert_eq!(peer.recv().unwrap().unwrap().len(), 30_000);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        peer.close(1000, "").unwrap();
        receive.join().unwrap();
    });
}

#[test]
fn what_finds_the_transport_broken_is_not_queued() {
    patiently(|| {
        let (client, server) = tcp_pair();
        let (_receiver, sender) = client.split();
        drop(server);
        while sender.send("lost").is_ok() {}
        assert_eq!(sender.feed("late"), Err(Error::Closed));
        assert_eq!(sender.send_prepared(&Prepared::new("late")), Err(Error::Closed));
    });
}

/// A source that has a byte now and then, and no end.
struct Drip;

impl std::io::Read for Drip {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        thread::sleep(Duration::from_millis(1));
        Ok(buffer.first_mut().map(|byte| *byte = 1).into_iter().count())
    }
}

#[test]
fn a_source_without_end_is_given_up() {
    patiently(|| {
        let (mut client, server) = tcp_pair();
        let (mut receiver, sender) = server.split();
        receiver.set_delivery(ws_blocking::Delivery::Chunks);
        let reading = thread::spawn(move || while receiver.recv().unwrap().is_some() {});
        client.set_wait(Duration::from_millis(50));
        let interrupted = |error| matches!(error, SendReaderError::Send(Error::Interrupted { .. }));
        assert!(client.send_reader(Kind::Binary, Drip).is_err_and(interrupted));
        client.abort();
        reading.join().unwrap();
        drop(sender);

        let (client, server) = tcp_pair();
        let (mut receiver, _sender) = server.split();
        receiver.set_delivery(ws_blocking::Delivery::Chunks);
        let (_receiver, mut sender) = client.split();
        let token = CancelToken::new();
        sender.set_wait(&token);
        let sending = thread::spawn(move || sender.send_reader(Kind::Binary, Drip));
        assert!(receiver.recv_event().unwrap().is_some());
        token.cancel();
        assert!(sending.join().unwrap().is_err_and(interrupted));
    });
}
