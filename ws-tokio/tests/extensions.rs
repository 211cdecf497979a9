//! Compression through the adapter: settings of both ends, decisions for a request, and answers that are wrong.
#![cfg(feature = "deflate")]

mod common;

use common::patiently;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use ws_tokio::deflate::{Deflate, DeflateFrame};
use ws_tokio::extension::{Extensions, ParameterError};
use ws_tokio::{Accept, Acceptor, ConnectError, Connector, Decision, HandshakeError, Server, ServerConfig, WebSocket};

fn compressing() -> ServerConfig {
    let mut config = ServerConfig::default();
    config.extensions.add(Deflate::default());
    config.extensions.add(DeflateFrame::default());
    config
}

fn connector() -> Connector {
    Connector::new("ws://example.com/").unwrap().extensions(Extensions::none().with(Deflate::default()))
}

fn agreed<T>(ws: &WebSocket<T>) -> Option<String> {
    ws.negotiated().extension.as_ref().map(|agreement| agreement.extension().to_string())
}

/// What both ends of a pipe agree to, after a message there and back.
async fn over_a_pipe(connector: Connector, acceptor: Acceptor, decision: Decision) -> Option<String> {
    let (a, b) = duplex(1000);
    let text = "a message that is long enough to be compressed ".repeat(100);
    let server = tokio::spawn(async move {
        let (mut ws, _) = acceptor.accept_with(b, |_| async { decision }).await.unwrap();
        while let Some(message) = ws.recv().await {
            ws.send(message).await.unwrap();
        }
        agreed(&ws)
    });
    let (mut ws, response) = connector.connect_over(a).await.unwrap();
    ws.send(text.as_str()).await.unwrap();
    assert_eq!(ws.recv().await, Some(text.as_str().into()));
    let client = agreed(&ws);
    assert_eq!(response.header("sec-websocket-extensions"), client.as_deref());
    assert!(ws.close(1000, "").await.unwrap().is_clean());
    assert_eq!(server.await.unwrap(), client);
    client
}

#[tokio::test]
async fn both_ends_have_the_same_extension() {
    patiently(async {
        let with = Acceptor::new(compressing());
        let bare = Some("permessage-deflate".to_owned());
        let accept = || Accept::new().into();
        assert_eq!(over_a_pipe(connector(), with.clone(), accept()).await, bare);
        assert_eq!(over_a_pipe(connector(), Acceptor::default(), accept()).await, None);
        let plain = Connector::new("ws://example.com/").unwrap();
        assert_eq!(over_a_pipe(plain, with.clone(), accept()).await, None);
        // For one request.
        assert_eq!(over_a_pipe(connector(), with, Accept::new().no_extensions().into()).await, None);
        let mut small = Deflate::default();
        small.send_window_bits = 9;
        let accept = Accept::new().extensions(Extensions::none().with(small));
        let answer = over_a_pipe(connector(), Acceptor::default(), accept.into()).await;
        assert_eq!(answer.as_deref(), Some("permessage-deflate; server_max_window_bits=9"));
    })
    .await;
}

#[tokio::test]
async fn a_server_compresses_over_tcp() {
    patiently(async {
        let server = Server::bind("127.0.0.1:0").await.unwrap().acceptor(Acceptor::new(compressing()));
        let address = server.local_addr().unwrap().tcp().unwrap();
        tokio::spawn(server.serve(|mut ws, _| async move {
            while let Some(message) = ws.recv().await {
                let _ = ws.send(message).await;
            }
        }));
        let (mut ws, _) = connector().connect_to(address).connect().await.unwrap();
        assert_eq!(agreed(&ws).as_deref(), Some("permessage-deflate"));
        for text in ["Hello", &"Hello ".repeat(1000)] {
            ws.send(text).await.unwrap();
            assert_eq!(ws.recv().await, Some(text.into()));
        }
        assert!(ws.close(1000, "").await.unwrap().is_clean());
    })
    .await;
}

#[tokio::test]
async fn threat_042_a_wrong_answer_fails_the_connection() {
    patiently(async {
        for (answer, error) in [
            ("x-webkit-deflate-frame", HandshakeError::ExtensionNotOffered),
            ("permessage-deflate; x", HandshakeError::ExtensionParameter(ParameterError::Unknown)),
            ("permessage-deflate, permessage-deflate", HandshakeError::ExtensionSeveral),
            ("permessage-deflate;", HandshakeError::ExtensionSyntax),
        ] {
            let (a, mut b) = duplex(10_000);
            let client = tokio::spawn(async move { connector().connect_over(a).await.map(|_| ()) });
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(b.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap();
            let key = request.split("\r\n").find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            let response = format!(
                "HTTP/1.1 101 a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\
                 Sec-WebSocket-Extensions: {answer}\r\n\r\n",
                ws_tokio::handshake::accept_value(key)
            );
            b.write_all(response.as_bytes()).await.unwrap();
            let result = client.await.unwrap();
            assert!(matches!(&result, Err(ConnectError::Handshake(e)) if *e == error), "{answer}: {result:?}");
        }
    })
    .await;
}
