//! Servers that run while a test does something with them.

use std::future::Future;
use std::net::SocketAddr;

use ws_async_std::{Report, Server, ServerHandle, WebSocket};

use super::{Joined, PATIENCE, Rt, echo};

/// A server that runs.
pub struct Running {
    pub handle: ServerHandle,
    pub address: SocketAddr,
    pub report: Joined<Report>,
}

impl Running {
    pub fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    pub async fn stop(self) -> Report {
        self.handle.shutdown(PATIENCE);
        self.report.join().await
    }
}

pub async fn server() -> Server {
    Server::bind("127.0.0.1:0").await.unwrap()
}

pub fn start(rt: Rt, server: Server) -> Running {
    start_with(rt, server, echo)
}

pub fn start_with<H, F>(rt: Rt, server: Server, handler: H) -> Running
where
    H: Fn(WebSocket) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (handle, address) = (server.handle(), server.local_addr().unwrap().tcp().unwrap());
    let report = rt.spawn(server.serve(move |ws, _| handler(ws)));
    Running { handle, address, report }
}
