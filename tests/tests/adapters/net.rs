//! Servers and clients of each adapter over real sockets, called from threads.

use std::any::Any;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::future::join;
use ws_adapter::{Acceptor, ConnectError, Connector, Error, Network, Receiver, Report, Sender, Server, WebSocket};
use ws_proto::{Closed, Message, ServerConfig, Version, Versions};

/// Only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a server does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Echo,
    /// Receives only after [`Stage::go`].
    Waits,
    /// Takes a moment for each message.
    Busy,
    /// Sends and receives at the same time: so many messages of [`LARGE`] bytes each way.
    BothWays(usize),
    /// Sends such messages for ever, and never receives before that fails.
    Pours,
    /// Panics when it is told to, in several ways.
    Panics,
}

pub const LARGE: usize = 256 * 1024;

/// What programs need.
#[derive(Clone, Default)]
pub struct Stage {
    pub go: Arc<AtomicBool>,
    /// Things that outlive the program that left them here.
    kept: Arc<Mutex<Vec<Box<dyn Any + Send>>>>,
}

impl Stage {
    pub fn keep(&self, thing: impl Any + Send) {
        self.kept.lock().unwrap().push(Box::new(thing));
    }
}

pub struct Settings {
    pub program: Program,
    pub config: ServerConfig,
    pub max_connections: usize,
    pub max_pending_handshakes: usize,
}

impl From<Program> for Settings {
    fn from(program: Program) -> Self {
        Self { program, config: ServerConfig::default(), max_connections: 1000, max_pending_handshakes: 1000 }
    }
}

/// A server on a thread.
pub struct Running {
    pub address: SocketAddr,
    pub stage: Stage,
    /// How connections ended, with the bytes of messages that they received.
    pub ends: mpsc::Receiver<(Closed, usize)>,
    pub connections: Box<dyn Fn() -> usize>,
    pub shutdown: Box<dyn Fn(Duration)>,
    pub report: JoinHandle<Report>,
}

impl Running {
    pub fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    pub fn end(&self) -> (Closed, usize) {
        self.ends.recv_timeout(PATIENCE).expect("no connection ends")
    }

    pub fn stop(self) -> Report {
        (self.shutdown)(PATIENCE);
        self.report.join().unwrap()
    }
}

/// Waits for something that happens soon.
pub fn eventually(mut what: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 2 {
        if what() {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("it does not happen");
}

/// A connection that is called from a thread.
pub trait Talk: Send {
    fn recv(&mut self) -> Option<Message>;
    fn send(&mut self, message: Message) -> Result<(), Error>;
    fn close(&mut self) -> Closed;
    fn closed(&self) -> Option<Closed>;
    fn io_error(&self) -> Option<ErrorKind>;
    fn version(&self) -> Version;
    fn split(self: Box<Self>) -> (Box<dyn Hear>, Box<dyn Say>);
}

pub trait Hear: Send {
    fn recv(&mut self) -> Option<Message>;
    fn closed(&self) -> Option<Closed>;
}

pub trait Say: Send {
    fn send(&self, message: Message) -> Result<(), Error>;
    fn start_close(&self);
}

/// An adapter with its runtime.
pub trait Net: 'static {
    fn serve(settings: Settings) -> Running;
    fn connect(url: &str, version: Version, others: Versions) -> Result<Box<dyn Talk>, ConnectError>;
    /// The server's side of the handshake on a socket.
    fn accept(socket: TcpStream) -> Box<dyn Talk>;
    /// A connection over a transport in memory, without timers.
    fn over(role: ws_proto::Role, io: crate::wire::Io) -> Box<dyn Talk>;

    fn open(url: &str) -> Box<dyn Talk> {
        Self::connect(url, Version::Rfc6455, Versions::NONE).unwrap()
    }
}

pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A peer without any WebSocket in it, which has done the handshake.
pub fn raw(address: SocketAddr) -> TcpStream {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.write_all(REQUEST).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    tcp
}

/// A runtime of an adapter whose calls are futures.
pub trait Host: Send + 'static {
    type Runtime: Network<Sleep: Sync> + ws_adapter::Transfer<crate::wire::Io>;

    fn block_on<F: Future>(future: F) -> F::Output;
    fn stream(socket: TcpStream) -> <Self::Runtime as Network>::Stream;
}

pub struct OnTokio;
pub struct OnAsyncStd;
pub struct OnSmol;

impl Host for OnTokio {
    type Runtime = ws_tokio::Tokio;

    fn block_on<F: Future>(future: F) -> F::Output {
        static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
        });
        RUNTIME.block_on(future)
    }

    fn stream(socket: TcpStream) -> ws_tokio::NetStream {
        socket.set_nonblocking(true).unwrap();
        tokio::net::TcpStream::from_std(socket).unwrap().into()
    }
}

impl Host for OnAsyncStd {
    type Runtime = ws_async_std::FuturesIo;

    fn block_on<F: Future>(future: F) -> F::Output {
        async_std::task::block_on(future)
    }

    fn stream(socket: TcpStream) -> ws_async_std::NetStream {
        smol::Async::new(socket).unwrap().into()
    }
}

impl Host for OnSmol {
    type Runtime = ws_async_std::FuturesIo;

    fn block_on<F: Future>(future: F) -> F::Output {
        smol::block_on(future)
    }

    fn stream(socket: TcpStream) -> ws_async_std::NetStream {
        smol::Async::new(socket).unwrap().into()
    }
}

struct Held<H: Host, T>(WebSocket<T, H::Runtime>);
struct Hearing<H: Host, T>(Receiver<T, H::Runtime>);
struct Saying<H: Host, T>(Sender<T, H::Runtime>);

impl<H: Host, T: Send + 'static> Talk for Held<H, T>
where
    H::Runtime: ws_adapter::Transfer<T>,
{
    fn recv(&mut self) -> Option<Message> {
        H::block_on(self.0.recv())
    }
    fn send(&mut self, message: Message) -> Result<(), Error> {
        H::block_on(self.0.send(message))
    }
    fn close(&mut self) -> Closed {
        H::block_on(self.0.close(1000, "")).unwrap()
    }
    fn closed(&self) -> Option<Closed> {
        self.0.closed().cloned()
    }
    fn io_error(&self) -> Option<ErrorKind> {
        self.0.io_error().map(std::io::Error::kind)
    }
    fn version(&self) -> Version {
        self.0.negotiated().version
    }
    fn split(self: Box<Self>) -> (Box<dyn Hear>, Box<dyn Say>) {
        let (receiver, sender) = self.0.split();
        (Box::new(Hearing::<H, T>(receiver)), Box::new(Saying::<H, T>(sender)))
    }
}

impl<H: Host, T: Send + 'static> Hear for Hearing<H, T>
where
    H::Runtime: ws_adapter::Transfer<T>,
{
    fn recv(&mut self) -> Option<Message> {
        H::block_on(self.0.recv())
    }
    fn closed(&self) -> Option<Closed> {
        self.0.closed().cloned()
    }
}

impl<H: Host, T: Send + 'static> Say for Saying<H, T>
where
    H::Runtime: ws_adapter::Transfer<T>,
{
    fn send(&self, message: Message) -> Result<(), Error> {
        H::block_on(self.0.send(message))
    }
    fn start_close(&self) {
        self.0.start_close(1000, "").unwrap();
    }
}

/// A timer that any runtime can wait for.
async fn moment(time: Duration) {
    smol::Timer::after(time).await;
}

/// Runs a program; gives how the connection ended and how many bytes came.
async fn run<R: Network>(program: Program, stage: Stage, mut ws: WebSocket<R::Stream, R>) -> (Option<Closed>, usize) {
    let mut bytes = 0;
    match program {
        Program::Echo => {
            while let Some(message) = ws.recv().await {
                bytes += message.len();
                let _ = ws.send(message).await;
            }
        }
        Program::Waits | Program::Busy => {
            while program == Program::Waits && !stage.go.load(Ordering::Acquire) {
                moment(Duration::from_millis(5)).await;
            }
            while let Some(message) = ws.recv().await {
                bytes += message.len();
                if program == Program::Busy {
                    moment(Duration::from_micros(100)).await;
                }
            }
        }
        Program::BothWays(n) => {
            let (mut receiver, sender) = ws.split();
            let sending = async {
                for _ in 0..n {
                    sender.send(vec![1; LARGE]).await.unwrap();
                }
            };
            let receiving = async {
                while let Some(message) = receiver.recv().await {
                    bytes += message.len();
                }
            };
            join(sending, receiving).await;
            return (receiver.closed().cloned(), bytes);
        }
        Program::Pours => {
            while ws.send(vec![1; LARGE]).await.is_ok() {}
            while ws.recv().await.is_some() {}
        }
        Program::Panics => {
            while let Some(message) = ws.recv().await {
                assert_ne!(message.as_text(), Some("panic"), "asked to");
                if let Some(how @ ("split" | "elsewhere")) = message.as_text() {
                    let (mut receiver, sender) = ws.split();
                    sender.send("halves").await.unwrap();
                    if how == "elsewhere" {
                        // The sender lives on.
                        stage.keep(sender.clone());
                    }
                    receiver.recv().await;
                    panic!("in halves");
                }
                ws.send(message).await.unwrap();
            }
        }
    }
    (ws.closed().cloned(), bytes)
}

impl<H: Host> Net for H {
    fn serve(settings: Settings) -> Running {
        let stage = Stage::default();
        let (tell, ends) = mpsc::channel();
        let server = H::block_on(async { Server::<H::Runtime>::bind("127.0.0.1:0").await.unwrap() });
        let server = server
            .acceptor(Acceptor::new(settings.config))
            .max_connections(settings.max_connections)
            .max_pending_handshakes(settings.max_pending_handshakes);
        let (handle, address) = (server.handle(), server.local_addr().unwrap().tcp().unwrap());
        let count = server.handle();
        let (program, theirs) = (settings.program, stage.clone());
        let report = thread::spawn(move || {
            H::block_on(server.serve(move |ws, _| {
                let (stage, tell) = (theirs.clone(), tell.clone());
                async move {
                    if let (Some(closed), bytes) = run::<H::Runtime>(program, stage, ws).await {
                        let _ = tell.send((closed, bytes));
                    }
                }
            }))
        });
        Running {
            address,
            stage,
            ends,
            connections: Box::new(move || count.connections()),
            shutdown: Box::new(move |patience| handle.shutdown(patience)),
            report,
        }
    }

    fn connect(url: &str, version: Version, others: Versions) -> Result<Box<dyn Talk>, ConnectError> {
        let connector = Connector::<H::Runtime>::new(url)?.version(version).versions(others);
        let (ws, _) = H::block_on(connector.connect())?;
        Ok(Box::new(Held::<H, _>(ws)))
    }

    fn accept(socket: TcpStream) -> Box<dyn Talk> {
        let (ws, _) = H::block_on(async { Acceptor::<H::Runtime>::default().accept(H::stream(socket)).await.unwrap() });
        Box::new(Held::<H, _>(ws))
    }

    fn over(role: ws_proto::Role, io: crate::wire::Io) -> Box<dyn Talk> {
        let ws =
            H::block_on(async { WebSocket::<_, H::Runtime>::from_upgraded(io, role, crate::modern(), crate::quiet()) });
        Box::new(Held::<H, _>(ws))
    }
}
