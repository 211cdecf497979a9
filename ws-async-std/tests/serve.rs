//! Servers: sockets, tasks, caps, shutdown.
#![cfg(any(feature = "async-std", feature = "smol"))]

mod common;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_io::Async;
use common::{REQUEST, Running, both, echo, frame, says, server, sleep, some_polls, start, start_with, tcp, yield_now};
use smol::future::FutureExt;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;
use ws_async_std::{
    Accept, Address, Cause, CloseCode, Config, ConnectError, Connector, Decision, Reply, Server, accept, connect,
};

#[test]
fn many_connections_and_an_orderly_shutdown() {
    both(async |rt| {
        let running = start(rt, server().await);
        let mut open = Vec::new();
        for n in 0..50 {
            let mut ws = connect(&running.url()).await.unwrap();
            says(&mut ws, &format!("message {n}")).await;
            open.push(ws);
        }
        assert_eq!(running.handle.connections(), 50);
        for mut ws in open.drain(..20) {
            assert!(ws.close(1000, "").await.unwrap().is_clean());
        }
        let ending: Vec<_> = open
            .into_iter()
            .map(|mut ws| {
                rt.spawn(async move {
                    assert_eq!(ws.recv().await, None);
                    ws.closed().cloned().unwrap()
                })
            })
            .collect();
        let url = running.url();
        let report = running.stop().await;
        for closed in ending {
            let closed = closed.join().await;
            assert_eq!(closed.code(), CloseCode::GOING_AWAY);
            assert!(closed.is_clean());
        }
        assert_eq!((report.served, report.aborted, report.panicked, report.rejected), (50, 0, 0, 0));
        assert!((30..=50).contains(&report.graceful), "{report:?}");
        assert!(matches!(connect(&url).await, Err(ConnectError::Io(_))));
    });
}

#[test]
fn names_and_addresses() {
    both(async |rt| {
        let running = start(rt, Server::bind("localhost:0").await.unwrap());
        let mut ws = connect(&format!("ws://localhost:{}/", running.address.port())).await.unwrap();
        says(&mut ws, "by name").await;
        let stream = ws.get_ref().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), Address::from(running.address));
        assert!(stream.local_addr().unwrap().tcp().unwrap().ip().is_loopback());
        assert!(stream.tcp().unwrap().nodelay().unwrap());
        drop(ws);
        // It goes elsewhere, whatever the name is.
        let connector = Connector::new("ws://nowhere.invalid/").unwrap().connect_to(running.address).nodelay(false);
        let (mut ws, _) = connector.connect().await.unwrap();
        says(&mut ws, "by address").await;
        assert!(!ws.get_ref().unwrap().tcp().unwrap().nodelay().unwrap());
        // Too long for a name, which is found out without asking anybody.
        let Err(ConnectError::Resolve(_)) = connect(&format!("ws://{}.invalid/", "x".repeat(64))).await else {
            panic!("it exists")
        };
        drop(ws);
        assert_eq!(running.stop().await.served, 2);
    });
}

#[test]
fn a_port_of_ipv6() {
    both(async |rt| {
        // Not every machine has it.
        let Ok(server) = Server::bind("[::1]:0").await else { return };
        let running = start(rt, server);
        says(&mut connect(&running.url()).await.unwrap(), "six").await;
        assert_eq!(running.stop().await.served, 1);
    });
}

#[test]
fn requests_are_decided() {
    both(async |rt| {
        let server = server().await.decide(|request, peer| {
            let decision = match (request.path(), request.is_websocket()) {
                ("/ws", true) => Decision::from(Accept::new()),
                ("/", false) => Reply::text(200, &format!("hello {}", peer.tcp().unwrap().ip())).into(),
                _ => Reply::new(404).into(),
            };
            async { decision }
        });
        let running = start(rt, server);
        let mut tcp = TcpStream::connect(running.address).await.unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut page = String::new();
        tcp.read_to_string(&mut page).await.unwrap();
        assert!(page.ends_with("hello 127.0.0.1"), "{page}");
        let Err(ConnectError::Refused(response)) = connect(&running.url()).await else { panic!("served") };
        assert_eq!(response.status(), 404);
        says(&mut connect(&format!("{}ws", running.url())).await.unwrap(), "hello").await;
        assert_eq!(running.stop().await.served, 1);
    });
}

#[test]
fn threat_035_over_the_cap_there_is_503_and_freed_places_are_used_again() {
    both(async |rt| {
        let running = start(rt, server().await.max_connections(10));
        for _ in 0..3 {
            let mut served = Vec::new();
            for _ in 0..10 {
                served.push(connect(&running.url()).await.unwrap());
            }
            for _ in 0..20 {
                let Err(ConnectError::Refused(response)) = connect(&running.url()).await else { panic!("served") };
                assert_eq!(response.status(), 503);
            }
            for mut ws in served {
                says(&mut ws, "still served").await;
                ws.close(1000, "").await.unwrap();
            }
            while running.handle.connections() > 0 {
                yield_now().await;
            }
        }
        let report = running.stop().await;
        assert_eq!((report.served, report.rejected), (30, 60));
    });
}

#[test]
fn threat_116_silent_clients_do_not_keep_others_waiting() {
    both(async |rt| {
        let running = start(rt, server().await);
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(TcpStream::connect(running.address).await.unwrap());
        }
        while running.handle.connections() < 100 {
            yield_now().await;
        }
        says(&mut connect(&running.url()).await.unwrap(), "served").await;
        // A shutdown does not wait for those who never said anything.
        let report = running.stop().await;
        assert_eq!((report.served, report.refused), (1, 100));
    });
}

#[test]
fn threat_115_a_panic_ends_its_own_connection_with_1011() {
    std::panic::set_hook(Box::new(|_| {}));
    both(async |rt| {
        let running = start_with(rt, server().await, |mut ws| async move {
            while let Some(message) = ws.recv().await {
                assert_ne!(message.as_text(), Some("panic"), "asked to");
                if message.as_text() == Some("split") {
                    let (mut receiver, sender) = ws.split();
                    sender.send("halves").await.unwrap();
                    receiver.recv().await;
                    panic!("in halves");
                }
                ws.send(message).await.unwrap();
            }
        });
        let mut good = connect(&running.url()).await.unwrap();
        for how in ["panic", "split", "panic", "split"] {
            let mut bad = connect(&running.url()).await.unwrap();
            bad.send(how).await.unwrap();
            if how == "split" {
                assert_eq!(bad.recv().await, Some("halves".into()));
                bad.send("go").await.unwrap();
            }
            assert_eq!(bad.recv().await, None);
            assert_eq!(bad.closed().unwrap().code(), CloseCode::INTERNAL_ERROR, "{how}");
            says(&mut good, "alive").await;
        }
        good.close(1000, "").await.unwrap();
        let report = running.stop().await;
        assert_eq!((report.panicked, report.aborted), (4, 0), "{report:?}");
    });
    let _ = std::panic::take_hook();
}

#[test]
fn threat_120_a_shutdown_closes_the_willing_and_cuts_off_the_deaf() {
    both(async |rt| {
        let running = start(rt, server().await);
        let mut idle = Vec::new();
        for _ in 0..20 {
            let mut ws = connect(&running.url()).await.unwrap();
            says(&mut ws, "open").await;
            idle.push(rt.spawn(async move {
                while ws.recv().await.is_some() {}
                ws.closed().unwrap().code()
            }));
        }
        // Half a message, and never an answer to the Close.
        let mut deaf = Vec::new();
        for _ in 0..5 {
            let mut tcp = TcpStream::connect(running.address).await.unwrap();
            let begun = [REQUEST, &frame(0x81, b"x"), &frame(0x81, b"never finished")[..10]].concat();
            tcp.write_all(&begun).await.unwrap();
            // The echo of the first message, so that its handler runs for certain.
            let mut got = Vec::new();
            while !got.ends_with(b"\x81\x01x") {
                let mut byte = [0];
                tcp.read_exact(&mut byte).await.unwrap();
                got.extend(byte);
            }
            deaf.push(tcp);
        }
        running.handle.shutdown(Duration::from_secs(2));
        let report = running.report.join().await;
        assert_eq!((report.served, report.graceful, report.aborted), (25, 20, 5));
        for closed in idle {
            assert_eq!(closed.join().await, CloseCode::GOING_AWAY);
        }
        for mut tcp in deaf {
            let mut rest = Vec::new();
            let _ = tcp.read_to_end(&mut rest).await;
            let at = rest.windows(4).position(|w| w[0] == 0x88 && w[2..] == [0x03, 0xe9]);
            assert!(at.is_some(), "no 1001 in {rest:?}");
        }
    });
}

#[test]
fn dropping_the_server_drops_its_connections() {
    both(async |rt| {
        let server = server().await;
        let url = format!("ws://{}/", server.local_addr().unwrap());
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let serving = rt.spawn(async move {
            let serving = async { Some(server.serve(|ws, _| echo(ws)).await) };
            let stopped = async {
                let _ = stopped.recv().await;
                None
            };
            assert_eq!(serving.or(stopped).await, None);
        });
        let mut ws = connect(&url).await.unwrap();
        says(&mut ws, "x").await;
        stop.send(()).await.unwrap();
        serving.join().await;
        assert_eq!(ws.recv().await, None);
        assert!(matches!(ws.closed().unwrap().cause, Cause::Eof | Cause::Transport));
        assert!(connect(&url).await.is_err());
    });
}

#[test]
fn a_listener_from_elsewhere() {
    both(async |rt| {
        let listener = Async::<std::net::TcpListener>::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let running = start(rt, Server::new(listener));
        drop(connect(&running.url()).await.unwrap());
        assert_eq!(running.stop().await.served, 1);
    });
}

/// The handler runs in a task of the runtime, so that it can use what only tasks have.
#[cfg(feature = "async-std")]
#[test]
fn handlers_are_tasks_of_async_std() {
    both(async |rt| {
        let running = start_with(rt, server().await, |mut ws| async move {
            let id = async_std::task::current().id().to_string();
            ws.send(id).await.unwrap();
            while ws.recv().await.is_some() {}
        });
        let mut ws = connect(&running.url()).await.unwrap();
        let mut other = connect(&running.url()).await.unwrap();
        let (one, two) = (ws.recv().await.unwrap(), other.recv().await.unwrap());
        assert_ne!(one, two);
        drop((ws, other));
        assert_eq!(running.stop().await.served, 2);
    });
}

#[test]
fn threat_110_connecting_is_dropped_at_every_point() {
    both(async |rt| {
        let opened = Arc::new(AtomicUsize::new(0));
        let count = opened.clone();
        let running = start_with(rt, server().await, move |ws| {
            count.fetch_add(1, Ordering::SeqCst);
            echo(ws)
        });
        let url = running.url().replace("127.0.0.1", "localhost");
        let mut done = 0;
        for polls in 0..30 {
            done += usize::from(some_polls(connect(&url), polls).await.is_some());
        }
        assert!(done > 0, "thirty polls are enough");
        says(&mut connect(&running.url()).await.unwrap(), "and another").await;
        while running.handle.connections() > 0 {
            yield_now().await;
        }
        let report = running.stop().await;
        assert!(report.served > done as u64 && report.served == opened.load(Ordering::SeqCst) as u64, "{report:?}");
    });
}

#[test]
fn threat_110_accepting_is_dropped_at_every_point() {
    both(async |_| {
        let mut done = false;
        for polls in 0..100 {
            let (mut client, server) = tcp().await;
            client.write_all(&REQUEST[..polls.min(REQUEST.len() - 1)]).await.unwrap();
            if polls == 99 {
                client.write_all(&REQUEST[99..]).await.unwrap();
            }
            done = some_polls(accept(server), polls % 10 + 1).await.is_some();
            // Whatever the state was, the socket is closed: an end, or a reset because something was not read.
            let mut rest = Vec::new();
            let _ = client.read_to_end(&mut rest).await;
        }
        assert!(done, "the last one is whole");
    });
}

#[test]
fn a_connection_refused_and_a_deadline_to_connect() {
    both(async |_| {
        let url = {
            let server = server().await;
            format!("ws://{}/", server.local_addr().unwrap())
        };
        let Err(ConnectError::Io(error)) = connect(&url).await else { panic!("connected") };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        // The socket listens, and nobody ever answers.
        let listener = Async::<std::net::TcpListener>::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("ws://{}/", listener.get_ref().local_addr().unwrap());
        let connector = Connector::new(&url).unwrap().connect_timeout(Some(Duration::from_millis(50)));
        assert!(matches!(connector.connect().await, Err(ConnectError::Timeout)));
    });
}

#[test]
fn threat_111_a_connection_that_always_has_input_lets_others_run() {
    both(async |rt| {
        let running = start_with(rt, server().await, |mut ws| async move {
            while let Some(message) = ws.recv().await {
                if message.as_text().is_some() {
                    let _ = ws.send(message).await;
                }
            }
        });
        let stop = Arc::new(AtomicUsize::new(0));
        // More of them than processors, so that no thread is left over.
        let floods: Vec<_> = (0..4)
            .map(|_| {
                let (url, stop) = (running.url(), stop.clone());
                rt.spawn(async move {
                    let mut ws = connect(&url).await.unwrap();
                    let mut sent = 0_u32;
                    while stop.load(Ordering::Acquire) == 0 {
                        ws.feed(&b"flood"[..]).await.unwrap();
                        sent += 1;
                        if sent.is_multiple_of(1000) {
                            yield_now().await;
                        }
                    }
                    ws.close(1000, "").await.unwrap().is_clean()
                })
            })
            .collect();
        let mut quiet = connect(&running.url()).await.unwrap();
        for n in 0..20 {
            says(&mut quiet, &n.to_string()).await;
        }
        stop.store(1, Ordering::Release);
        for flood in floods {
            assert!(flood.join().await);
        }
        let closed = quiet.close(1000, "").await.unwrap();
        assert!(closed.is_clean(), "{closed:?}");
        assert_eq!(running.stop().await.served, 5);
    });
}

/// With the feature `smol` alone, tasks are smol's: there is one thread, and none of async-std.
#[cfg(all(target_os = "linux", feature = "smol", not(feature = "async-std")))]
#[test]
fn handlers_are_tasks_of_smol() {
    smol::block_on(common::patiently(async {
        let running = start_with(common::Rt::Smol, server().await, |mut ws| async move {
            ws.send(std::thread::current().name().unwrap_or("?")).await.unwrap();
            while ws.recv().await.is_some() {}
        });
        let mut ws = connect(&running.url()).await.unwrap();
        assert_eq!(ws.recv().await, Some("smol-1".into()));
        drop(ws);
        assert_eq!(running.stop().await.served, 1);
    }));
}

#[test]
fn the_handshake_has_a_deadline() {
    both(async |rt| {
        let mut config = Config::default();
        config.timers.handshake = Some(Duration::from_millis(50));
        let running: Running = start(rt, server().await.acceptor(ws_async_std::Acceptor::new(config)));
        let mut slow = TcpStream::connect(running.address).await.unwrap();
        slow.write_all(&REQUEST[..20]).await.unwrap();
        let mut answer = String::new();
        slow.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        drop(slow);
        while running.handle.connections() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(running.stop().await.refused, 1);
    });
}
