//! Threats that need real sockets, real threads, or the clock on the wall.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ws_adapter::ConnectError;
use ws_proto::{Cause, CloseCode, Config, Message, Role, ServerConfig, Version, Versions};

use crate::net::{LARGE, Net, PATIENCE, Program, REQUEST, Settings, eventually, raw};
use crate::versions_kit::serving;
use crate::wire::{Io, OneWaker, frame, pipe};
use crate::{Dice, quiet};

crate::on_all_networks!(
    threat_031_a_handler_that_waits_makes_its_peer_wait,
    threat_098_a_peer_that_is_silent_is_given_up,
    threat_101_a_peer_that_reads_nothing_is_given_up,
    threat_102_a_reset_of_a_real_socket,
    threat_105_a_peer_in_mid_upload_reads_the_close,
    threat_111_others_are_served_beside_a_flood,
    threat_112_halves_on_two_threads_never_miss_a_wake_up,
    threat_115_a_panic_ends_its_own_connection_with_1011,
    threat_116_silent_clients_keep_nobody_waiting,
    threat_117_both_ends_send_at_once_over_sockets,
    threat_117_two_that_only_send_end_by_the_write_stall_over_sockets,
    a_busy_connection_hears_of_the_shutdown,
    every_version_in_both_roles,
    the_best_common_version_if_asked_for,
    each_version_is_tried_once,
);

fn text(message: &str) -> Message {
    Message::text(message.to_owned())
}

fn served(program: Program, config: Config) -> Settings {
    Settings { config: ServerConfig::from(config), ..Settings::from(program) }
}

fn threat_031_a_handler_that_waits_makes_its_peer_wait<N: Net>() {
    let running = N::serve(served(Program::Waits, quiet()));
    let mut peer = raw(running.address);
    let message = frame(0x82, &[1; 60_000]);
    peer.set_nonblocking(true).unwrap();
    // Writes until nothing moves for a while: the handler does not receive, so nobody reads.
    let (mut written, mut still) = (0_usize, 0);
    while still < 100 {
        match peer.write(&message[written % message.len()..]) {
            Ok(n) => (written, still) = (written + n, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                thread::sleep(Duration::from_millis(2));
                still += 1;
            }
        }
        assert!(written < 64 * 1024 * 1024, "somebody reads, and keeps it");
    }
    // Then everything is delivered.
    running.stage.go.store(true, Ordering::Release);
    peer.set_nonblocking(false).unwrap();
    let rest = written % message.len();
    if rest > 0 {
        peer.write_all(&message[rest..]).unwrap();
        written += message.len() - rest;
    }
    peer.write_all(&frame(0x88, b"\x03\xe8")).unwrap();
    let (closed, bytes) = running.end();
    assert!(closed.is_clean(), "{closed:?}");
    assert_eq!(bytes, written / message.len() * 60_000);
    running.stop();
}

fn threat_098_a_peer_that_is_silent_is_given_up<N: Net>() {
    let mut config = quiet();
    config.timers.keepalive = Some(Duration::from_millis(50));
    config.timers.pong = Some(Duration::from_millis(50));
    let running = N::serve(served(Program::Echo, config));
    let mut peer = raw(running.address);
    let mut ping = [0; 2];
    peer.read_exact(&mut ping).unwrap();
    assert_eq!(ping[0], 0x89);
    // The socket stays open, and nothing comes.
    assert_eq!(running.end().0.cause, Cause::PongTimeout);
    running.stop();
}

fn threat_101_a_peer_that_reads_nothing_is_given_up<N: Net>() {
    let mut config = quiet();
    config.timers.write_stall = Some(Duration::from_millis(200));
    let running = N::serve(served(Program::Pours, config));
    let peer = raw(running.address);
    assert_eq!(running.end().0.cause, Cause::WriteStalled);
    drop(peer);
    running.stop();
}

fn threat_102_a_reset_of_a_real_socket<N: Net>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = thread::spawn(move || N::accept(listener.accept().unwrap().0));
    let mut peer = raw(address);
    let mut ws = accepting.join().unwrap();
    ws.send(text("never read by the peer")).unwrap();
    peer.write_all(&frame(0x81, b"before")).unwrap();
    // Data that was not read turns the close of the peer into a reset.
    let mut first = [0];
    assert_eq!(peer.peek(&mut first).unwrap(), 1);
    drop(peer);
    assert_eq!(ws.recv(), Some(text("before")));
    assert_eq!(ws.recv(), None);
    assert_eq!(ws.closed().unwrap().cause, Cause::Transport);
    assert_eq!(ws.io_error(), Some(ErrorKind::ConnectionReset));
}

fn threat_105_a_peer_in_mid_upload_reads_the_close<N: Net>() {
    let running = N::serve(Program::Echo.into());
    // Opcode 3 does not exist; the upload goes on behind it.
    let upload = [frame(0x83, b""), vec![0x55; 256 * 1024]].concat();
    for n in 0..200 {
        let mut peer = raw(running.address);
        peer.write_all(&upload).unwrap();
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        assert_eq!(got[..1], [0x88], "{n}");
        assert_eq!(got[2..4], 1002_u16.to_be_bytes(), "{n}");
    }
    running.stop();
}

fn threat_111_others_are_served_beside_a_flood<N: Net>() {
    let running = N::serve(Program::Echo.into());
    let stop = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..2)
        .map(|_| {
            let (mut peer, stop) = (raw(running.address), stop.clone());
            thread::spawn(move || {
                // Pongs: nothing is owed for them.
                let pongs = frame(0x8a, b"").repeat(1000);
                while !stop.load(Ordering::Acquire) {
                    peer.write_all(&pongs).unwrap();
                }
                peer.write_all(&frame(0x88, b"\x03\xe8")).unwrap();
                peer
            })
        })
        .collect();
    let mut ws = N::open(&running.url());
    for n in 0..10 {
        let message = text(&n.to_string());
        ws.send(message.clone()).unwrap();
        assert_eq!(ws.recv(), Some(message));
    }
    ws.close();
    stop.store(true, Ordering::Release);
    for flood in floods {
        drop(flood.join().unwrap());
    }
    running.stop();
}

/// There are no timers that could wake those who were forgotten.
fn threat_112_halves_on_two_threads_never_miss_a_wake_up<N: Net>() {
    let (tell, done) = mpsc::channel();
    thread::spawn(move || {
        two_halves_each::<N>();
        tell.send(())
    });
    done.recv_timeout(PATIENCE).expect("somebody sleeps for ever, or has panicked");
}

fn two_halves_each<N: Net>() {
    for (seed, size) in (0..12).zip([1, 2, 5, 64, 100, 1000].into_iter().cycle()) {
        let (a, b) = pipe(size);
        let ends = [(Role::Client, a, seed), (Role::Server, b, seed + 100)];
        let threads = ends.map(|(role, end, seed)| {
            thread::spawn(move || {
                let (mut receiver, sender) = N::over(role, Io::from(OneWaker::new(end))).split();
                let sending = thread::spawn(move || {
                    let mut dice = Dice::new(seed);
                    for n in 0..100_u8 {
                        sender.send(Message::binary(vec![n; dice.roll(60) as usize])).unwrap();
                        if dice.roll(4) == 0 {
                            thread::yield_now();
                        }
                    }
                    sender
                });
                for n in 0..100_u8 {
                    let Some(Message::Binary(message)) = receiver.recv() else { panic!("no message {n}") };
                    assert!(message.iter().all(|byte| *byte == n));
                }
                sending.join().unwrap().start_close();
                assert_eq!(receiver.recv(), None);
                assert!(receiver.closed().unwrap().is_clean(), "{:?}", receiver.closed());
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

fn threat_115_a_panic_ends_its_own_connection_with_1011<N: Net>() {
    let running = N::serve(Program::Panics.into());
    let url = running.url();
    let mut good = N::open(&url);
    for how in ["panic", "split", "elsewhere"] {
        let mut bad = N::open(&url);
        bad.send(text(how)).unwrap();
        if how != "panic" {
            assert_eq!(bad.recv(), Some(text("halves")));
            bad.send(text("go")).unwrap();
        }
        assert_eq!(bad.recv(), None);
        assert_eq!(bad.closed().unwrap().code(), CloseCode::INTERNAL_ERROR, "{how}");
        good.send(text("alive")).unwrap();
        assert_eq!(good.recv(), Some(text("alive")));
    }
    drop(N::open(&url));
    good.close();
    let report = running.stop();
    assert_eq!((report.panicked, report.aborted), (3, 0), "{report:?}");
}

fn threat_116_silent_clients_keep_nobody_waiting<N: Net>() {
    // Many that say nothing, or not enough, and one that does.
    let running = N::serve(Program::Echo.into());
    let mut silent: Vec<_> = (0..100).map(|_| TcpStream::connect(running.address).unwrap()).collect();
    for peer in silent.iter_mut().skip(50) {
        peer.write_all(&REQUEST[..50]).unwrap();
    }
    let mut ws = N::open(&running.url());
    ws.send(text("served")).unwrap();
    assert_eq!(ws.recv(), Some(text("served")));
    assert_eq!((running.connections)(), 101);
    ws.close();
    drop(silent);
    let report = running.stop();
    assert_eq!((report.served, report.aborted), (1, 0), "{report:?}");

    // As many as there may be; their time runs out.
    let mut config = Config::default();
    config.timers.handshake = Some(Duration::from_millis(200));
    config.timers.close = Some(Duration::from_millis(200));
    let running = N::serve(Settings { max_connections: 8, ..served(Program::Echo, config) });
    let silent: Vec<_> = (0..8).map(|_| TcpStream::connect(running.address).unwrap()).collect();
    eventually(|| match N::connect(&running.url(), Version::Rfc6455, Versions::NONE) {
        Ok(mut ws) => {
            ws.close();
            true
        }
        Err(ConnectError::Refused(response)) => {
            assert_eq!(response.status(), 503);
            false
        }
        // The answer of a server that does not read the request may be lost.
        Err(_) => false,
    });
    drop(silent);
    assert_eq!(running.stop().served, 1);
}

fn threat_117_both_ends_send_at_once_over_sockets<N: Net>() {
    const COUNT: usize = 40;
    let running = N::serve(Program::BothWays(COUNT).into());
    let (mut receiver, sender) = N::open(&running.url()).split();
    let sending = thread::spawn(move || {
        for _ in 0..COUNT {
            sender.send(Message::binary(vec![1; LARGE])).unwrap();
        }
        sender
    });
    for _ in 0..COUNT {
        assert_eq!(receiver.recv().unwrap().len(), LARGE);
    }
    sending.join().unwrap().start_close();
    assert_eq!(receiver.recv(), None);
    let (closed, bytes) = running.end();
    assert!(closed.is_clean());
    assert_eq!(bytes, COUNT * LARGE);
    running.stop();
}

/// Whoever only sends, and never receives, is stopped by the time limit of writing.
fn threat_117_two_that_only_send_end_by_the_write_stall_over_sockets<N: Net>() {
    let mut config = quiet();
    config.timers.write_stall = Some(Duration::from_millis(300));
    let running = N::serve(served(Program::Pours, config));
    let mut ws = N::open(&running.url());
    // The default of this end is 30 s: the other one gives up first.
    while ws.send(Message::binary(vec![1; LARGE])).is_ok() {}
    assert_eq!(running.end().0.cause, Cause::WriteStalled);
    running.stop();
}

fn a_busy_connection_hears_of_the_shutdown<N: Net>() {
    let running = N::serve(Program::Busy.into());
    let (mut receiver, sender) = N::open(&running.url()).split();
    let flood = thread::spawn(move || {
        let mut sent = 0;
        while sender.send(text("more")).is_ok() {
            sent += 1;
        }
        sent
    });
    thread::sleep(Duration::from_millis(50));
    (running.shutdown)(Duration::from_secs(50));
    while receiver.recv().is_some() {}
    let closed = receiver.closed().unwrap();
    assert_eq!(closed.received.as_ref().map(|close| close.code()), Some(CloseCode::GOING_AWAY), "{closed:?}");
    assert!(flood.join().unwrap() > 0);
    assert_eq!(running.stop().graceful, 1);
}

fn every_version_in_both_roles<N: Net>() {
    let running = N::serve(Settings { config: serving(Versions::ALL), ..Settings::from(Program::Echo) });
    for version in Version::ALL.iter().copied() {
        let mut ws = N::connect(&running.url(), version, Versions::NONE).unwrap();
        assert_eq!(ws.version(), version);
        for message in ["Hello", "", "and \u{20ac} more"].map(text) {
            ws.send(message.clone()).unwrap();
            assert_eq!(ws.recv(), Some(message), "{version}");
        }
        let binary = Message::binary(vec![1; 70_000]);
        assert_eq!(ws.send(binary.clone()).is_ok(), version.has_binary(), "{version}");
        if version.has_binary() {
            assert_eq!(ws.recv(), Some(binary), "{version}");
        }
        assert!(ws.close().is_clean(), "{version}");
        assert_eq!(running.end().0.is_clean(), version.has_close(), "{version}");
    }
    assert_eq!(running.stop().served, 11);
}

fn the_best_common_version_if_asked_for<N: Net>() {
    let both = Versions::NONE.with(Version::Hybi05).with(Version::Hybi07);
    let running = N::serve(Settings { config: serving(both), ..Settings::from(Program::Echo) });
    let connect = |version, others| N::connect(&running.url(), version, others);
    assert_eq!(connect(Version::Rfc6455, Versions::ALL).unwrap().version(), Version::Hybi07);
    let others = Versions::ALL.without(Version::Hybi07);
    assert_eq!(connect(Version::Hybi08, others).unwrap().version(), Version::Hybi05);
    // Not by itself, and not with what is not wanted.
    for others in [Versions::NONE, Versions::MODERN] {
        let error = connect(Version::Rfc6455, others).err();
        let Some(ConnectError::VersionRefused { offered, response }) = error else { panic!("{error:?}") };
        assert_eq!((offered, response.status()), (both, 426));
    }
    let report = running.stop();
    assert_eq!((report.served, report.refused), (2, 4), "{report:?}");
}

/// A server that says yes to a version and no when it is asked for it is not asked for ever.
fn each_version_is_tried_once<N: Net>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        for list in ["8, 7", "7, 6", "8, 6", "13, 8, 7"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut scratch = [0; 4096];
            assert!(stream.read(&mut scratch).unwrap() > 0);
            let answer = format!("HTTP/1.1 426 No\r\nSec-WebSocket-Version: {list}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    // 13, 8, 7, 6: then all that it names were tried.
    let error = N::connect(&url, Version::Rfc6455, Versions::ALL).err();
    assert!(matches!(error, Some(ConnectError::VersionRefused { .. })), "{error:?}");
    server.join().unwrap();
}
