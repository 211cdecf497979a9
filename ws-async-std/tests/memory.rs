//! What connections cost in memory.
#![cfg(any(feature = "async-std", feature = "smol"))]

mod common;

use std::cell::Cell;
use std::rc::Rc;

use alloc_meter::Mark;
use async_io::Async;
use common::{REQUEST, patiently, tcp_sockets, yield_now};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{LocalExecutor, block_on};
use ws_async_std::{Acceptor, NetStream};

type Tcp = Async<std::net::TcpStream>;

/// Bytes of heap for each of many idle connections, with their tasks and timers. All is done by one thread, whose
/// allocations are counted.
async fn each<T, F>(executor: &LocalExecutor<'_>, open: impl Fn(NetStream, Tcp, Rc<Cell<usize>>) -> F) -> i64
where
    F: Future<Output = T>,
{
    let waiting = Rc::new(Cell::new(0));
    let mut clients = Vec::with_capacity(500);
    let mut mark = Mark::now();
    for n in 0..500 {
        if n == 100 {
            mark = Mark::now();
        }
        let (client, server) = tcp_sockets().await;
        clients.push(open(server.into(), client, waiting.clone()).await);
        while waiting.get() <= n {
            yield_now().await;
        }
    }
    // Until they wait.
    for _ in 0..1000 {
        yield_now().await;
    }
    let each = mark.usage().live / 400;
    drop(clients);
    while !executor.is_empty() {
        yield_now().await;
    }
    each
}

async fn serve(ws: ws_async_std::WebSocket, waiting: Rc<Cell<usize>>) {
    waiting.set(waiting.get() + 1);
    common::echo(ws).await;
}

#[test]
fn threat_033_an_idle_connection_takes_less_than_2500_bytes() {
    let executor = LocalExecutor::new();
    block_on(executor.run(patiently(async {
        let each = each(&executor, async |server, mut client, waiting| {
            executor
                .spawn(async move {
                    let (ws, request) = Acceptor::default().accept(server).await.unwrap();
                    drop(request);
                    serve(ws, waiting).await;
                })
                .detach();
            client.write_all(REQUEST).await.unwrap();
            let mut answer = [0; 1000];
            let n = client.read(&mut answer).await.unwrap();
            assert!(answer[..n].starts_with(b"HTTP/1.1 101 "));
            client
        })
        .await;
        // The client's socket is among it.
        println!("{each} bytes of heap per idle connection, with its task, socket and timer, and the client's socket");
        assert!(each <= 2500, "{each}");
    })));
}

#[cfg(feature = "tls")]
#[test]
fn an_idle_connection_with_tls() {
    let executor = LocalExecutor::new();
    block_on(executor.run(patiently(async {
        let ca = common::certificates::Ca::new("the tests");
        let tls = ca.server(&["localhost"]).serving().build().unwrap();
        let trusting = ca.trusting().build().unwrap();
        let each = each(&executor, async |server, client, waiting| {
            let tls = tls.clone();
            executor
                .spawn(async move {
                    let decide = |request: &ws_async_std::Request| {
                        std::future::ready(ws_async_std::Decision::default_for(request))
                    };
                    let (ws, request) = Acceptor::default().accept_tls_with(server, &tls, decide).await.unwrap();
                    drop(request);
                    serve(ws, waiting).await;
                })
                .detach();
            let connector = futures_rustls::TlsConnector::from(trusting.config().clone());
            let mut client = connector.connect(trusting.name_for("localhost").unwrap(), client).await.unwrap();
            client.write_all(REQUEST).await.unwrap();
            client.flush().await.unwrap();
            let mut answer = [0; 1000];
            let n = client.read(&mut answer).await.unwrap();
            assert!(answer[..n].starts_with(b"HTTP/1.1 101 "));
            client
        })
        .await;
        println!("{each} bytes of heap per idle connection with TLS, both ends of it");
    })));
}
