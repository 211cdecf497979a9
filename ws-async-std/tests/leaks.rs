//! Whether anything stays behind. Files and memory are counted for the whole process, so this is the only test in it.
#![cfg(all(target_os = "linux", any(feature = "async-std", feature = "smol")))]

mod common;

use std::io::Write;
use std::net::TcpStream as StdStream;
use std::sync::Arc;

use async_io::Async;
use common::{REQUEST, both, echo, frame, says, some_polls, start, yield_now};
use ws_async_std::{Server, connect};

#[test]
fn threat_032_nothing_stays_behind_when_connections_come_and_go() {
    both(async |rt| {
        let token = Arc::new(());
        let counted = token.clone();
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let running = common::start_with(rt, server, move |ws| {
            let token = counted.clone();
            async move {
                let _token = token;
                echo(ws).await;
            }
        });
        let cycle = async |n: usize| {
            match n % 6 {
                0 => {
                    let mut ws = connect(&running.url()).await.unwrap();
                    says(&mut ws, "x").await;
                    ws.close(1000, "").await.unwrap();
                }
                1 => drop(connect(&running.url()).await.unwrap()),
                2 => {
                    let (receiver, sender) = connect(&running.url()).await.unwrap().split();
                    sender.send("x").await.unwrap();
                    drop((receiver, sender));
                }
                3 => {
                    // In the middle of the handshake.
                    let mut tcp = StdStream::connect(running.address).unwrap();
                    tcp.write_all(&REQUEST[..50]).unwrap();
                }
                4 => drop(some_polls(connect(&running.url()), n % 5).await),
                _ => {
                    // In the middle of a message.
                    let mut tcp = StdStream::connect(running.address).unwrap();
                    tcp.write_all(&[REQUEST, &frame(0x81, b"half")[..7]].concat()).unwrap();
                }
            }
            while running.handle.connections() > 0 {
                yield_now().await;
            }
        };
        for n in 0..600 {
            cycle(n).await;
        }
        // What was dropped half-way may not have been accepted yet.
        let settled = async || {
            let mut ws = connect(&running.url()).await.unwrap();
            says(&mut ws, "all before this was accepted").await;
            drop(ws);
            while running.handle.connections() > 0 {
                yield_now().await;
            }
            (files(), threads())
        };
        let (before, resident) = (settled().await, resident());
        for n in 0..1500 {
            cycle(n).await;
        }
        assert_eq!(settled().await, before);
        // Two kilobytes per connection would show.
        assert!(resident_since(resident) < 3 * 1024 * 1024, "{}", resident_since(resident));
        let address = address.to_string();
        running.stop().await;
        assert_eq!(Arc::strong_count(&token), 1, "tasks of {address} are left");
    });
    #[cfg(feature = "tls")]
    tls();
}

/// Handshakes of TLS that are done, dropped, and refused.
#[cfg(feature = "tls")]
fn tls() {
    both(async |rt| {
        let ca = common::certificates::Ca::new("the tests");
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let running = start(rt, server.tls(ca.server(&["localhost"]).serving().build().unwrap()));
        let connector = ws_async_std::Connector::new("wss://localhost/").unwrap().connect_to(running.address);
        let good = connector.clone().tls(ca.trusting().build().unwrap());
        let bad = connector.tls(common::certificates::Ca::new("another").trusting().build().unwrap());
        let cycle = async |n: usize| {
            match n % 4 {
                0 => says(&mut good.connect().await.unwrap().0, "x").await,
                1 => assert!(bad.connect().await.is_err()),
                2 => drop(some_polls(good.connect(), n % 7).await),
                _ => drop(Async::<StdStream>::connect(running.address).await.unwrap()),
            }
            while running.handle.connections() > 0 {
                yield_now().await;
            }
        };
        for n in 0..100 {
            cycle(n).await;
        }
        let settled = async || {
            says(&mut good.connect().await.unwrap().0, "all before this was accepted").await;
            while running.handle.connections() > 0 {
                yield_now().await;
            }
            (files(), threads())
        };
        let before = settled().await;
        for n in 0..200 {
            cycle(n).await;
        }
        assert_eq!(settled().await, before);
        running.stop().await;
    });
}

fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Bytes of memory that the process holds.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn resident_since(before: u64) -> u64 {
    resident().saturating_sub(before)
}
