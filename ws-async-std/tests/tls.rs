//! TLS, as a client and as a server.
#![cfg(all(feature = "tls", any(feature = "async-std", feature = "smol")))]

mod common;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use common::certificates::{Ca, Identity};
use common::{REQUEST, Running, both, frame, says, server, sleep, some_polls, start, start_with, tcp_sockets};
use futures_rustls::TlsConnector;
use smol::future::zip;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;
use ws_async_std::tls::rustls::{self, ProtocolVersion};
use ws_async_std::tls::{self, ClientAuth, ClientTls, ServerTls};
use ws_async_std::{Acceptor, Cause, Config, ConnectError, Connector, Message, Role, Server, WebSocket};

/// The URL of a server by the name that is in its certificate.
fn url(running: &Running) -> String {
    format!("wss://localhost:{}/", running.address.port())
}

/// To a server that runs, with these settings.
fn to(running: &Running, tls: ClientTls) -> Connector {
    Connector::new(&url(running)).unwrap().connect_to(running.address).tls(tls)
}

async fn open(running: &Running, tls: &ClientTls) -> WebSocket {
    to(running, tls.clone()).connect().await.unwrap().0
}

async fn secure(tls: ServerTls) -> Server {
    server().await.tls(tls)
}

fn localhost() -> (Ca, Identity) {
    let ca = Ca::new("the tests");
    let identity = ca.server(&["localhost"]);
    (ca, identity)
}

/// What TLS has against the peer.
fn reason(result: Result<(), ConnectError>) -> rustls::Error {
    let Err(ConnectError::Tls(error)) = result else { panic!("{result:?}") };
    tls::cause(&error).unwrap_or_else(|| panic!("{error}")).clone()
}

async fn attempt(running: &Running, tls: ClientTls) -> Result<(), ConnectError> {
    to(running, tls).connect().await.map(drop)
}

#[test]
fn both_ends_know_what_was_agreed_on() {
    both(async |rt| {
        let (ca, identity) = localhost();
        let running = start_with(rt, secure(identity.serving().build().unwrap()).await, |mut ws| async move {
            let stream = ws.get_ref().unwrap();
            let (info, nodelay) = (stream.tls().unwrap(), stream.tcp().unwrap().nodelay().unwrap());
            assert!(info.peer_certificates().is_empty() && nodelay);
            assert_eq!((info.server_name(), info.alpn()), (Some("localhost"), Some(&b"http/1.1"[..])));
            echo_all(&mut ws).await;
        });
        let mut ws = open(&running, &ca.trusting().build().unwrap()).await;
        says(&mut ws, "in secret").await;
        let stream = ws.get_ref().unwrap();
        assert_eq!(stream.peer_addr().unwrap().tcp(), Some(running.address));
        assert!(stream.tcp().unwrap().nodelay().unwrap());
        let info = stream.tls().unwrap();
        assert_eq!(info.protocol_version(), ProtocolVersion::TLSv1_3);
        assert_eq!((info.alpn(), info.peer_certificates().len()), (Some(&b"http/1.1"[..]), 1));
        assert!(ws.close(1000, "").await.unwrap().is_clean());
        assert!(ws.io_error().is_none());
        assert_eq!(running.stop().await.served, 1);
    });
}

async fn echo_all(ws: &mut WebSocket) {
    while let Some(message) = ws.recv().await {
        let _ = ws.send(message).await;
    }
}

#[test]
fn a_server_that_is_not_trusted_is_refused() {
    both(async |rt| {
        let (ca, identity) = localhost();
        let running = start(rt, secure(identity.serving().build().unwrap()).await);
        let stranger = Ca::new("somebody else").trusting().build().unwrap();
        let error = reason(attempt(&running, stranger).await);
        assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error:?}");
        // The name counts that is in the URL, or the one that was set.
        let other = ca.trusting().server_name("example.com").build().unwrap();
        let error = reason(attempt(&running, other).await);
        assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error:?}");
        let by_address = Connector::new(&format!("wss://{}/", running.address)).unwrap();
        let trusting = ca.trusting().build().unwrap();
        let error = reason(by_address.clone().tls(trusting).connect().await.map(drop));
        assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error:?}");
        let renamed = ca.trusting().server_name("localhost").build().unwrap();
        says(&mut by_address.clone().tls(renamed).connect().await.unwrap().0, "by its name").await;
        let credulous = ClientTls::builder().danger_accept_invalid_certs().build().unwrap();
        says(&mut by_address.tls(credulous).connect().await.unwrap().0, "whoever you are").await;
        let report = running.stop().await;
        assert_eq!((report.served, report.refused), (2, 3));
    });
}

#[test]
fn the_client_shows_a_certificate() {
    both(async |rt| {
        let (ca, identity) = localhost();
        let clients = Ca::new("the clients");
        let alice = clients.client("alice");
        let with = ca.trusting().identity_pem(&alice.certificate, &alice.key).build().unwrap();
        let without = ca.trusting().build().unwrap();
        let mallory = Ca::new("somebody else").client("alice");
        let forged = ca.trusting().identity_pem(&mallory.certificate, &mallory.key).build().unwrap();
        for auth in [ClientAuth::Required, ClientAuth::Optional] {
            let tls = identity.serving().client_root_pem(clients.pem()).client_auth(auth).build().unwrap();
            let running = start_with(rt, secure(tls).await, |mut ws| async move {
                let shown = ws.get_ref().unwrap().tls().unwrap().peer_certificates().len();
                ws.send(shown.to_string()).await.unwrap();
                echo_all(&mut ws).await;
            });
            assert_eq!(open(&running, &with).await.recv().await, Some("1".into()));
            // In TLS 1.3 the client is done before the server has judged it, and hears of it later.
            assert!(attempt(&running, forged.clone()).await.is_err());
            match auth {
                ClientAuth::Optional => assert_eq!(open(&running, &without).await.recv().await, Some("0".into())),
                _ => assert!(attempt(&running, without.clone()).await.is_err()),
            }
            let report = running.stop().await;
            assert_eq!(report.served + report.refused, 3);
        }
    });
}

#[test]
fn protocols_are_agreed_on_by_name() {
    both(async |rt| {
        let (ca, identity) = localhost();
        let running = start(rt, secure(identity.serving().build().unwrap()).await);
        let none = ca.trusting().alpn(Vec::<Vec<u8>>::new()).build().unwrap();
        assert_eq!(open(&running, &none).await.get_ref().unwrap().tls().unwrap().alpn(), None);
        let other = ca.trusting().alpn(["h2"]).build().unwrap();
        let error = reason(attempt(&running, other).await);
        assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol));
        let both = ca.trusting().alpn(["h2", "http/1.1"]).build().unwrap();
        let info = open(&running, &both).await.get_ref().unwrap().tls().unwrap();
        assert_eq!(info.alpn(), Some(&b"http/1.1"[..]));
        assert_eq!(running.stop().await.served, 2);
    });
}

#[test]
fn a_certificate_is_replaced_while_the_server_runs() {
    both(async |rt| {
        let (old, new) = (localhost(), localhost());
        let tls = old.1.serving().build().unwrap();
        let running = start(rt, secure(tls.clone()).await);
        let mut early = open(&running, &old.0.trusting().build().unwrap()).await;
        tls.reload_pem(&new.1.certificate, &new.1.key).unwrap();
        let mut late = open(&running, &new.0.trusting().build().unwrap()).await;
        says(&mut late, "new").await;
        says(&mut early, "old").await;
        assert!(attempt(&running, old.0.trusting().build().unwrap()).await.is_err());
        drop((early, late));
        assert_eq!(running.stop().await.served, 2);
    });
}

/// A client that does the TLS by itself, after the opening handshake of the WebSocket.
async fn by_hand(running: &Running, ca: &Ca) -> futures_rustls::client::TlsStream<TcpStream> {
    let tls = ca.trusting().build().unwrap();
    let tcp = TcpStream::connect(running.address).await.unwrap();
    let connector = TlsConnector::from(tls.config().clone());
    let mut stream = connector.connect(tls.name_for("localhost").unwrap(), tcp).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        head.extend(byte);
    }
    stream
}

#[test]
fn threat_102_an_end_without_close_notify_is_told_apart() {
    both(async |rt| {
        let (ca, identity) = localhost();
        let (tell, told) = smol::channel::unbounded();
        let running = start_with(rt, secure(identity.serving().build().unwrap()).await, move |mut ws| {
            let tell = tell.clone();
            async move {
                let mut messages = 0;
                while ws.recv().await.is_some() {
                    messages += 1;
                }
                let end = (messages, ws.closed().unwrap().cause, ws.io_error().map(std::io::Error::kind));
                tell.send(end).await.unwrap();
            }
        });
        for (close, notify, cut) in [
            (false, true, false),
            (false, false, false),
            (false, false, true),
            (true, true, false),
            (true, false, false),
        ] {
            let mut stream = by_hand(&running, &ca).await;
            stream.write_all(&frame(0x81, b"whole")).await.unwrap();
            if cut {
                stream.write_all(&frame(0x82, &[7; 100])[..50]).await.unwrap();
            }
            if close {
                stream.write_all(&frame(0x88, b"\x03\xe8")).await.unwrap();
            }
            stream.flush().await.unwrap();
            if notify {
                stream.close().await.unwrap();
            }
            drop(stream);
            let end = told.recv().await.unwrap();
            let expected = match (close, notify) {
                (true, _) => (1, Cause::Handshake, end.2),
                (false, true) => (1, Cause::Eof, None),
                (false, false) => (1, Cause::Transport, Some(ErrorKind::UnexpectedEof)),
            };
            assert_eq!(end, expected, "{close} {notify} {cut}");
        }
        // The other way round: a server that is gone.
        let (client, server) = tcp_sockets().await;
        let accepting = futures_rustls::TlsAcceptor::from(identity.serving().build().unwrap().config().clone());
        let tls = ca.trusting().build().unwrap();
        let connecting = TlsConnector::from(tls.config().clone()).connect(tls.name_for("localhost").unwrap(), client);
        let (client, server) = zip(connecting, accepting.accept(server)).await;
        let connector = Connector::new("ws://localhost/").unwrap();
        let (ws, server) = zip(connector.connect_over(client.unwrap()), ws_async_std::accept(server.unwrap())).await;
        drop(server.unwrap());
        let (mut ws, _) = ws.unwrap();
        assert_eq!(ws.recv().await, None);
        let error = ws.io_error().unwrap();
        assert!(tls::is_truncated(error), "{error}");
        assert_eq!(running.stop().await.served, 5);
    });
}

#[test]
fn the_handshake_deadline_covers_tls() {
    both(async |rt| {
        let (ca, identity) = localhost();
        let mut config = Config::default();
        config.timers.handshake = Some(Duration::from_secs(2));
        let server = secure(identity.serving().build().unwrap()).await.acceptor(Acceptor::new(config));
        let running = start(rt, server);
        // Says nothing; begins with TLS and stops; is done with TLS and stops.
        let mut silent = TcpStream::connect(running.address).await.unwrap();
        let mut halfway = TcpStream::connect(running.address).await.unwrap();
        halfway.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        let tls = ca.trusting().build().unwrap();
        let tcp = TcpStream::connect(running.address).await.unwrap();
        let connector = TlsConnector::from(tls.config().clone());
        let mut done = connector.connect(tls.name_for("localhost").unwrap(), tcp).await.unwrap();
        done.write_all(&REQUEST[..30]).await.unwrap();
        done.flush().await.unwrap();
        let mut answer = Vec::new();
        done.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 408 "));
        drop(done);
        for tcp in [&mut silent, &mut halfway] {
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        }
        while running.handle.connections() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(running.stop().await.refused, 3);

        // A server that accepts and is silent.
        let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://{}/", listener.local_addr().unwrap());
        let connector = Connector::new(&url).unwrap().tls(tls).connect_timeout(Some(Duration::from_millis(50)));
        assert!(matches!(connector.connect().await, Err(ConnectError::Timeout)));
    });
}

#[test]
fn only_one_side_speaks_tls() {
    both(async |rt| {
        let (ca, identity) = localhost();
        let plain = start(rt, server().await);
        let tls = ca.trusting().build().unwrap();
        assert!(matches!(attempt(&plain, tls.clone()).await, Err(ConnectError::Tls(_))));
        let running = start(rt, secure(identity.serving().build().unwrap()).await);
        assert!(ws_async_std::connect(&running.url()).await.is_err());
        let mut garbage = TcpStream::connect(running.address).await.unwrap();
        garbage.write_all(&[0x55; 1000]).await.unwrap();
        let _ = garbage.read_to_end(&mut Vec::new()).await;
        says(&mut open(&running, &tls).await, "still there").await;
        let report = running.stop().await;
        assert_eq!((report.served, report.refused, report.panicked), (1, 2, 0));
        plain.stop().await;
    });
}

#[test]
fn threat_117_both_ends_send_at_once() {
    both(async |rt| {
        let (ca, identity) = localhost();
        let running = start_with(rt, secure(identity.serving().build().unwrap()).await, flow);
        flow(open(&running, &ca.trusting().build().unwrap()).await).await;
        assert_eq!(running.stop().await.panicked, 0);
    });
}

/// Sends 8 MiB and receives as much, in halves; then the client closes.
async fn flow(ws: WebSocket) {
    let role = ws.role();
    let (mut receiver, sender) = ws.split();
    let sending = async {
        for n in 0..8_u8 {
            sender.send(vec![n; 1024 * 1024]).await.unwrap();
        }
    };
    let receiving = async {
        for n in 0..8_u8 {
            assert_eq!(receiver.recv().await, Some(Message::binary(vec![n; 1024 * 1024])));
        }
    };
    zip(sending, receiving).await;
    if role == Role::Client {
        sender.close(1000, "").await.unwrap();
    }
    assert_eq!(receiver.recv().await, None);
    assert!(receiver.closed().unwrap().is_clean());
}

#[test]
fn threat_112_many_senders_on_one_connection() {
    both(async |rt| {
        let (ca, identity) = localhost();
        let running = start(rt, secure(identity.serving().build().unwrap()).await);
        let ws = open(&running, &ca.trusting().build().unwrap()).await;
        let (mut receiver, sender) = ws.split();
        let tasks: Vec<_> = (0..10_u8)
            .map(|task| {
                let sender = sender.clone();
                rt.spawn(async move {
                    for number in 0..50_u8 {
                        let mut message = vec![number; 2 + 30 * usize::from(number)];
                        message[0] = task;
                        sender.send(message).await.unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0_u8; 10];
        for _ in 0..500 {
            let Some(Message::Binary(message)) = receiver.recv().await else { panic!("no message") };
            let (task, number) = (usize::from(message[0]), message[1]);
            assert_eq!((number, message.len()), (next[task], 2 + 30 * usize::from(number)));
            assert!(message[1..].iter().all(|byte| *byte == number));
            next[task] += 1;
        }
        for task in tasks {
            task.join().await;
        }
        drop((receiver, sender));
        assert_eq!(running.stop().await.served, 1);
    });
}

#[test]
fn threat_110_the_tls_handshake_is_dropped_at_every_point() {
    both(async |rt| {
        let (ca, identity) = localhost();
        let running = start(rt, secure(identity.serving().build().unwrap()).await);
        let tls = ca.trusting().build().unwrap();
        let mut done = 0;
        for polls in 0..40 {
            let connector = to(&running, tls.clone());
            done += usize::from(some_polls(connector.connect(), polls).await.is_some());
        }
        says(&mut open(&running, &tls).await, "and another").await;
        while running.handle.connections() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let report = running.stop().await;
        assert!(report.served > done as u64, "{report:?}");
    });
}

#[test]
fn settings_of_rustls_are_used_as_they_are() {
    both(async |rt| {
        let (ca, identity) = localhost();
        let server_tls = ServerTls::from(identity.serving().build().unwrap().config().clone());
        let running = start(rt, secure(server_tls).await);
        let config = Arc::clone(ca.trusting().build().unwrap().config());
        says(&mut open(&running, &ClientTls::from(config)).await, "as it is").await;
        assert_eq!(running.stop().await.served, 1);
    });
}
