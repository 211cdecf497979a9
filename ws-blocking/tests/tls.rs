//! TLS: both roles, both ways at the same time, and how it ends.
#![cfg(feature = "tls")]

mod common;

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{echo, patiently, run, sockets};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ws_blocking::tls::rustls::{self, ProtocolVersion};
use ws_blocking::tls::{ClientTls, ServerTls, is_truncated};
use ws_blocking::{
    AcceptError, Acceptor, Config, ConnectError, Connector, Decision, Kind, NetStream, Server, Transport, WebSocket,
};

/// An authority, and a certificate of `localhost` and its key, as PEM.
struct Authority {
    ca: String,
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap();
        Self { ca: ca.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
    }

    fn server(&self) -> ServerTls {
        ServerTls::from_pem(&self.certificate, &self.key).unwrap()
    }

    fn client(&self) -> ClientTls {
        ClientTls::builder().root_pem(&self.ca).build().unwrap()
    }
}

fn connector(address: std::net::SocketAddr, tls: ClientTls) -> Connector {
    let mut connector = Connector::new(&format!("wss://localhost:{}/", address.port())).unwrap().tls(tls);
    connector.set_wait(common::guard());
    connector.connect_to(address)
}

/// A client and a server, connected.
fn pair(authority: &Authority, config: Config) -> (WebSocket, WebSocket) {
    let (here, there) = sockets();
    let server_tls = authority.server();
    let acceptor = Acceptor::new(config.clone());
    let accepting =
        thread::spawn(move || acceptor.accept_tls_with(there, &server_tls, Decision::default_for).unwrap().0);
    let client_tls = authority.client();
    // The adapter dials by itself; here it is given a socket of which the other end is known.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = listener.local_addr().unwrap();
    let connecting = thread::spawn(move || connector(relay, client_tls).config(config).connect().unwrap().0);
    let front = listener.accept().unwrap().0;
    splice(front, here);
    let mut server = accepting.join().unwrap();
    server.set_wait(common::guard());
    (connecting.join().unwrap(), server)
}

/// Passes on what comes, both ways, byte by byte as TCP has it.
fn splice(a: TcpStream, b: TcpStream) {
    for (mut from, mut to) in [(a.try_clone().unwrap(), b.try_clone().unwrap()), (b, a)] {
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
}

#[test]
fn echo_over_tls_and_what_was_agreed_on() {
    patiently(|| {
        let authority = Authority::new();
        let server = Server::bind("127.0.0.1:0").unwrap().tls(authority.server());
        let server = run(server, |ws, _| {
            let info = ws.get_ref().unwrap().tls().unwrap();
            assert_eq!(info.server_name(), Some("localhost"));
            echo(ws);
        });
        let (mut ws, _) = connector(server.address, authority.client()).connect().unwrap();
        let info = ws.get_ref().unwrap().tls().unwrap();
        assert_eq!(info.protocol_version(), ProtocolVersion::TLSv1_3);
        assert_eq!(info.alpn(), Some(&b"http/1.1"[..]));
        assert_eq!(info.peer_certificates().len(), 1);
        assert!(ws.get_ref().unwrap().tcp().is_some());
        for size in [0, 1, 125, 16 * 1024, 100_000, 3_000_000] {
            let message = vec![size as u8; size];
            ws.send(&message[..]).unwrap();
            assert_eq!(ws.recv().unwrap().unwrap().as_bytes(), message);
        }
        assert!(ws.close(1000, "").unwrap().is_clean());
        let report = server.shut_down(Duration::from_secs(30));
        assert_eq!((report.served, report.panicked), (1, 0));
    });
}

#[test]
fn an_unknown_authority_and_a_wrong_name_are_refused() {
    patiently(|| {
        let authority = Authority::new();
        let server = run(Server::bind("127.0.0.1:0").unwrap().tls(authority.server()), |ws, _| echo(ws));
        let refused = connector(server.address, Authority::new().client()).connect().unwrap_err();
        assert!(matches!(refused, ConnectError::Tls(_)), "{refused:?}");
        let elsewhere = ClientTls::builder().root_pem(&authority.ca).server_name("example.com").build().unwrap();
        let refused = connector(server.address, elsewhere).connect().unwrap_err();
        assert!(matches!(refused, ConnectError::Tls(_)), "{refused:?}");
        let careless = ClientTls::builder().danger_accept_invalid_certs().build().unwrap();
        let (mut ws, _) = connector(server.address, careless).connect().unwrap();
        assert!(ws.close(1000, "").unwrap().is_clean());
        // And the other way: who does not speak TLS.
        let plain = Connector::new(&server.url()).unwrap().connect().unwrap_err();
        assert!(!matches!(plain, ConnectError::Timeout), "{plain:?}");
    });
}

#[test]
fn threat_105_the_deadline_covers_the_tls_handshake() {
    patiently(|| {
        let authority = Authority::new();
        let (mut here, there) = sockets();
        let mut config = Config::default();
        config.timers.handshake = Some(Duration::from_millis(200));
        let tls = authority.server();
        // It says something, and then nothing.
        here.write_all(&[22, 3, 1]).unwrap();
        let error = Acceptor::new(config).accept_tls_with(there, &tls, Decision::default_for).unwrap_err();
        assert!(matches!(error, AcceptError::Handshake(_)), "{error:?}");
        // A server that never answers.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let connector = connector(listener.local_addr().unwrap(), authority.client());
        let error = connector.connect_timeout(Some(Duration::from_millis(200))).connect().unwrap_err();
        assert!(matches!(error, ConnectError::Timeout), "{error:?}");
    });
}

fn checksum(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, byte| sum.rotate_left(5).wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte))
}

/// The payload of message `n` of writer `writer`.
fn payload(writer: u8, n: usize) -> Vec<u8> {
    let size = [0, 1, 100, 5_000, 20_000, 70_000][(n + usize::from(writer)) % 6];
    let mut bytes = vec![writer];
    bytes.extend((0..size).map(|at| (at * 7 + n) as u8));
    bytes
}

#[test]
fn a_reader_and_four_writers_on_each_end_at_the_same_time() {
    const MESSAGES: usize = 200;
    patiently(|| {
        let (client, server) = pair(&Authority::new(), Config::default());
        let ends: Vec<_> = [client, server]
            .into_iter()
            .map(|ws| {
                let (mut receiver, sender) = ws.split();
                let writers: Vec<_> = (0..4_u8)
                    .map(|writer| {
                        let sender = sender.clone();
                        thread::spawn(move || {
                            let mut sum = 0;
                            for n in 0..MESSAGES {
                                let message = payload(writer, n);
                                sum = checksum(sum, &message);
                                if n % 3 == 0 { sender.feed(message) } else { sender.send(message) }.unwrap();
                            }
                            sender.flush().unwrap();
                            sum
                        })
                    })
                    .collect();
                let reader = thread::spawn(move || {
                    let mut sums = [0; 4];
                    let mut left = 4 * MESSAGES;
                    while let Some(message) = receiver.recv().unwrap() {
                        let bytes = message.as_bytes();
                        let sum = &mut sums[usize::from(bytes[0])];
                        *sum = checksum(*sum, bytes);
                        left -= 1;
                        if left == 0 {
                            break;
                        }
                    }
                    assert_eq!(left, 0, "{:?}", receiver.closed());
                    (sums, receiver)
                });
                (writers, reader, sender)
            })
            .collect();
        let mut told = Vec::new();
        let mut seen = Vec::new();
        let mut halves = Vec::new();
        for (writers, reader, sender) in ends {
            let (sums, receiver) = reader.join().unwrap();
            seen.push(sums);
            halves.push((receiver, sender));
            told.push(writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>());
        }
        assert_eq!(told[0], seen[1]);
        assert_eq!(told[1], seen[0]);
        let (mut receiver, sender) = halves.pop().unwrap();
        let other = thread::spawn(move || {
            let (mut receiver, _sender) = halves.pop().unwrap();
            while receiver.recv().unwrap().is_some() {}
            assert!(receiver.closed().unwrap().is_clean());
        });
        sender.start_close(1000, "").unwrap();
        while receiver.recv().unwrap().is_some() {}
        assert!(receiver.closed().unwrap().is_clean());
        other.join().unwrap();
    });
}

/// What a server answers, found out over memory.
fn answer_to(head: &[u8]) -> Vec<u8> {
    let (mut here, there) = ws_blocking::pipe();
    let accepting = thread::spawn(move || ws_blocking::accept(there).unwrap());
    ws_blocking::block_on(poll_fn(|cx| here.poll_write(cx, head)), &common::guard()).unwrap().unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 1];
        ws_blocking::block_on(poll_fn(|cx| here.poll_read(cx, &mut byte)), &common::guard()).unwrap().unwrap();
        answer.push(byte[0]);
    }
    accepting.join().unwrap();
    answer
}

#[test]
fn a_stream_that_is_cut_off_is_told_apart_from_one_that_ends() {
    patiently(|| {
        let authority = Authority::new();
        for goodbye in [true, false] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let config = authority.server().config().clone();
            let peer = thread::spawn(move || {
                let mut tcp = listener.accept().unwrap().0;
                let mut tls = rustls::ServerConnection::new(config).unwrap();
                let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0; 1];
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                let answer = answer_to(&head);
                stream.write_all(&answer).unwrap();
                stream.write_all(&[0x81, 2, b'H', b'i']).unwrap();
                stream.flush().unwrap();
                if goodbye {
                    stream.conn.send_close_notify();
                    stream.conn.write_tls(stream.sock).unwrap();
                }
                tcp.shutdown(std::net::Shutdown::Write).unwrap();
                let _ = tcp.read_to_end(&mut Vec::new());
            });
            let (mut ws, _) = connector(address, authority.client()).connect().unwrap();
            assert_eq!(ws.recv().unwrap().unwrap().as_text(), Some("Hi"));
            assert_eq!(ws.recv().unwrap(), None);
            assert!(!ws.closed().unwrap().is_clean());
            match ws.io_error() {
                None => assert!(goodbye),
                Some(error) => {
                    assert!(!goodbye && is_truncated(error), "{error:?}");
                    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                }
            }
            drop(ws);
            peer.join().unwrap();
        }
    });
}

#[test]
fn both_ends_write_much_before_they_read() {
    patiently(|| {
        let mut config = Config::default();
        config.limits.outgoing = 1 << 20;
        let (client, server) = pair(&Authority::new(), config);
        let ends = [client, server].map(|mut ws| {
            thread::spawn(move || {
                let mut writer = ws.start_message(Kind::Binary).unwrap();
                writer.write(&[1; 1000]).unwrap();
                writer.finish(&vec![2; 500_000]).unwrap();
                assert_eq!(ws.recv().unwrap().unwrap().as_bytes().len(), 501_000);
                ws
            })
        });
        let [mut client, mut server] = ends.map(|end| end.join().unwrap());
        let other = thread::spawn(move || while server.recv().unwrap().is_some() {});
        assert!(client.close(1000, "").unwrap().is_clean());
        other.join().unwrap();
    });
}

#[test]
fn certificates_of_clients_are_seen_by_the_server() {
    patiently(|| {
        let (authority, clients) = (Authority::new(), Authority::new());
        let tls = ServerTls::builder()
            .certificate_pem(&authority.certificate, &authority.key)
            .client_root_pem(&clients.ca)
            .build()
            .unwrap();
        let server = run(Server::bind("127.0.0.1:0").unwrap().tls(tls), |mut ws, _| {
            let known = ws.get_ref().map(NetStream::tls).unwrap().unwrap().peer_certificates().len();
            let _ = ws.send(format!("{known}"));
            let _ = ws.close(1000, "");
        });
        let with = ClientTls::builder()
            .root_pem(&authority.ca)
            .identity_pem(&clients.certificate, &clients.key)
            .build()
            .unwrap();
        let (mut ws, _) = connector(server.address, with).connect().unwrap();
        assert_eq!(ws.recv().unwrap().unwrap().as_text(), Some("1"));
        assert!(connector(server.address, authority.client()).connect().is_err());
    });
}

#[test]
fn a_shared_config_is_enough() {
    let authority = Authority::new();
    let config: Arc<rustls::ServerConfig> = authority.server().config().clone();
    assert!(Arc::ptr_eq(ServerTls::from(config.clone()).config(), &config));
}
