//! What holds for a WebSocket behind any HTTP server: the servers are the examples.
#![allow(dead_code)]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use ws_tokio::deflate::Deflate;
use ws_tokio::extension::Extensions;
use ws_tokio::{Cause, CloseCode, ConnectError, Connector, Message, Version};

/// Ends a wait for something that never comes; nothing is measured by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the servers are started with.
pub(crate) const OPTIONS: [&str; 7] = [
    "server",
    "--listen=unused",
    "--versions=all",
    "--deflate",
    "--deflate-min=0",
    "--max-message=100000",
    "--max-fragments=100",
];

pub(crate) const HEAD: &str = "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// A Close of a client without a code.
const CLOSE: [u8; 6] = [0x88, 0x80, 0, 0, 0, 0];

/// A server under test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    task: JoinHandle<io::Result<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    pub(crate) async fn start<F>(serve: impl FnOnce(TcpListener) -> F) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { address: listener.local_addr().unwrap(), task: tokio::spawn(serve(listener)) }
    }

    pub(crate) fn connector(&self, path: &str) -> Connector {
        Connector::new(&format!("ws://{}{path}", self.address)).unwrap()
    }

    /// What comes back for these bytes, until the server closes.
    pub(crate) async fn ask(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer and its end").unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A text frame of a client; the mask is zero.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// Each version is agreed on, with a subprotocol and with compression where the version has it; messages come back.
pub(crate) async fn versions(server: &Running) {
    for version in [Version::Hybi04, Version::Hybi07, Version::Hybi08, Version::Rfc6455] {
        let connector = server
            .connector("/echo?a=b")
            .version(version)
            .subprotocols(["other", "echo"])
            .unwrap()
            .extensions(Extensions::none().with(Deflate::default()));
        let (mut ws, _) = timeout(PATIENCE, connector.connect()).await.unwrap().unwrap();
        let negotiated = ws.negotiated();
        assert_eq!((negotiated.version, negotiated.subprotocol.as_deref()), (version, Some("echo")));
        assert_eq!(negotiated.extension.is_some(), version.has_extensions());
        for message in
            [Message::from("Hello"), Message::from(""), Message::from(vec![7; 90_000]), Message::from("a".repeat(5000))]
        {
            ws.send(message.clone()).await.unwrap();
            assert_eq!(timeout(PATIENCE, ws.recv()).await.unwrap(), Some(message));
        }
        let closed = timeout(PATIENCE, ws.close(1000, "bye")).await.unwrap().unwrap();
        let code = if version.has_close_code() { CloseCode::NORMAL } else { CloseCode::NO_STATUS };
        assert_eq!((closed.code(), closed.cause), (code, Cause::Handshake), "{version}");
    }
}

/// A message over the limit is answered with 1009 (RFC 6455 section 7.4.1), and what came before it is delivered.
pub(crate) async fn limit(server: &Running) {
    let (mut ws, _) = server.connector("/echo").connect().await.unwrap();
    ws.feed("before").await.unwrap();
    // The server may have closed before all of it is written.
    let _ = ws.send(vec![0; 100_001]).await;
    assert_eq!(timeout(PATIENCE, ws.recv()).await.unwrap(), Some(Message::from("before")));
    assert_eq!(timeout(PATIENCE, ws.recv()).await.unwrap(), None);
    let closed = ws.closed().unwrap();
    assert_eq!(closed.received.as_ref().map(|frame| frame.code()), Some(CloseCode::TOO_BIG));
}

/// What comes with the request belongs to the connection, however it is cut.
pub(crate) async fn early(server: &Running) {
    let texts: Vec<String> = (0..50).map(|i| format!("{i} {}", "x".repeat(i * 40))).collect();
    let mut bytes = format!("{HEAD}\r\n").into_bytes();
    let head = bytes.len();
    texts.iter().for_each(|text| bytes.extend(frame(text)));
    bytes.extend(CLOSE);
    for cut in [bytes.len(), head, head - 1, head + 1, head + 20_000] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (first, second) = bytes.split_at(cut);
        stream.write_all(first).await.unwrap();
        tokio::task::yield_now().await;
        stream.write_all(second).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
        let mut wanted = Vec::new();
        for text in &texts {
            // As a server sends it: without a mask.
            let mut frame = frame(text);
            frame[1] &= 0x7f;
            let behind = if frame[1] == 126 { 4 } else { 2 };
            frame.drain(behind..behind + 4);
            wanted.extend(frame);
        }
        wanted.extend([0x88, 0]);
        assert!(answer[end..] == wanted, "cut at {cut}: {} of {} bytes", answer.len() - end, wanted.len());
    }
}

/// The 101 says what it must, and nothing twice.
pub(crate) async fn headers(server: &Running) {
    let mut bytes = format!("{HEAD}Sec-WebSocket-Protocol: echo\r\n\r\n").into_bytes();
    bytes.extend(CLOSE);
    let answer = server.ask(&bytes).await;
    let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
    let mut lines: Vec<_> = head.split("\r\n").skip(1).filter(|line| !line.starts_with("date: ")).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "connection: upgrade",
            "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
            "sec-websocket-protocol: echo",
            "upgrade: websocket"
        ]
    );
}

/// Every fault has its status, and the handler never runs.
pub(crate) async fn refusals(server: &Running) {
    let without = |name: &str| {
        let lines: Vec<_> = HEAD.split_terminator("\r\n").filter(|line| !line.starts_with(name)).collect();
        lines.join("\r\n") + "\r\n"
    };
    let with = |line: &str| format!("{HEAD}{line}\r\n");
    let close = "Connection: close\r\n";
    for (status, head) in [
        (200, format!("GET / HTTP/1.1\r\nHost: a\r\n{close}")),
        (404, HEAD.replace("/echo", "/nothing") + close),
        (426, format!("GET /echo HTTP/1.1\r\nHost: a\r\n{close}")),
        (405, HEAD.replace("GET", "POST")),
        (505, HEAD.replace("HTTP/1.1", "HTTP/1.0")),
        (400, without("Host")),
        (400, without("Upgrade")),
        (400, without("Connection")),
        (400, without("Sec-WebSocket-Key")),
        (400, with("Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==")),
        (400, HEAD.replace("dGhl", "dG\u{e4}l")),
        (400, with("Origin: http://\u{e4}")),
        (400, with("Content-Length: 5")),
        (400, with("Sec-WebSocket-Protocol: a,,b")),
        (400, with("Sec-WebSocket-Extensions: ;")),
        (431, with(&format!("X: {}", "a".repeat(17_000)))),
        (426, HEAD.replace("Version: 13", "Version: 14")),
        // hixie-75 and -76, which need the bytes.
        (426, "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nOrigin: a\r\n".into()),
        (
            426,
            "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nOrigin: a\r\n\
                Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n"
                .into(),
        ),
        (403, with("Origin: https://evil.example")),
        (403, with("Origin: null")),
    ] {
        let answer = server.ask(format!("{head}\r\n").as_bytes()).await;
        // To a client of HTTP/1.0 the server may answer in kind.
        assert!(answer.get(8..).is_some_and(|rest| rest.starts_with(&format!(" {status} "))), "{head} {answer}");
        if status == 426 && head.contains("pgrade: ") {
            assert!(
                answer.to_ascii_lowercase().contains("\r\nsec-websocket-version: 13, 8, 7, 6, 5, 4\r\n"),
                "{answer}"
            );
        }
    }
    let refused = server.connector("/echo").origin("https://evil.example").unwrap().connect().await;
    assert!(matches!(refused, Err(ConnectError::Refused(response)) if response.status() == 403));
    let refused = server.connector("/nothing").connect().await;
    assert!(matches!(refused, Err(ConnectError::Refused(response)) if response.status() == 404));
}
