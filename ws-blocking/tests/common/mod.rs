//! Helpers of the tests.
#![allow(dead_code, unreachable_pub)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ws_blocking::ws_proto::Version;
use ws_blocking::{
    Config, Negotiated, NetStream, Pipe, Report, Role, Server, ServerHandle, Transport, Wait, WebSocket, pipe,
};

pub mod script;

/// Only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The body of a test with an end.
pub fn patiently<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = mpsc::channel();
    let thread = thread::spawn(move || {
        let _ = done.send(body());
    });
    match result.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!(),
        },
    }
}

/// So long only a fault takes.
pub fn guard() -> Wait {
    Wait::new().timeout(PATIENCE)
}

pub fn modern() -> Negotiated {
    Negotiated::new(Version::Rfc6455)
}

pub fn upgraded<T: Transport>(transport: T, role: Role, config: Config) -> WebSocket<T> {
    let mut ws = WebSocket::from_upgraded(transport, role, modern(), config);
    ws.set_wait(guard());
    ws
}

pub fn server<T: Transport>(transport: T) -> WebSocket<T> {
    upgraded(transport, Role::Server, Config::default())
}

pub fn client<T: Transport>(transport: T) -> WebSocket<T> {
    upgraded(transport, Role::Client, Config::default())
}

/// A client and a server over memory.
pub fn pair() -> (WebSocket<Pipe>, WebSocket<Pipe>) {
    let (here, there) = pipe();
    (client(here), server(there))
}

/// Two ends of a TCP connection.
pub fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let there = listener.accept().unwrap().0;
    here.set_nodelay(true).unwrap();
    there.set_nodelay(true).unwrap();
    (here, there)
}

/// A client and a server over TCP.
pub fn tcp_pair() -> (WebSocket, WebSocket) {
    let (here, there) = sockets();
    (client(NetStream::from(here)), server(NetStream::from(there)))
}

/// A server on a thread of its own.
pub struct Running {
    pub handle: ServerHandle,
    pub address: SocketAddr,
    thread: Option<JoinHandle<Report>>,
}

impl Running {
    pub fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    pub fn shut_down(mut self, patience: Duration) -> Report {
        self.handle.shutdown(patience);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown(Duration::ZERO);
    }
}

pub fn run(server: Server, handler: impl Fn(WebSocket, ws_blocking::Incoming) + Send + Sync + 'static) -> Running {
    let (handle, address) = (server.handle(), server.local_addr().unwrap().tcp().unwrap());
    Running { handle, address, thread: Some(thread::spawn(move || server.serve(handler))) }
}

pub fn echo(mut ws: WebSocket) {
    while let Ok(Some(message)) = ws.recv() {
        let _ = ws.send(message);
    }
}

pub fn echo_server() -> Running {
    run(Server::bind("127.0.0.1:0").unwrap(), |ws, _| echo(ws))
}
