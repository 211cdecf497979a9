//! The listener loop: many connections, shutdown, caps, panics.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{frame, patiently};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use ws_tokio::{
    Accept, Cause, CloseCode, ConnectError, Decision, Reply, Report, Request, Server, ServerHandle, WebSocket, connect,
};

async fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.recv().await {
        let _ = ws.send(message).await;
    }
}

struct Running {
    handle: ServerHandle,
    address: SocketAddr,
    report: JoinHandle<Report>,
}

impl Running {
    fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    async fn stop(self) -> Report {
        self.handle.shutdown(Duration::from_secs(30));
        self.report.await.unwrap()
    }
}

async fn server() -> Server {
    Server::bind("127.0.0.1:0").await.unwrap()
}

fn start(server: Server) -> Running {
    let (handle, address) = (server.handle(), server.local_addr().unwrap().tcp().unwrap());
    Running { handle, address, report: tokio::spawn(server.serve(|ws, _| echo(ws))) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_and_a_graceful_end() {
    patiently(async {
        let running = start(server().await);
        let clients: Vec<_> = (0..50)
            .map(|n| {
                let url = running.url();
                tokio::spawn(async move {
                    let mut ws = connect(&url).await.unwrap();
                    for round in 0..10 {
                        ws.send(format!("{n} {round}")).await.unwrap();
                        assert_eq!(ws.recv().await.unwrap().as_text(), Some(&*format!("{n} {round}")));
                    }
                    ws
                })
            })
            .collect();
        let mut open = Vec::new();
        for client in clients {
            open.push(client.await.unwrap());
        }
        assert_eq!(running.handle.connections(), 50);
        for mut ws in open.drain(..20) {
            assert!(ws.close(1000, "").await.unwrap().is_clean());
        }
        let ending: Vec<_> = open
            .into_iter()
            .map(|mut ws| {
                tokio::spawn(async move {
                    assert_eq!(ws.recv().await, None);
                    ws.closed().cloned().unwrap()
                })
            })
            .collect();
        let url = running.url();
        let report = running.stop().await;
        for closed in ending {
            let closed = closed.await.unwrap();
            assert_eq!(closed.code(), CloseCode::GOING_AWAY);
            assert!(closed.is_clean());
        }
        assert_eq!((report.served, report.aborted, report.panicked, report.rejected), (50, 0, 0, 0));
        assert!((30..=50).contains(&report.graceful), "{report:?}");
        assert!(matches!(connect(&url).await, Err(ConnectError::Io(_))));
    })
    .await;
}

#[tokio::test]
async fn requests_are_decided_and_pages_served() {
    patiently(async {
        let server = server().await.decide(|request: &Request, peer| {
            let decision = match (request.path(), request.is_websocket()) {
                ("/ws", true) => Decision::from(Accept::new()),
                ("/", false) => Reply::text(200, &format!("hello {}", peer.tcp().unwrap().ip())).into(),
                _ => Reply::new(404).into(),
            };
            async { decision }
        });
        let (handle, address) = (server.handle(), server.local_addr().unwrap().tcp().unwrap());
        let report = tokio::spawn(server.serve(move |mut ws, incoming| async move {
            assert_eq!(incoming.request.query(), Some("a=b"));
            ws.send(incoming.peer.to_string()).await.unwrap();
            while ws.recv().await.is_some() {}
        }));
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut page = String::new();
        tcp.read_to_string(&mut page).await.unwrap();
        assert!(page.ends_with("hello 127.0.0.1"), "{page}");
        let Err(ConnectError::Refused(response)) = connect(&format!("ws://{address}/x")).await else { panic!() };
        assert_eq!(response.status(), 404);
        let mut ws = connect(&format!("ws://{address}/ws?a=b")).await.unwrap();
        let local = ws.get_ref().unwrap().local_addr().unwrap().to_string();
        assert_eq!(ws.recv().await.unwrap().as_text(), Some(&*local));
        assert!(ws.close(1000, "").await.unwrap().is_clean());
        handle.shutdown(Duration::from_secs(30));
        let report = report.await.unwrap();
        assert_eq!((report.served, report.aborted), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn threat_035_over_the_cap_there_is_503_and_freed_places_are_used_again() {
    patiently(async {
        let running = start(server().await.max_connections(10));
        for round in 0..3 {
            let mut served = Vec::new();
            for _ in 0..10 {
                served.push(connect(&running.url()).await.unwrap());
            }
            for _ in 0..20 {
                let Err(ConnectError::Refused(response)) = connect(&running.url()).await else { panic!("served") };
                assert_eq!(response.status(), 503);
            }
            for mut ws in served {
                ws.send("still served").await.unwrap();
                assert!(ws.recv().await.is_some());
                ws.close(1000, "").await.unwrap();
            }
            while running.handle.connections() > 0 {
                tokio::task::yield_now().await;
            }
            let _ = round;
        }
        let report = running.stop().await;
        assert_eq!((report.served, report.rejected), (30, 60));
    })
    .await;
}

#[tokio::test]
async fn silent_clients_take_no_more_than_their_share() {
    patiently(async {
        let running = start(server().await.max_pending_handshakes(5));
        let mut silent = Vec::new();
        for _ in 0..5 {
            silent.push(TcpStream::connect(running.address).await.unwrap());
        }
        while running.handle.connections() < 5 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(connect(&running.url()).await, Err(ConnectError::Refused(_))));
        drop(silent.pop());
        while running.handle.connections() == 5 {
            tokio::task::yield_now().await;
        }
        drop(connect(&running.url()).await.unwrap());
        // A shutdown does not wait for those who never said anything.
        let report = running.stop().await;
        assert_eq!((report.served, report.aborted), (1, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_115_a_panic_ends_its_own_connection_with_1011() {
    std::panic::set_hook(Box::new(|_| {}));
    patiently(async {
        let server = server().await;
        let (handle, address) = (server.handle(), server.local_addr().unwrap().tcp().unwrap());
        let report = tokio::spawn(server.serve(|mut ws, _| async move {
            while let Some(message) = ws.recv().await {
                assert_ne!(message.as_text(), Some("panic"), "asked to");
                if message.as_text() == Some("split") {
                    let (mut receiver, sender) = ws.split();
                    sender.send("halves").await.unwrap();
                    receiver.recv().await;
                    panic!("in halves");
                }
                if message.as_text() == Some("elsewhere") {
                    // The sender is in a task that lives on.
                    let (mut receiver, sender) = ws.split();
                    sender.send("halves").await.unwrap();
                    tokio::spawn(async move {
                        let _sender = sender;
                        std::future::pending::<()>().await;
                    });
                    receiver.recv().await;
                    panic!("in the receiver");
                }
                ws.send(message).await.unwrap();
            }
        }));
        let url = format!("ws://{address}/");
        let mut good = connect(&url).await.unwrap();
        for how in ["panic", "split", "elsewhere"] {
            let mut bad = connect(&url).await.unwrap();
            bad.send(how).await.unwrap();
            if how != "panic" {
                assert_eq!(bad.recv().await, Some("halves".into()));
                bad.send("go").await.unwrap();
            }
            assert_eq!(bad.recv().await, None);
            assert_eq!(bad.closed().unwrap().code(), CloseCode::INTERNAL_ERROR, "{how}");
            good.send("alive").await.unwrap();
            assert_eq!(good.recv().await, Some("alive".into()));
        }
        drop(connect(&url).await.unwrap());
        good.close(1000, "").await.unwrap();
        handle.shutdown(Duration::from_secs(30));
        let report = report.await.unwrap();
        assert_eq!((report.panicked, report.aborted), (3, 0), "{report:?}");
    })
    .await;
    let _ = std::panic::take_hook();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_119_the_same_port_again_and_again() {
    patiently(async {
        let mut address = "127.0.0.1:0".parse().unwrap();
        for _ in 0..20 {
            let running = start(Server::bind(address).await.unwrap());
            address = running.address;
            assert!(Server::bind(address).await.is_err(), "a second listener");
            let mut clients = Vec::new();
            for _ in 0..5 {
                let mut ws = connect(&running.url()).await.unwrap();
                ws.send("x").await.unwrap();
                clients.push(ws);
            }
            let ending = tokio::spawn(async move {
                for mut ws in clients {
                    while ws.recv().await.is_some() {}
                }
            });
            let report = running.stop().await;
            assert_eq!((report.served, report.aborted), (5, 0));
            ending.await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_120_a_shutdown_closes_the_willing_and_cuts_off_the_deaf() {
    patiently(async {
        let running = start(server().await);
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let mut idle = Vec::new();
        for _ in 0..20 {
            let mut ws = connect(&running.url()).await.unwrap();
            idle.push(tokio::spawn(async move {
                while ws.recv().await.is_some() {}
                ws.closed().unwrap().code()
            }));
        }
        // Half a message, and never an answer to the Close.
        let mut deaf = Vec::new();
        for _ in 0..5 {
            let mut tcp = TcpStream::connect(running.address).await.unwrap();
            tcp.write_all(request).await.unwrap();
            tcp.write_all(&frame(0x81, b"never finished")[..10]).await.unwrap();
            deaf.push(tcp);
        }
        let early = TcpStream::connect(running.address).await.unwrap();
        while running.handle.connections() < 26 {
            tokio::task::yield_now().await;
        }
        for tcp in &mut deaf {
            // The answer, so that they are open for certain.
            let mut head = [0; 100];
            tcp.read_exact(&mut head).await.unwrap();
        }
        running.handle.shutdown(Duration::from_millis(200));
        let report = running.report.await.unwrap();
        assert_eq!((report.served, report.graceful, report.aborted, report.refused), (25, 20, 5, 1));
        for closed in idle {
            assert_eq!(closed.await.unwrap(), CloseCode::GOING_AWAY);
        }
        for mut tcp in deaf {
            let mut rest = Vec::new();
            let _ = tcp.read_to_end(&mut rest).await;
            let at = rest.windows(4).position(|w| w[0] == 0x88 && w[2..] == [0x03, 0xe9]);
            assert!(at.is_some(), "no 1001 in {rest:?}");
        }
        drop(early);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_120_a_peer_that_sends_without_pause_gets_1001() {
    patiently(async {
        let running = start(server().await);
        let mut tcp = TcpStream::connect(running.address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        tcp.write_all(request).await.unwrap();
        // The answer, so that it is open for certain.
        let mut head = [0; 100];
        tcp.read_exact(&mut head).await.unwrap();
        let (mut from, mut to) = tcp.into_split();
        let stop = Arc::new(AtomicUsize::new(0));
        let flood = tokio::spawn({
            let stop = stop.clone();
            async move {
                // Pongs: nothing is owed for them.
                let pongs = frame(0x8a, b"").repeat(10_000);
                while stop.load(Ordering::Acquire) == 0 {
                    to.write_all(&pongs).await.unwrap();
                }
                to.write_all(&frame(0x88, &1001_u16.to_be_bytes())).await.unwrap();
                to
            }
        });
        running.handle.shutdown(Duration::from_secs(50));
        let mut got = Vec::new();
        while !got.windows(4).any(|w| w[0] == 0x88 && w[2..] == [0x03, 0xe9]) {
            assert_ne!(from.read_buf(&mut got).await.unwrap(), 0, "no 1001 in {got:?}");
        }
        stop.store(1, Ordering::Release);
        let report = running.report.await.unwrap();
        assert_eq!((report.served, report.graceful, report.aborted), (1, 1, 0));
        drop(flood.await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn dropping_the_server_drops_its_connections() {
    patiently(async {
        let running = start(server().await);
        let mut ws = connect(&running.url()).await.unwrap();
        ws.send("x").await.unwrap();
        assert!(ws.recv().await.is_some());
        running.report.abort();
        assert_eq!(ws.recv().await, None);
        assert!(matches!(ws.closed().unwrap().cause, Cause::Eof | Cause::Transport));
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_is_noticed_by_halves_too() {
    patiently(async {
        let server = server().await;
        let (handle, address) = (server.handle(), server.local_addr().unwrap().tcp().unwrap());
        let noticed = Arc::new(AtomicUsize::new(0));
        let count = noticed.clone();
        let report = tokio::spawn(server.serve(move |ws, _| {
            let count = count.clone();
            async move {
                let (mut receiver, _sender) = ws.split();
                while receiver.recv().await.is_some() {}
                count.fetch_add(1, Ordering::SeqCst);
            }
        }));
        let mut ws = connect(&format!("ws://{address}/")).await.unwrap();
        ws.send("x").await.unwrap();
        handle.shutdown(Duration::from_secs(30));
        assert_eq!(ws.recv().await, None);
        assert_eq!(ws.closed().unwrap().code(), CloseCode::GOING_AWAY);
        assert_eq!(report.await.unwrap().graceful, 1);
        assert_eq!(noticed.load(Ordering::SeqCst), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_132_hostile_handshakes_do_not_end_the_loop() {
    patiently(async {
        let running = start(server().await);
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
            let mut tcp = TcpStream::connect(running.address).await.unwrap();
            let _ = tcp.write_all(bytes).await;
        }
        let mut ws = connect(&running.url()).await.unwrap();
        ws.send("good").await.unwrap();
        assert_eq!(ws.recv().await, Some("good".into()));
        ws.close(1000, "").await.unwrap();
        let report = running.stop().await;
        assert_eq!((report.served, report.aborted, report.panicked), (1, 0, 0));
        assert_eq!(report.refused, 300);
    })
    .await;
}

/// A server that shuts down says so on a busy connection, too.
#[tokio::test]
async fn a_busy_connection_hears_of_the_shutdown() {
    patiently(async {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap().tcp().unwrap();
        let handle = server.handle();
        let serving = tokio::spawn(server.serve(|mut ws, _| async move {
            while ws.recv().await.is_some() {
                // Input comes faster than it is dealt with.
                std::thread::sleep(Duration::from_micros(100));
                tokio::task::yield_now().await;
            }
        }));
        let ws = connect(&format!("ws://{address}/")).await.unwrap();
        let (mut receiver, sender) = ws.split();
        let flood = tokio::spawn(async move { while sender.send("more").await.is_ok() {} });
        tokio::time::sleep(Duration::from_millis(100)).await;
        handle.shutdown(Duration::from_secs(30));
        while receiver.recv().await.is_some() {}
        let closed = receiver.closed().unwrap();
        assert_eq!(closed.received.as_ref().map(|close| close.code()), Some(CloseCode::GOING_AWAY), "{closed:?}");
        flood.await.unwrap();
        assert_eq!(serving.await.unwrap().graceful, 1);
    })
    .await;
}

#[tokio::test]
async fn a_listener_from_elsewhere() {
    patiently(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let running = start(Server::new(listener));
        drop(connect(&running.url()).await.unwrap());
        assert_eq!(running.stop().await.served, 1);
    })
    .await;
}
