//! `connect` and `accept`: sockets, names, deadlines.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use common::{Raw, both, echo, frame, guard, patiently};
use ws_blocking::handshake::AcceptError as NotAccepted;
use ws_blocking::{
    Accept, AcceptError, Acceptor, Address, CancelToken, Config, ConnectError, Connector, Decision, HandshakeError,
    NetStream, Reply, Server, ServerConfig, SubprotocolPolicy, Wait, accept, connect, pipe,
};

const REQUEST: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What a peer gets that sends these bytes and reads to the end.
fn answer(bytes: &str, acceptor: Acceptor, decision: Decision) -> (String, Result<(), AcceptError>) {
    let (here, there) = pipe();
    let accepting = thread::spawn(move || acceptor.accept_with(there, |_| decision).map(|(ws, _)| drop(ws)));
    let mut peer = Raw(here);
    peer.write_all(bytes.as_bytes()).unwrap();
    let mut got = String::new();
    peer.read_to_string(&mut got).unwrap();
    drop(peer);
    (got, accepting.join().unwrap())
}

#[test]
fn a_connection_over_tcp() {
    patiently(|| {
        let (listener, address) = listener();
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut ws = accept(NetStream::from(stream)).unwrap();
            assert!(ws.get_ref().unwrap().tcp().unwrap().nodelay().unwrap());
            while let Some(message) = ws.recv().unwrap() {
                ws.send(message).unwrap();
            }
            ws.closed().cloned().unwrap()
        });
        let mut ws = connect(&format!("ws://{address}/")).unwrap();
        let stream = ws.get_ref().unwrap();
        assert!(stream.tcp().unwrap().nodelay().unwrap());
        assert!(stream.unix().is_none());
        assert_eq!(stream.peer_addr().unwrap(), address.into());
        assert_eq!(stream.local_addr().unwrap().tcp().unwrap().ip(), address.ip());
        ws.send("Hello").unwrap();
        assert_eq!(ws.recv(), Ok(Some("Hello".into())));
        assert!(ws.close(1000, "").unwrap().is_clean());
        assert!(server.join().unwrap().is_clean());
    });
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ws-blocking-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_connection_over_a_unix_socket() {
    patiently(|| {
        let folder = Folder::new("unix");
        let path = folder.0.join("socket");
        let server = Server::bind_unix(&path).unwrap();
        assert_eq!(server.local_addr().unwrap().path(), Some(&*path));
        let handle = server.handle();
        let serving = thread::spawn(move || {
            server.serve(|ws, incoming| {
                assert_eq!(incoming.peer, Address::Unix(None));
                assert!(ws.get_ref().unwrap().unix().is_some());
                echo(ws);
            })
        });
        let (mut ws, _) = Connector::new("ws://localhost/").unwrap().connect_to(path.clone()).connect().unwrap();
        for size in [0, 10, 100_000, 1_000_000] {
            ws.send(vec![1; size]).unwrap();
            assert_eq!(ws.recv().unwrap().unwrap().len(), size);
        }
        assert!(ws.close(1000, "").unwrap().is_clean());
        handle.shutdown(Duration::from_secs(30));
        assert_eq!(serving.join().unwrap().served, 1);
        // Nobody there.
        let nobody = Connector::new("ws://localhost/").unwrap().connect_to(folder.0.join("none")).connect();
        assert!(matches!(nobody, Err(ConnectError::Io(_))));
        // Of std, on either end.
        let listener = UnixListener::bind(folder.0.join("other")).unwrap();
        let here = UnixStream::connect(folder.0.join("other")).unwrap();
        let there = listener.accept().unwrap().0;
        let connector = Connector::new("ws://localhost/").unwrap();
        let (a, b) = both(|| connector.connect_over(NetStream::from(here)), || accept(NetStream::from(there)));
        let (mut a, mut b) = (a.unwrap().0, b.unwrap());
        a.send("Hello").unwrap();
        assert_eq!(b.recv(), Ok(Some("Hello".into())));
    });
}

#[test]
fn a_unix_socket_with_a_full_queue_is_waited_for_up_to_the_deadline() {
    patiently(|| {
        let folder = Folder::new("queue");
        let path = folder.0.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        // Fills the queue of the listener, which is as long as std makes it.
        let mut waiting = Vec::new();
        let connector = Connector::new("ws://localhost/").unwrap().connect_to(path);
        let hasty = connector.clone().connect_timeout(Some(Duration::from_millis(1)));
        for _ in 0..10_000 {
            let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            if socket.connect(&socket2::SockAddr::unix(folder.0.join("socket")).unwrap()).is_err() {
                break;
            }
            waiting.push(socket);
        }
        assert!(matches!(hasty.connect(), Err(ConnectError::Timeout)));
        let accepting = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            // All that wait, and then the one that has something to say.
            loop {
                let stream = listener.accept().unwrap().0;
                let mut acceptor = Acceptor::default();
                acceptor.set_wait(guard());
                if let Ok((ws, _)) = acceptor.accept(NetStream::from(stream)) {
                    return ws;
                }
            }
        });
        drop(waiting);
        let (mut ws, _) = connector.connect().unwrap();
        let mut there = accepting.join().unwrap();
        there.send("Hello").unwrap();
        assert_eq!(ws.recv(), Ok(Some("Hello".into())));
    });
}

#[test]
fn names_are_looked_up() {
    patiently(|| {
        let (listener, address) = listener();
        let server = thread::spawn(move || accept(NetStream::from(listener.accept().unwrap().0)).map(drop));
        drop(connect(&format!("ws://localhost:{}/", address.port())).unwrap());
        server.join().unwrap().unwrap();
        let unknown = connect("ws://a.name.that.does.not.exist.invalid/").unwrap_err();
        assert!(matches!(unknown, ConnectError::Resolve(_) | ConnectError::Timeout), "{unknown:?}");
    });
}

/// Nobody answers at an address of TEST-NET-1 (RFC 5737); where there is no network at all it fails at once.
#[test]
fn a_dial_that_is_not_answered_ends_with_the_deadline_and_the_token() {
    patiently(|| {
        let connector = Connector::new("ws://192.0.2.1:81/").unwrap();
        let short = connector.clone().connect_timeout(Some(Duration::from_millis(50)));
        let error = short.connect().unwrap_err();
        assert!(matches!(error, ConnectError::Timeout | ConnectError::Io(_)), "{error:?}");
        let mut connector = connector;
        connector.set_wait(Duration::from_millis(50));
        let error = connector.connect().unwrap_err();
        assert!(matches!(error, ConnectError::Timeout | ConnectError::Io(_)), "{error:?}");
        let token = CancelToken::new();
        connector.set_wait(Wait::from(&token));
        let dialling = thread::spawn(move || connector.connect().map(drop));
        thread::sleep(Duration::from_millis(20));
        token.cancel();
        assert!(matches!(dialling.join().unwrap(), Err(ConnectError::Io(_))));
    });
}

#[test]
fn connecting_has_one_deadline() {
    patiently(|| {
        // Nothing at all, and an answer that comes a byte at a time.
        for trickle in [false, true] {
            let (here, there) = pipe();
            let answering = thread::spawn(move || {
                let mut peer = Raw(here);
                for byte in "HTTP/1.1 101 Switching Protocols\r\n".bytes().cycle() {
                    thread::sleep(Duration::from_millis(10));
                    if trickle && peer.write_all(&[byte]).is_err() {
                        break;
                    }
                    if !trickle && peer.read(&mut [0; 1000]).is_ok_and(|n| n == 0) {
                        break;
                    }
                }
            });
            let connector = Connector::new("ws://example.com/").unwrap();
            let connector = connector.connect_timeout(Some(Duration::from_millis(100)));
            assert!(matches!(connector.connect_over(there), Err(ConnectError::Timeout)));
            answering.join().unwrap();
        }
    });
}

#[test]
fn threat_054_the_handshake_deadline_is_never_restarted() {
    patiently(|| {
        // Nothing; half a head and silence; a byte now and then for ever.
        for (at_once, then) in [("", ""), (&REQUEST[..80], ""), ("GET / HTTP/1.1\r\n", "X: y")] {
            let mut config = Config::default();
            config.timers.handshake = Some(Duration::from_millis(150));
            let (mut here, there) = common::sockets();
            let accepting = thread::spawn(move || Acceptor::new(config).accept(NetStream::from(there)).map(drop));
            here.write_all(at_once.as_bytes()).unwrap();
            let trickle = thread::spawn({
                let mut here = here.try_clone().unwrap();
                move || {
                    for byte in then.bytes().cycle() {
                        thread::sleep(Duration::from_millis(20));
                        if here.write_all(&[byte]).is_err() {
                            break;
                        }
                    }
                }
            });
            let mut got = String::new();
            let _ = here.read_to_string(&mut got);
            assert!(got.starts_with("HTTP/1.1 408 "), "{got}");
            let _ = here.shutdown(std::net::Shutdown::Both);
            trickle.join().unwrap();
            let error = accepting.join().unwrap().unwrap_err();
            assert!(matches!(error, AcceptError::Handshake(HandshakeError::Timeout)), "{error}");
        }
    });
}

#[test]
fn both_sides_see_what_was_asked_and_answered() {
    patiently(|| {
        let mut config = ServerConfig::default();
        config.subprotocols = SubprotocolPolicy::server_order(["v2", "v1"]).unwrap();
        let acceptor = Acceptor::new(config);
        let (a, b) = pipe();
        let connector = Connector::new("ws://example.com:81/chat?room=1")
            .unwrap()
            .origin("https://example.com")
            .unwrap()
            .header("X-Test", "one")
            .unwrap()
            .header("X-Test", "two")
            .unwrap()
            .subprotocols(["v1", "v2"])
            .unwrap();
        let (ours, theirs) = both(
            || connector.connect_over(a),
            || {
                acceptor.accept_with(b, |request| {
                    assert_eq!((request.path(), request.query()), ("/chat", Some("room=1")));
                    assert_eq!(request.origin(), Some("https://example.com"));
                    assert_eq!(request.header("Host"), Some("example.com:81"));
                    assert_eq!(request.headers().get_all("x-test").count(), 2);
                    Accept::new().header("Set-Cookie", "a=b").unwrap().into()
                })
            },
        );
        let (client, response) = ours.unwrap();
        let (server, request) = theirs.unwrap();
        assert_eq!((client.subprotocol(), server.subprotocol()), (Some("v2"), Some("v2")));
        assert_eq!((response.status(), response.header("set-cookie")), (101, Some("a=b")));
        assert!(request.is_websocket());
    });
}

#[test]
fn refusals_can_be_read() {
    patiently(|| {
        let (a, b) = pipe();
        let connector = Connector::new("ws://example.com/").unwrap();
        let reply = Reply::text(403, "not you\n").header("X-Why", "because").unwrap();
        let acceptor = Acceptor::default();
        let (ours, theirs) =
            both(|| connector.connect_over(a), move || acceptor.accept_with(b, |_| Decision::from(reply)));
        let Err(ConnectError::Refused(response)) = ours else { panic!("not refused") };
        assert_eq!((response.status(), response.body()), (403, &b"not you\n"[..]));
        assert_eq!(response.header("x-why"), Some("because"));
        assert!(matches!(theirs, Err(AcceptError::Replied(403))));
    });
}

#[test]
fn wrong_requests_and_wrong_decisions_are_answered() {
    patiently(|| {
        let acceptor = Acceptor::default();
        let (got, result) = answer("POST / HTTP/1.1\r\n\r\n", acceptor.clone(), Accept::new().into());
        assert!(got.starts_with("HTTP/1.1 405 "), "{got}");
        assert!(matches!(result, Err(AcceptError::Handshake(HandshakeError::Method))));

        let decision = Accept::new().subprotocol("never offered");
        let (got, result) = answer(REQUEST, acceptor.clone(), decision.into());
        assert!(got.starts_with("HTTP/1.1 500 "), "{got}");
        assert!(matches!(result, Err(AcceptError::Decision(NotAccepted::SubprotocolNotOffered))));

        let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let page = Reply::new(200).body("text/html", "<p>hi").unwrap();
        let (got, result) = answer(plain, acceptor, page.into());
        assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\n\r\n<p>hi"), "{got}");
        assert!(matches!(result, Err(AcceptError::Replied(200))));
    });
}

#[test]
fn wrong_urls_and_headers_are_refused_when_said() {
    assert!(matches!(connect("http://example.com/"), Err(ConnectError::Url(_))));
    assert!(matches!(connect("ws://example.com/#x"), Err(ConnectError::Url(_))));
    #[cfg(not(feature = "tls-core"))]
    assert!(matches!(connect("wss://example.com/"), Err(ConnectError::TlsUnsupported)));
    let connector = || Connector::new("ws://example.com/").unwrap();
    assert!(matches!(connector().header("X", "a\r\nb: c"), Err(ConnectError::Header(_))));
    assert!(matches!(connector().header("Upgrade", "x"), Err(ConnectError::Header(_))));
    assert!(matches!(connector().origin("a\nb"), Err(ConnectError::Header(_))));
    assert!(matches!(connector().subprotocols(["a", "a"]), Err(ConnectError::Subprotocol(_))));
}

#[test]
fn connect_to_goes_elsewhere_and_asks_the_same() {
    patiently(|| {
        let (listener, address) = listener();
        let server =
            thread::spawn(move || Acceptor::default().accept(NetStream::from(listener.accept().unwrap().0)).unwrap().1);
        let connector = Connector::new("ws://a.name.that.does.not.exist.invalid/x").unwrap().connect_to(address);
        connector.connect().unwrap();
        assert_eq!(server.join().unwrap().header("Host"), Some("a.name.that.does.not.exist.invalid"));
    });
}

#[test]
fn nobody_listens() {
    patiently(|| {
        let (listener, address) = listener();
        drop(listener);
        assert!(matches!(connect(&format!("ws://{address}/")), Err(ConnectError::Io(_))));
    });
}

#[test]
fn threat_064_bytes_behind_the_head_are_the_first_frames_or_nothing() {
    patiently(|| {
        let frames = [frame(0x81, b"first"), frame(0x82, &vec![5; 20_000]), frame(0x81, b"last")].concat();
        let all = [REQUEST.as_bytes(), &frames].concat();
        for cut in (0..all.len()).step_by(997).chain(REQUEST.len() - 3..REQUEST.len() + 20) {
            let (here, there) = pipe();
            let (one, two) = all.split_at(cut);
            let (ws, peer) = both(
                || accept(there),
                || {
                    let mut peer = Raw(here);
                    peer.write_all(one).unwrap();
                    thread::yield_now();
                    peer.write_all(two).unwrap();
                    peer
                },
            );
            let mut ws = ws.unwrap();
            assert_eq!(ws.recv(), Ok(Some("first".into())));
            assert_eq!(ws.recv().unwrap().unwrap().len(), 20_000);
            assert_eq!(ws.recv(), Ok(Some("last".into())));
            drop(peer);
        }
    });
}

#[test]
fn threat_073_a_refusal_reaches_a_client_that_is_still_sending() {
    patiently(|| {
        for _ in 0..30 {
            let (listener, address) = listener();
            let server = thread::spawn(move || {
                let stream = NetStream::from(listener.accept().unwrap().0);
                Acceptor::default().accept_with(stream, |_| Reply::text(403, "no").into()).map(drop)
            });
            let mut peer = TcpStream::connect(address).unwrap();
            let upload = [REQUEST.as_bytes(), &vec![b'x'; 1024 * 1024]].concat();
            peer.write_all(&upload).unwrap();
            let mut got = String::new();
            peer.read_to_string(&mut got).unwrap();
            assert!(got.starts_with("HTTP/1.1 403 ") && got.ends_with("no"), "{got}");
            drop(peer);
            assert!(matches!(server.join().unwrap(), Err(AcceptError::Replied(403))));
        }
    });
}
