//! Helpers of the tests.
#![allow(dead_code, unreachable_pub)]

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ws_blocking::ws_proto::Version;
use ws_blocking::{
    Config, Negotiated, NetStream, Pipe, Report, Role, Server, ServerHandle, Transport, Wait, WebSocket, block_on, pipe,
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

/// A masked frame, as a client sends it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x11, 0x22, 0x33, 0x44];
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..=125 => frame.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0x80 | 127);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(payload.iter().zip(key.into_iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The end of a pipe as bytes.
pub struct Raw(pub Pipe);

impl io::Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        block_on(poll_fn(|cx| self.0.poll_read(cx, buffer)), &guard())?
    }
}

impl io::Write for Raw {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        block_on(poll_fn(|cx| self.0.poll_write(cx, bytes)), &guard())?
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A server over memory, and the other end as bytes.
pub fn raw_server(config: Config) -> (Raw, WebSocket<Pipe>) {
    let (here, there) = pipe();
    (Raw(here), upgraded(there, Role::Server, config))
}

/// At most so many bytes pass in one call.
pub struct Narrow(pub Pipe, pub usize);

impl Transport for Narrow {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let most = buffer.len().min(self.1);
        self.0.poll_read(cx, &mut buffer[..most])
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, &bytes[..bytes.len().min(self.1)])
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }
}

/// Both results of two calls at the same time.
pub fn both<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    thread::scope(|scope| {
        let b = scope.spawn(b);
        let a = a();
        (a, b.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
