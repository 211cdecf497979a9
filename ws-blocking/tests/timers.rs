//! Deadlines, on the real clock: short ones, and none that must not pass.

mod common;

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use common::{client, frame, pair, patiently, raw_server, sockets, upgraded};
use ws_blocking::ws_proto::{Rate, Timers};
use ws_blocking::{Cause, CloseCode, Closed, Config, Event, NetStream, Role, WebSocket, pipe};

const SHORT: Duration = Duration::from_millis(150);
const MOMENT: Duration = Duration::from_millis(20);

fn config(set: impl FnOnce(&mut Timers)) -> Config {
    let mut config = Config::default();
    config.timers = Timers::off();
    set(&mut config.timers);
    config
}

fn tcp_server(config: Config) -> (std::net::TcpStream, WebSocket) {
    let (here, there) = sockets();
    (here, upgraded(NetStream::from(there), Role::Server, config))
}

fn closing(peer: impl FnOnce(std::net::TcpStream) + Send + 'static) -> Closed {
    let (here, mut ws) = tcp_server(config(|timers| timers.close = Some(SHORT)));
    let peer = thread::spawn(move || peer(here));
    let closed = ws.close(1000, "").unwrap();
    drop(ws);
    peer.join().unwrap();
    closed
}

#[test]
fn threat_097_closing_ends_by_its_deadline_whatever_the_peer_does() {
    patiently(|| {
        // Never answers.
        let closed = closing(|mut peer| drop(peer.read_to_end(&mut Vec::new())));
        assert_eq!(closed.cause, Cause::CloseTimeout);
        // Sends messages for ever instead.
        let closed = closing(|mut peer| {
            while peer.write_all(&frame(0x81, b"more")).is_ok() {
                thread::sleep(MOMENT);
            }
        });
        assert_eq!(closed.cause, Cause::CloseTimeout);
        // Sends without ever taking a breath.
        let closed = closing(|mut peer| while peer.write_all(&frame(0x82, &[0; 1000])).is_ok() {});
        assert_eq!(closed.cause, Cause::CloseTimeout);
        // A byte of its Close now and then.
        let closed = closing(|mut peer| {
            for byte in frame(0x88, b"\x03\xe8") {
                thread::sleep(SHORT / 2);
                let _ = peer.write_all(&[byte]);
            }
        });
        assert_eq!(closed.cause, Cause::CloseTimeout);
        // Answers, and keeps the stream open: the server closes first.
        let closed = closing(|mut peer| {
            let _ = peer.write_all(&frame(0x88, b"\x03\xe8"));
            let _ = peer.read_to_end(&mut Vec::new());
        });
        assert!(closed.is_clean());
    });
}

#[test]
fn threat_097_a_client_waits_for_the_server_to_close_the_stream_but_not_for_ever() {
    patiently(|| {
        let (mut peer, there) = sockets();
        let mut ws = upgraded(NetStream::from(there), Role::Client, config(|timers| timers.close = Some(SHORT)));
        peer.write_all(b"\x88\x02\x03\xe8").unwrap();
        assert!(ws.close(1000, "").unwrap().is_clean());
    });
}

#[test]
fn threat_098_a_silent_wire_is_found_dead() {
    patiently(|| {
        for split in [false, true] {
            let (mut peer, mut ws) = tcp_server(config(|timers| {
                timers.keepalive = Some(SHORT);
                timers.pong = Some(SHORT);
            }));
            let waiting = thread::spawn(move || {
                if split {
                    let (mut receiver, _sender) = ws.split();
                    assert_eq!(receiver.recv(), Ok(None));
                    return receiver.closed().unwrap().cause;
                }
                assert_eq!(ws.recv(), Ok(None));
                ws.closed().unwrap().cause
            });
            let mut ping = [0; 2];
            peer.read_exact(&mut ping).unwrap();
            assert_eq!(ping[0], 0x89);
            assert_eq!(waiting.join().unwrap(), Cause::PongTimeout);
        }
    });
}

#[test]
fn keepalive_keeps_a_quiet_connection() {
    patiently(|| {
        let (here, there) = sockets();
        let quiet = |timers: &mut Timers| {
            timers.keepalive = Some(MOMENT);
            timers.pong = Some(Duration::from_secs(30));
        };
        let mut client = upgraded(NetStream::from(here), Role::Client, config(quiet));
        let mut server = upgraded(NetStream::from(there), Role::Server, config(quiet));
        let waiting = thread::spawn(move || (client.recv(), client.stats()));
        server.set_wait(Duration::from_millis(500));
        assert!(server.recv().is_err());
        server.send("at last").unwrap();
        let (message, stats) = waiting.join().unwrap();
        assert_eq!(message, Ok(Some("at last".into())));
        assert!(stats.received.pings + stats.sent.pings >= 5, "{stats:?}");
    });
}

#[test]
fn an_absence_of_the_program_is_not_the_silence_of_the_peer() {
    patiently(|| {
        let (mut peer, mut ws) = tcp_server(config(|timers| {
            timers.keepalive = Some(SHORT);
            timers.pong = Some(SHORT);
        }));
        // A ping of ours is out...
        ws.set_wait(Duration::from_millis(200));
        assert!(ws.recv().is_err());
        let mut ping = [0; 2];
        peer.read_exact(&mut ping).unwrap();
        let mut payload = vec![0; usize::from(ping[1])];
        peer.read_exact(&mut payload).unwrap();
        // ...and answered while nobody is looking.
        peer.write_all(&[frame(0x8a, &payload), frame(0x81, b"here")].concat()).unwrap();
        thread::sleep(3 * SHORT);
        assert_eq!(ws.recv(), Ok(Some("here".into())));
        ws.set_wait(Duration::ZERO);
        assert!(ws.recv().is_err(), "{:?}", ws.closed());
    });
}

/// Not even after a short read, behind which nothing is looked for at first.
#[test]
fn a_slow_program_does_not_make_the_peer_silent() {
    patiently(|| {
        let (mut peer, mut ws) = tcp_server(config(|timers| {
            timers.keepalive = None;
            timers.idle = Some(SHORT);
        }));
        for _ in 0..5 {
            peer.write_all(&frame(0x81, b"a")).unwrap();
            assert_eq!(ws.recv(), Ok(Some("a".into())));
            peer.write_all(&frame(0x81, b"b")).unwrap();
            thread::sleep(2 * SHORT);
            assert_eq!(ws.recv(), Ok(Some("b".into())), "{:?}", ws.closed());
        }
    });
}

#[test]
fn idle_lifetime_and_slowness() {
    patiently(|| {
        for what in ["idle", "lifetime", "slow"] {
            let set = |timers: &mut Timers| {
                timers.close = Some(Duration::from_secs(30));
                match what {
                    "idle" => timers.idle = Some(SHORT),
                    "lifetime" => timers.lifetime = Some(SHORT),
                    _ => timers.slowest_message = Some(Rate { bytes_per_second: 256, grace: SHORT }),
                }
            };
            let (here, there) = pipe();
            let mut ws = upgraded(here, Role::Server, config(set));
            let peer = thread::spawn(move || {
                let mut client = client(there);
                if what == "slow" {
                    client.start_message(ws_blocking::Kind::Binary).unwrap().write(&[0; 100]).unwrap();
                }
                while client.recv().unwrap().is_some() {}
                client.closed().cloned().unwrap()
            });
            while ws.recv().unwrap().is_some() {}
            let closed = peer.join().unwrap();
            let (cause, code) = match what {
                "idle" => (Cause::IdleTimeout, CloseCode::GOING_AWAY),
                "lifetime" => (Cause::Lifetime, CloseCode::GOING_AWAY),
                _ => (Cause::TooSlow, CloseCode::POLICY),
            };
            assert_eq!((ws.closed().unwrap().cause, closed.code()), (cause, code));
        }
    });
}

#[test]
fn threat_101_a_peer_that_takes_nothing_ends_by_the_write_stall() {
    patiently(|| {
        for split in [false, true] {
            let (_peer, mut ws) = tcp_server(config(|timers| timers.write_stall = Some(SHORT)));
            let much = vec![0; 12_000_000];
            let cause = if split {
                let (mut receiver, sender) = ws.split();
                let sending = thread::spawn({
                    let sender = sender.clone();
                    move || sender.send(much)
                });
                assert_eq!(receiver.recv(), Ok(None));
                assert_eq!(sending.join().unwrap(), Err(ws_blocking::Error::Closed));
                assert_eq!(sender.buffered(), 0);
                receiver.closed().unwrap().cause
            } else {
                assert!(ws.send(much).is_err());
                assert_eq!(ws.recv(), Ok(None));
                ws.closed().unwrap().cause
            };
            assert_eq!(cause, Cause::WriteStalled);
        }
    });
}

#[test]
fn threat_101_slow_progress_is_no_stall() {
    patiently(|| {
        let (mut peer, mut ws) = raw_server(config(|timers| timers.write_stall = Some(Duration::from_secs(20))));
        let reading = thread::spawn(move || {
            let mut some = [0; 1000];
            let mut left = 204_i64 + 200_000;
            while left > 0 {
                thread::sleep(Duration::from_millis(1));
                left -= peer.read(&mut some).unwrap() as i64;
            }
            peer
        });
        ws.send(vec![0; 200_194]).unwrap();
        drop(reading.join().unwrap());
    });
}

#[test]
fn round_trip_times_are_those_of_the_clock() {
    patiently(|| {
        let (mut peer, mut ws) = raw_server(Config::default());
        ws.ping(b"now").unwrap();
        let mut ping = [0; 5];
        peer.read_exact(&mut ping).unwrap();
        thread::sleep(MOMENT);
        peer.write_all(&frame(0x8a, b"now")).unwrap();
        let Ok(Some(Event::Pong(pong))) = ws.recv_event() else { panic!("no pong") };
        assert!(pong.round_trip.unwrap() >= MOMENT);
        assert!(ws.stats().round_trip.unwrap().last >= MOMENT);
    });
}

#[test]
fn a_receiver_hears_at_once_that_a_sender_closes() {
    patiently(|| {
        let (client, server) = pair();
        let (mut receiver, sender) = client.split();
        let waiting = thread::spawn(move || {
            assert_eq!(receiver.recv(), Ok(None));
            receiver.closed().cloned().unwrap()
        });
        let mut server = server;
        let peer = thread::spawn(move || while server.recv().unwrap().is_some() {});
        thread::sleep(MOMENT);
        sender.start_close(1000, "").unwrap();
        assert!(waiting.join().unwrap().is_clean());
        peer.join().unwrap();
    });
}
