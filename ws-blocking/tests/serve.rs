//! The listener loop: many connections, shutdown, caps, panics.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{echo, echo_server, frame, guard, patiently, run};
use ws_blocking::{
    Accept, Acceptor, CancelToken, CloseCode, Config, ConnectError, Decision, Interrupted, Reply, Request, Server,
    Wait, WebSocket, connect,
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const LONG: Duration = Duration::from_secs(30);

fn server() -> Server {
    Server::bind("127.0.0.1:0").unwrap()
}

/// An open connection as bytes; its answer is read.
fn open(address: std::net::SocketAddr) -> TcpStream {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.write_all(REQUEST).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 1];
        tcp.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    tcp
}

/// An open connection to an echo server, on which something was echoed: so the handler has begun.
fn open_echo(address: std::net::SocketAddr) -> TcpStream {
    let mut tcp = open(address);
    tcp.write_all(&frame(0x82, b"x")).unwrap();
    tcp.read_exact(&mut [0; 3]).unwrap();
    tcp
}

/// The same, as a client.
fn connect_echo(url: &str) -> WebSocket {
    let mut ws = connect(url).unwrap();
    ws.set_wait(guard());
    ws.send("x").unwrap();
    assert_eq!(ws.recv(), Ok(Some("x".into())));
    ws
}

#[test]
fn fifty_connections_and_a_shutdown() {
    patiently(|| {
        let running = echo_server();
        let mut open: Vec<_> = (0..50)
            .map(|n| {
                let mut ws = connect(&running.url()).unwrap();
                ws.set_wait(guard());
                ws.send(format!("{n}")).unwrap();
                assert_eq!(ws.recv(), Ok(Some(format!("{n}").into())));
                ws
            })
            .collect();
        assert_eq!(running.handle.connections(), 50);
        for mut ws in open.drain(..20) {
            assert!(ws.close(1000, "").unwrap().is_clean());
        }
        let ending: Vec<_> = open
            .into_iter()
            .map(|mut ws| {
                thread::spawn(move || {
                    assert_eq!(ws.recv(), Ok(None));
                    ws.closed().cloned().unwrap()
                })
            })
            .collect();
        let url = running.url();
        let report = running.shut_down(LONG);
        for closed in ending {
            let closed = closed.join().unwrap();
            assert_eq!(closed.code(), CloseCode::GOING_AWAY);
            assert!(closed.is_clean());
        }
        assert_eq!((report.served, report.aborted, report.panicked, report.rejected), (50, 0, 0, 0));
        assert!((30..=50).contains(&report.graceful), "{report:?}");
        assert!(matches!(connect(&url), Err(ConnectError::Io(_))));
    });
}

#[test]
fn requests_are_decided_and_pages_served() {
    patiently(|| {
        let server = server().decide(|request: &Request, peer| match (request.path(), request.is_websocket()) {
            ("/ws", true) => Decision::from(Accept::new()),
            ("/", false) => Reply::text(200, &format!("hello {}", peer.tcp().unwrap().ip())).into(),
            _ => Reply::new(404).into(),
        });
        let running = run(server, |mut ws, incoming| {
            assert_eq!(incoming.request.query(), Some("a=b"));
            ws.send(incoming.peer.to_string()).unwrap();
            while ws.recv().unwrap().is_some() {}
        });
        let mut tcp = TcpStream::connect(running.address).unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut page = String::new();
        tcp.read_to_string(&mut page).unwrap();
        assert!(page.ends_with("hello 127.0.0.1"), "{page}");
        let Err(ConnectError::Refused(response)) = connect(&format!("{}x", running.url())) else { panic!() };
        assert_eq!(response.status(), 404);
        let mut ws = connect(&format!("{}ws?a=b", running.url())).unwrap();
        let local = ws.get_ref().unwrap().local_addr().unwrap().to_string();
        assert_eq!(ws.recv().unwrap().unwrap().as_text(), Some(&*local));
        assert!(ws.close(1000, "").unwrap().is_clean());
        let report = running.shut_down(LONG);
        assert_eq!((report.served, report.aborted), (1, 0));
    });
}

#[test]
fn threat_035_over_the_cap_there_is_503_and_freed_places_are_used_again() {
    patiently(|| {
        let running = run(server().max_connections(10), |ws, _| echo(ws));
        for _ in 0..3 {
            let served: Vec<_> = (0..10).map(|_| connect(&running.url()).unwrap()).collect();
            for _ in 0..20 {
                let Err(ConnectError::Refused(response)) = connect(&running.url()) else { panic!("served") };
                assert_eq!(response.status(), 503);
            }
            for mut ws in served {
                ws.send("still served").unwrap();
                assert!(ws.recv().unwrap().is_some());
                ws.close(1000, "").unwrap();
            }
            while running.handle.connections() > 0 {
                thread::yield_now();
            }
        }
        let report = running.shut_down(LONG);
        assert_eq!((report.served, report.rejected), (30, 60));
    });
}

#[test]
fn silent_clients_take_no_more_than_their_share_and_the_acceptor_waits_for_nobody() {
    patiently(|| {
        let running = run(server().max_pending_handshakes(5), |ws, _| echo(ws));
        let mut silent: Vec<_> = (0..5).map(|_| TcpStream::connect(running.address).unwrap()).collect();
        while running.handle.connections() < 5 {
            thread::yield_now();
        }
        assert!(matches!(connect(&running.url()), Err(ConnectError::Refused(_))));
        drop(silent.pop());
        while running.handle.connections() == 5 {
            thread::yield_now();
        }
        drop(connect_echo(&running.url()));
        // A shutdown does not wait for those who never said anything.
        let report = running.shut_down(LONG);
        assert_eq!((report.served, report.aborted), (1, 0));
    });
}

#[test]
fn threat_115_a_panic_ends_its_own_connection_with_1011() {
    patiently(|| {
        let running = run(server(), |mut ws, _| {
            while let Some(message) = ws.recv().unwrap() {
                assert_ne!(message.as_text(), Some("panic"), "as intended");
                if message.as_text() == Some("split") {
                    let (mut receiver, sender) = ws.split();
                    sender.send("halves").unwrap();
                    receiver.recv().unwrap();
                    panic!("in halves, as intended");
                }
                ws.send(message).unwrap();
            }
        });
        let mut good = connect(&running.url()).unwrap();
        for how in ["panic", "split"] {
            let mut bad = connect(&running.url()).unwrap();
            bad.set_wait(guard());
            bad.send(how).unwrap();
            if how != "panic" {
                assert_eq!(bad.recv(), Ok(Some("halves".into())));
                bad.send("go").unwrap();
            }
            assert_eq!(bad.recv(), Ok(None));
            assert_eq!(bad.closed().unwrap().code(), CloseCode::INTERNAL_ERROR, "{how}");
            good.send("alive").unwrap();
            assert_eq!(good.recv(), Ok(Some("alive".into())));
        }
        good.close(1000, "").unwrap();
        let report = running.shut_down(LONG);
        assert_eq!((report.panicked, report.aborted), (2, 0), "{report:?}");
    });
}

#[test]
fn threat_120_a_shutdown_closes_the_willing_and_cuts_off_the_deaf() {
    patiently(|| {
        let running = echo_server();
        let idle: Vec<_> = (0..20)
            .map(|_| {
                let mut ws = connect_echo(&running.url());
                thread::spawn(move || {
                    while ws.recv().unwrap().is_some() {}
                    ws.closed().unwrap().code()
                })
            })
            .collect();
        // Half a message, and never an answer to the Close.
        let mut deaf: Vec<_> = (0..5).map(|_| open_echo(running.address)).collect();
        for tcp in &mut deaf {
            tcp.write_all(&frame(0x81, b"never finished")[..10]).unwrap();
        }
        let early = TcpStream::connect(running.address).unwrap();
        while running.handle.connections() < 26 {
            thread::yield_now();
        }
        let report = running.shut_down(Duration::from_secs(2));
        assert_eq!((report.served, report.graceful, report.aborted, report.refused), (25, 20, 5, 1), "{report:?}");
        for closed in idle {
            assert_eq!(closed.join().unwrap(), CloseCode::GOING_AWAY);
        }
        for mut tcp in deaf {
            let mut rest = Vec::new();
            let _ = tcp.read_to_end(&mut rest);
            let at = rest.windows(4).position(|w| w[0] == 0x88 && w[2..] == [0x03, 0xe9]);
            assert!(at.is_some(), "no 1001 in {rest:?}");
        }
        drop(early);
    });
}

/// Whatever a handler waits for: room to write, another thread that sends, its own deadline.
#[test]
fn threat_120_a_handler_that_waits_to_write_is_cut_off() {
    patiently(|| {
        let stuck = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(AtomicUsize::new(0));
        let (count, done) = (stuck.clone(), ended.clone());
        let running = run(server(), move |mut ws, _| {
            let much = vec![0; 12_000_000];
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                assert_eq!(ws.send(&much[..]), Err(ws_blocking::Error::Closed));
            } else {
                let (_receiver, sender) = ws.split();
                assert_eq!(sender.send(&much[..]), Err(ws_blocking::Error::Closed));
            }
            done.fetch_add(1, Ordering::SeqCst);
        });
        let deaf = [open(running.address), open(running.address)];
        while stuck.load(Ordering::SeqCst) < 2 {
            thread::yield_now();
        }
        let report = running.shut_down(Duration::from_millis(300));
        assert_eq!((report.served, report.aborted, report.panicked), (2, 2, 0), "{report:?}");
        assert_eq!(ended.load(Ordering::SeqCst), 2);
        drop(deaf);
    });
}

#[test]
fn threat_120_a_peer_that_sends_without_pause_gets_1001() {
    patiently(|| {
        let running = echo_server();
        let mut from = open_echo(running.address);
        let mut to = from.try_clone().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let flood = thread::spawn({
            let stop = stop.clone();
            move || {
                // Pongs: nothing is owed for them.
                let pongs = frame(0x8a, b"").repeat(10_000);
                while !stop.load(Ordering::Acquire) {
                    to.write_all(&pongs).unwrap();
                }
                to.write_all(&frame(0x88, &1001_u16.to_be_bytes())).unwrap();
                to
            }
        });
        running.handle.shutdown(Duration::from_secs(50));
        let mut got = Vec::new();
        while !got.windows(4).any(|w| w[0] == 0x88 && w[2..] == [0x03, 0xe9]) {
            let mut some = [0; 100];
            let n = from.read(&mut some).unwrap();
            assert_ne!(n, 0, "no 1001 in {got:?}");
            got.extend_from_slice(&some[..n]);
        }
        stop.store(true, Ordering::Release);
        let report = running.shut_down(LONG);
        assert_eq!((report.served, report.graceful, report.aborted), (1, 1, 0));
        drop(flood.join().unwrap());
    });
}

#[test]
fn a_shutdown_is_noticed_by_halves_too() {
    patiently(|| {
        let noticed = Arc::new(AtomicUsize::new(0));
        let count = noticed.clone();
        let running = run(server(), move |ws, _| {
            let (mut receiver, sender) = ws.split();
            while let Some(message) = receiver.recv().unwrap() {
                sender.send(message).unwrap();
            }
            count.fetch_add(1, Ordering::SeqCst);
        });
        let mut ws = connect_echo(&running.url());
        running.handle.shutdown(LONG);
        assert_eq!(ws.recv(), Ok(None));
        assert_eq!(ws.closed().unwrap().code(), CloseCode::GOING_AWAY);
        assert_eq!(running.shut_down(LONG).graceful, 1);
        assert_eq!(noticed.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn threat_132_hostile_handshakes_do_not_end_the_loop() {
    patiently(|| {
        let running = echo_server();
        let hostile: [&[u8]; 6] = [
            b"",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"SSH-2.0-x\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nCookie: \xff\xfe;;;=\r\n\
              Sec-WebSocket-Key: x\r\n\r\n",
        ];
        for bytes in hostile.iter().cycle().take(300) {
            let mut tcp = TcpStream::connect(running.address).unwrap();
            let _ = tcp.write_all(bytes);
        }
        let mut ws = connect(&running.url()).unwrap();
        ws.send("good").unwrap();
        assert_eq!(ws.recv(), Ok(Some("good".into())));
        ws.close(1000, "").unwrap();
        while running.handle.connections() > 0 {
            thread::yield_now();
        }
        let report = running.shut_down(LONG);
        assert_eq!((report.served, report.aborted, report.panicked), (1, 0, 0));
        assert_eq!(report.refused, 300);
    });
}

#[test]
fn the_waits_of_an_acceptor_are_those_of_its_connections() {
    patiently(|| {
        let token = CancelToken::new();
        let mut acceptor = Acceptor::new(Config::default());
        acceptor.set_wait(Wait::from(&token));
        let (done, ended) = std::sync::mpsc::channel();
        let running = run(server().acceptor(acceptor), move |mut ws, _| {
            let _ = done.send(ws.recv());
        });
        let ws = connect(&running.url()).unwrap();
        thread::sleep(Duration::from_millis(20));
        token.cancel();
        assert_eq!(ended.recv().unwrap(), Err(Interrupted::Cancelled));
        drop(ws);
    });
}

#[test]
fn a_listener_from_elsewhere_and_small_stacks() {
    patiently(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Without optimisations frames on the stack are large.
        let running = run(Server::new(listener).stack_size(512 * 1024), |ws, _| echo(ws));
        let mut ws = connect(&running.url()).unwrap();
        ws.send(vec![1; 1_000_000]).unwrap();
        assert_eq!(ws.recv().unwrap().unwrap().len(), 1_000_000);
        drop(ws);
        assert_eq!(running.shut_down(LONG).served, 1);
    });
}

#[test]
fn a_server_without_connections_ends_at_once_and_its_port_is_free() {
    patiently(|| {
        let mut address = "127.0.0.1:0".parse().unwrap();
        for _ in 0..20 {
            let running = run(Server::bind(address).unwrap(), |ws, _| echo(ws));
            address = running.address;
            assert!(Server::bind(address).is_err(), "a second listener");
            let mut ws = connect_echo(&running.url());
            let ending = thread::spawn(move || while ws.recv().unwrap().is_some() {});
            assert_eq!(running.shut_down(LONG).served, 1);
            ending.join().unwrap();
        }
    });
}
