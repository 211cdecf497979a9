//! `connect` and `accept`, against each other and against bytes.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{frame, patiently};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use ws_tokio::handshake::AcceptError as NotAccepted;
use ws_tokio::{
    Accept, AcceptError, Acceptor, Config, ConnectError, Connector, Decision, HandshakeError, Reply, Request,
    ServerConfig, SubprotocolPolicy, accept, connect,
};

const REQUEST: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What a peer gets that sends these bytes and reads to the end.
async fn answer(bytes: &str, acceptor: Acceptor, decision: Decision) -> (String, Result<(), AcceptError>) {
    let (mut peer, transport) = duplex(100_000);
    let accepting =
        tokio::spawn(
            async move { acceptor.accept_with(transport, |_| async { decision }).await.map(|(ws, _)| drop(ws)) },
        );
    peer.write_all(bytes.as_bytes()).await.unwrap();
    let mut got = String::new();
    peer.read_to_string(&mut got).await.unwrap();
    drop(peer);
    (got, accepting.await.unwrap())
}

#[tokio::test]
async fn a_connection_over_tcp() {
    patiently(async {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut ws = accept(stream).await.unwrap();
            assert!(ws.get_ref().unwrap().nodelay().unwrap());
            while let Some(message) = ws.recv().await {
                ws.send(message).await.unwrap();
            }
            ws.closed().cloned().unwrap()
        });
        let mut ws = connect(&format!("ws://{address}/")).await.unwrap();
        assert!(ws.get_ref().unwrap().tcp().unwrap().nodelay().unwrap());
        assert_eq!(ws.get_ref().unwrap().peer_addr().unwrap(), address.into());
        ws.send("Hello").await.unwrap();
        assert_eq!(ws.recv().await, Some("Hello".into()));
        assert!(ws.close(1000, "").await.unwrap().is_clean());
        assert!(server.await.unwrap().is_clean());
    })
    .await;
}

#[tokio::test]
async fn both_sides_see_what_was_asked_and_answered() {
    patiently(async {
        let mut config = ServerConfig::default();
        config.subprotocols = SubprotocolPolicy::server_order(["v2", "v1"]).unwrap();
        let acceptor = Acceptor::new(config);
        let (a, b) = duplex(1000);
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
        let decide = |request: &Request| {
            assert_eq!((request.path(), request.query()), ("/chat", Some("room=1")));
            assert_eq!(request.origin(), Some("https://example.com"));
            assert_eq!(request.header("Host"), Some("example.com:81"));
            assert_eq!(request.headers().get_all("x-test").count(), 2);
            async {
                // It may take its time.
                tokio::time::sleep(Duration::from_millis(1)).await;
                Decision::from(Accept::new().header("Set-Cookie", "a=b").unwrap())
            }
        };
        let (ours, theirs) = tokio::join!(connector.connect_over(a), acceptor.accept_with(b, decide));
        let (client, response) = ours.unwrap();
        let (server, request) = theirs.unwrap();
        assert_eq!((client.subprotocol(), server.subprotocol()), (Some("v2"), Some("v2")));
        assert_eq!((response.status(), response.header("set-cookie")), (101, Some("a=b")));
        assert!(request.is_websocket());
    })
    .await;
}

#[tokio::test]
async fn refusals_can_be_read() {
    patiently(async {
        let (a, b) = duplex(1000);
        let connector = Connector::new("ws://example.com/").unwrap();
        let reply = Reply::text(403, "not you\n").header("X-Why", "because").unwrap();
        let acceptor = Acceptor::default();
        let (ours, theirs) =
            tokio::join!(connector.connect_over(a), acceptor.accept_with(b, |_| async { Decision::from(reply) }));
        let Err(error @ ConnectError::Refused(_)) = ours else { panic!("not refused") };
        assert_eq!(error.to_string(), "the server refused with status 403");
        let ConnectError::Refused(response) = error else { unreachable!() };
        assert_eq!((response.status(), response.body()), (403, &b"not you\n"[..]));
        assert_eq!(response.header("x-why"), Some("because"));
        assert!(matches!(theirs, Err(AcceptError::Replied(403))));
    })
    .await;
}

#[tokio::test]
async fn plain_http_gets_a_page_or_426() {
    patiently(async {
        let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let page = Reply::new(200).body("text/html", "<p>hi").unwrap();
        let (got, result) = answer(plain, Acceptor::default(), page.into()).await;
        assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\n\r\n<p>hi"), "{got}");
        assert!(matches!(result, Err(AcceptError::Replied(200))));

        let (mut peer, transport) = duplex(1000);
        let accepting = tokio::spawn(accept(transport));
        peer.write_all(plain.as_bytes()).await.unwrap();
        let mut got = String::new();
        peer.read_to_string(&mut got).await.unwrap();
        assert!(got.starts_with("HTTP/1.1 426 ") && got.contains("\r\nUpgrade: websocket\r\n"), "{got}");
        drop(peer);
        assert!(matches!(accepting.await.unwrap(), Err(AcceptError::Replied(426))));
    })
    .await;
}

#[tokio::test]
async fn wrong_requests_and_wrong_decisions_are_answered() {
    patiently(async {
        let acceptor = Acceptor::default();
        let (got, result) = answer("POST / HTTP/1.1\r\n\r\n", acceptor.clone(), Accept::new().into()).await;
        assert!(got.starts_with("HTTP/1.1 405 "), "{got}");
        assert!(matches!(result, Err(AcceptError::Handshake(HandshakeError::Method))));

        let decision = Accept::new().subprotocol("never offered");
        let (got, result) = answer(REQUEST, acceptor, decision.into()).await;
        assert!(got.starts_with("HTTP/1.1 500 "), "{got}");
        assert!(matches!(result, Err(AcceptError::Decision(NotAccepted::SubprotocolNotOffered))));
    })
    .await;
}

#[tokio::test]
async fn wrong_urls_and_headers_are_refused_when_said() {
    assert!(matches!(connect("http://example.com/").await, Err(ConnectError::Url(_))));
    assert!(matches!(connect("ws://example.com/#x").await, Err(ConnectError::Url(_))));
    #[cfg(not(feature = "tls-core"))]
    assert!(matches!(connect("wss://example.com/").await, Err(ConnectError::TlsUnsupported)));
    let connector = || Connector::new("ws://example.com/").unwrap();
    assert!(matches!(connector().header("X", "a\r\nb: c"), Err(ConnectError::Header(_))));
    assert!(matches!(connector().header("Upgrade", "x"), Err(ConnectError::Header(_))));
    assert!(matches!(connector().origin("a\nb"), Err(ConnectError::Header(_))));
    assert!(matches!(connector().subprotocols(["a", "a"]), Err(ConnectError::Subprotocol(_))));
}

#[tokio::test]
async fn connect_to_goes_elsewhere_and_asks_the_same() {
    patiently(async {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            Acceptor::default().accept(stream).await.unwrap().1
        });
        let connector = Connector::new("ws://a.name.that.does.not.exist.invalid/x").unwrap().connect_to(address);
        connector.connect().await.unwrap();
        assert_eq!(server.await.unwrap().header("Host"), Some("a.name.that.does.not.exist.invalid"));
    })
    .await;
}

#[tokio::test]
async fn nobody_listens() {
    patiently(async {
        let (listener, address) = listener().await;
        drop(listener);
        assert!(matches!(connect(&format!("ws://{address}/")).await, Err(ConnectError::Io(_))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connecting_has_one_deadline() {
    // Nothing at all, and an answer that comes a byte a second.
    for trickle in [false, true] {
        let (mut peer, transport) = duplex(1000);
        let answering = tokio::spawn(async move {
            for byte in "HTTP/1.1 101 Switching Protocols\r\n".bytes().cycle() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if trickle && peer.write_all(&[byte]).await.is_err() {
                    break;
                }
            }
        });
        let start = tokio::time::Instant::now();
        let connector = Connector::new("ws://example.com/").unwrap();
        assert!(matches!(connector.connect_over(transport).await, Err(ConnectError::Timeout)));
        assert_eq!(start.elapsed().as_secs(), 10);
        answering.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn the_connect_timeout_can_be_set() {
    let (_peer, transport) = duplex(1000);
    let start = tokio::time::Instant::now();
    let connector = Connector::new("ws://example.com/").unwrap().connect_timeout(Some(Duration::from_secs(2)));
    assert!(matches!(connector.connect_over(transport).await, Err(ConnectError::Timeout)));
    assert_eq!(start.elapsed().as_secs(), 2);
}

/// The time from accept until the peer is let go, and what it got.
async fn slow(send: impl AsyncFnOnce(DuplexStream) -> String) -> (u64, String, AcceptError) {
    let (peer, transport) = duplex(1000);
    let start = tokio::time::Instant::now();
    let accepting = tokio::spawn(async move {
        let result = accept(transport).await;
        (start.elapsed().as_secs(), result.map(drop).unwrap_err())
    });
    let got = send(peer).await;
    let (time, error) = accepting.await.unwrap();
    (time, got, error)
}

#[tokio::test(start_paused = true)]
async fn threat_054_the_handshake_deadline_is_never_restarted() {
    // Nothing; half a head and silence; a byte a second for ever.
    let half = &REQUEST[..80];
    for (at_once, then) in [("", ""), (half, ""), ("GET / HTTP/1.1\r\n", "X: y")] {
        let (time, got, error) = slow(async |mut peer| {
            peer.write_all(at_once.as_bytes()).await.unwrap();
            let mut got = String::new();
            let (mut reader, mut writer) = tokio::io::split(peer);
            let trickle = async {
                for byte in then.bytes().cycle() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    if writer.write_all(&[byte]).await.is_err() {
                        break;
                    }
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = reader.read_to_string(&mut got) => {}
                () = trickle => {}
            }
            got
        })
        .await;
        assert_eq!(time, 10);
        assert!(got.starts_with("HTTP/1.1 408 "), "{got}");
        assert!(matches!(error, AcceptError::Handshake(HandshakeError::Timeout)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_takes_too_long_is_answered_with_503() {
    let (mut peer, transport) = duplex(1000);
    let accepting = tokio::spawn(async move {
        Acceptor::default().accept_with(transport, |_| std::future::pending()).await.map(|(ws, _)| drop(ws))
    });
    peer.write_all(REQUEST.as_bytes()).await.unwrap();
    let mut got = String::new();
    peer.read_to_string(&mut got).await.unwrap();
    assert!(got.starts_with("HTTP/1.1 503 "), "{got}");
    drop(peer);
    assert!(matches!(accepting.await.unwrap(), Err(AcceptError::Handshake(HandshakeError::Undecided))));
}

#[tokio::test]
async fn threat_064_bytes_behind_the_head_are_the_first_frames_or_nothing() {
    patiently(async {
        let frames = [frame(0x81, b"first"), frame(0x82, &vec![5; 20_000]), frame(0x81, b"last")].concat();
        let all = [REQUEST.as_bytes(), &frames].concat();
        for cut in (0..all.len()).step_by(97).chain(REQUEST.len() - 3..REQUEST.len() + 20) {
            let (mut peer, transport) = duplex(1_000_000);
            let (one, two) = all.split_at(cut);
            let send = async {
                peer.write_all(one).await.unwrap();
                tokio::task::yield_now().await;
                peer.write_all(two).await.unwrap();
            };
            let (ws, ()) = tokio::join!(accept(transport), send);
            let mut ws = ws.unwrap();
            assert_eq!(ws.recv().await, Some("first".into()));
            assert_eq!(ws.recv().await.unwrap().len(), 20_000);
            assert_eq!(ws.recv().await, Some("last".into()));
        }
        // Refused: they are never looked at, not even if they look like a request.
        let twice = [REQUEST, REQUEST].concat();
        let (got, result) = answer(&twice, Acceptor::default(), Reply::new(403).into()).await;
        assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{got}");
        assert!(matches!(result, Err(AcceptError::Replied(403))));
    })
    .await;
}

#[tokio::test]
async fn threat_073_a_refusal_reaches_a_client_that_is_still_sending() {
    patiently(async {
        for _ in 0..50 {
            let (listener, address) = listener().await;
            let server = tokio::spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let reply = Reply::text(403, "no");
                Acceptor::default().accept_with(stream, |_| async { reply.into() }).await.map(drop_ws)
            });
            let mut peer = TcpStream::connect(address).await.unwrap();
            let upload = [REQUEST.as_bytes(), &vec![b'x'; 1024 * 1024]].concat();
            peer.write_all(&upload).await.unwrap();
            let mut got = String::new();
            peer.read_to_string(&mut got).await.unwrap();
            assert!(got.starts_with("HTTP/1.1 403 ") && got.ends_with("no"), "{got}");
            drop(peer);
            assert!(matches!(server.await.unwrap(), Err(AcceptError::Replied(403))));
        }
    })
    .await;
}

fn drop_ws<T>(_: T) {}

#[tokio::test]
async fn limits_of_the_head_are_those_of_the_config() {
    patiently(async {
        let mut config = Config::default();
        config.limits.head = 200;
        let long = REQUEST.replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "y".repeat(200)));
        let (got, result) = answer(&long, Acceptor::new(config), Accept::new().into()).await;
        assert!(got.starts_with("HTTP/1.1 431 "), "{got}");
        assert!(matches!(result, Err(AcceptError::Handshake(HandshakeError::Head(_)))));
    })
    .await;
}
