//! Tests that run on one thread and on several, with servers that run beside them.
#![allow(dead_code, unreachable_pub)]

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use ws_tokio::{Message, Report, Server, ServerHandle, WebSocket};

/// Only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a test in each kind of runtime.
pub fn both<F: Future>(test: impl Fn() -> F) {
    for mut runtime in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        // In a box: a future is moved around in `block_on`, and unoptimized code takes stack for each move.
        let body = Box::pin(test());
        runtime.block_on(async { tokio::time::timeout(PATIENCE, body).await.expect("the test hangs") });
    }
}

pub async fn echo<T: AsyncRead + AsyncWrite + Unpin>(mut ws: WebSocket<T>) {
    while let Some(message) = ws.recv().await {
        let _ = ws.send(message).await;
    }
}

/// Sends a word and hears it.
pub async fn says<T: AsyncRead + AsyncWrite + Unpin>(ws: &mut WebSocket<T>, word: &str) {
    ws.send(word).await.unwrap();
    assert_eq!(ws.recv().await, Some(Message::from(word)));
}

/// A server that runs.
pub struct Running {
    pub handle: ServerHandle,
    pub address: SocketAddr,
    pub report: JoinHandle<Report>,
}

impl Running {
    pub fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    pub async fn stop(self) -> Report {
        self.handle.shutdown(PATIENCE);
        self.report.await.unwrap()
    }
}

pub async fn server() -> Server {
    Server::bind("127.0.0.1:0").await.unwrap()
}

pub fn start(server: Server) -> Running {
    start_with(server, echo)
}

pub fn start_with<H, F>(server: Server, handler: H) -> Running
where
    H: Fn(WebSocket) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (handle, address) = (server.handle(), server.local_addr().unwrap().tcp().unwrap());
    let report = tokio::spawn(server.serve(move |ws, _| handler(ws)));
    Running { handle, address, report }
}

/// Polls a future up to `polls` times, with some time between, then drops it.
pub async fn some_polls<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await;
        if let std::task::Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    None
}

/// An empty folder that belongs to the test of this name.
pub fn folder(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ws-tokio-{}-{test}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}
