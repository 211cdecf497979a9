//! The opening handshake of every version over the tokio adapter.

mod versions;

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpListener;
use versions::*;
use ws_proto::{Accept, HandshakeError, Message, ServerConfig, Version, Versions};
use ws_tokio::{AcceptError, Acceptor, ConnectError, Connector};

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), future).await.expect("it hangs") });
}

#[test]
fn every_version_over_a_pipe() {
    block_on(async {
        for version in Version::ALL.iter().copied() {
            // So small that head and eight bytes come in many reads.
            let (near, far) = duplex(5);
            let server = async {
                let (mut ws, request) = Acceptor::new(all_versions()).accept(far).await.unwrap();
                assert_eq!(request.websocket().unwrap().version(), version);
                assert_eq!(ws.negotiated().version, version);
                let message = ws.recv().await.unwrap();
                ws.send(message).await.unwrap();
                ws.recv().await
            };
            let client = async {
                let connector = Connector::new("ws://example.com/chat?x=1").unwrap().version(version);
                let (mut ws, response) = connector.connect_over(near).await.unwrap();
                assert_eq!((response.status(), ws.negotiated().version), (101, version));
                ws.send("Hello").await.unwrap();
                assert_eq!(ws.recv().await, Some(Message::text("Hello")));
            };
            let ((), last) = tokio::join!(client, server);
            assert_eq!(last, None, "{version}");
        }
    });
}

/// The eight bytes come only when the head of the answer is there, as behind some proxies.
#[test]
fn a_proxy_that_waits_for_the_answer() {
    block_on(async {
        let both = meet(&request(Version::Hixie76), &all_versions(), &Accept::new());
        let (head, body) = both.request.split_at(both.request.len() - 8);
        let (mut near, far) = duplex(4096);
        let server = async {
            let (mut ws, _) = Acceptor::new(all_versions()).accept(far).await.unwrap();
            ws.recv().await
        };
        let client = async {
            near.write_all(head).await.unwrap();
            let mut answer = vec![0; both.answer.len() - 16];
            near.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, both.answer[..both.answer.len() - 16]);
            near.write_all(&[body, b"\0first\xff"].concat()).await.unwrap();
            let mut reply = [0; 16];
            near.read_exact(&mut reply).await.unwrap();
            assert_eq!(reply, both.answer[both.answer.len() - 16..]);
        };
        let (message, ()) = tokio::join!(server, client);
        assert_eq!(message, Some(Message::text("first")));
    });
}

#[test]
fn threat_065_a_body_that_never_comes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let both = meet(&request(Version::Hixie76), &all_versions(), &Accept::new());
        let (mut near, far) = duplex(4096);
        near.write_all(&both.request[..both.request.len() - 1]).await.unwrap();
        let start = tokio::time::Instant::now();
        let error = Acceptor::new(all_versions()).accept(far).await.err();
        assert!(matches!(error, Some(AcceptError::Handshake(HandshakeError::Timeout))), "{error:?}");
        assert_eq!(start.elapsed().as_secs(), 10);
        // Nothing but the head that was written before.
        let mut all = Vec::new();
        near.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, both.answer[..both.answer.len() - 16]);
    });
}

/// A server on a port of its own, for so many connections; what came of each.
async fn serve(config: ServerConfig, connections: usize, client: impl AsyncFnOnce(String)) -> Vec<Option<Version>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let acceptor = Acceptor::new(config);
    let server = async {
        let mut seen = Vec::new();
        for _ in 0..connections {
            let (stream, _) = listener.accept().await.unwrap();
            let accepted = acceptor.accept(stream).await;
            seen.push(accepted.ok().map(|(ws, _)| ws.negotiated().version));
        }
        seen
    };
    tokio::join!(server, client(url)).0
}

#[test]
fn the_best_common_version_if_asked_for() {
    block_on(async {
        let old = || serving(Versions::NONE.with(Version::Hybi05).with(Version::Hybi07));
        let both = Versions::NONE.with(Version::Hybi05).with(Version::Hybi07);
        let seen = serve(old(), 2, async |url| {
            let connector = Connector::new(&url).unwrap().versions(Versions::ALL);
            let (ws, _) = connector.connect().await.unwrap();
            assert_eq!(ws.negotiated().version, Version::Hybi07);
        });
        assert_eq!(seen.await, [None, Some(Version::Hybi07)]);
        let seen = serve(old(), 2, async |url| {
            let connector = Connector::new(&url).unwrap().version(Version::Hybi08);
            let connector = connector.versions(Versions::ALL.without(Version::Hybi07));
            assert_eq!(connector.connect().await.unwrap().0.negotiated().version, Version::Hybi05);
        });
        assert_eq!(seen.await, [None, Some(Version::Hybi05)]);
        // Not by itself, and not with what is not wanted.
        for versions in [Versions::NONE, Versions::MODERN] {
            let seen = serve(old(), 1, async |url| {
                let error = Connector::new(&url).unwrap().versions(versions).connect().await.err();
                let Some(ConnectError::VersionRefused { offered, response }) = error else { panic!("{error:?}") };
                assert_eq!((offered, response.status()), (both, 426));
            });
            assert_eq!(seen.await, [None]);
        }
    });
}

/// A server that says yes to a version and no when it is asked for it is not asked for ever.
#[test]
fn each_version_is_tried_once() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = async {
            for list in ["8, 7", "7, 6", "8, 6", "13, 8, 7"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut scratch = [0; 4096];
                assert!(stream.read(&mut scratch).await.unwrap() > 0);
                let answer = format!("HTTP/1.1 426 No\r\nSec-WebSocket-Version: {list}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let client = async {
            let error = Connector::new(&url).unwrap().versions(Versions::ALL).connect().await.err();
            assert!(matches!(error, Some(ConnectError::VersionRefused { .. })), "{error:?}");
        };
        // 13, 8, 7, 6: then all that it names were tried.
        tokio::join!(server, client);
    });
}
