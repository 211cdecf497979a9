//! The adapters for asynchronous runtimes: one engine, so the same words for all.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use ws_adapter::tls::ClientTls;
use ws_adapter::ws_proto::{Config, Message};
use ws_adapter::{Acceptor, Address, Connector, Network, Server, ServerHandle, WebSocket};
use ws_async_std::FuturesIo;
use ws_tokio::Tokio;

use crate::adapter::{Adapter, Places, Settings};
use crate::visits::{self, FATAL, Manner, Place, Random};

/// Runs futures.
trait Executor: Send + Sync {
    fn block_on<F: Future>(&self, future: F) -> F::Output;
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static);
    fn tasks(&self) -> usize;
}

impl Executor for tokio::runtime::Runtime {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        Self::block_on(self, future)
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(Self::spawn(self, future));
    }

    fn tasks(&self) -> usize {
        self.metrics().num_alive_tasks()
    }
}

/// What ws-async-std was built for.
struct Futures;

#[cfg(feature = "async-std")]
impl Executor for Futures {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        async_std::task::block_on(future)
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(async_std::task::spawn(future));
    }

    fn tasks(&self) -> usize {
        0
    }
}

#[cfg(not(feature = "async-std"))]
impl Executor for Futures {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        smol::block_on(future)
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(future).detach();
    }

    fn tasks(&self) -> usize {
        0
    }
}

/// Servers on tokio, with two threads.
pub fn tokio(settings: Settings) -> Result<Box<dyn Adapter>, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    start::<Tokio, _>(runtime.map_err(|error| error.to_string())?, settings)
}

/// Servers on async-std, or on smol.
pub fn async_std(settings: Settings) -> Result<Box<dyn Adapter>, String> {
    start::<FuturesIo, _>(Futures, settings)
}

struct Engine<R: Network, E> {
    executor: E,
    places: Places,
    handles: Vec<ServerHandle>,
    client: ClientTls,
    config: Arc<Config>,
    runtime: std::marker::PhantomData<fn() -> R>,
}

fn start<R: Network, E: Executor + 'static>(executor: E, settings: Settings) -> Result<Box<dyn Adapter>, String> {
    let acceptor = Acceptor::new(settings.config.clone());
    let servers = executor.block_on(async {
        let tcp = Server::<R>::bind("127.0.0.1:0").await?;
        let tls = Server::<R>::bind("127.0.0.1:0").await?.tls(settings.server);
        let unix = Server::<R>::bind_unix(&settings.unix).await?;
        Ok::<_, std::io::Error>([tcp, tls, unix])
    });
    let servers = servers.map_err(|error| error.to_string())?;
    let address = |server: &Server<R>| match server.local_addr() {
        Ok(Address::Tcp(address)) => Ok(address),
        other => Err(format!("{other:?}")),
    };
    let places = Places {
        tcp: address(&servers[0])?,
        tls: address(&servers[1])?,
        unix: settings.unix,
        rubbish: visits::rubbish().map_err(|error| error.to_string())?,
        trust: settings.client.config().clone(),
    };
    let handles = servers.iter().map(Server::handle).collect();
    for server in servers {
        let serving = server.acceptor(acceptor.clone()).serve(|ws, _| echo(ws));
        executor.spawn(async {
            serving.await;
        });
    }
    let (client, config) = (settings.client, settings.config);
    Ok(Box::new(Engine::<R, E> { executor, places, handles, client, config, runtime: std::marker::PhantomData }))
}

async fn echo<T, R: ws_adapter::Transfer<T>>(mut ws: WebSocket<T, R>) {
    while let Some(message) = ws.recv().await {
        if message.as_bytes() == FATAL.as_bytes() {
            // A panic without the noise.
            std::panic::resume_unwind(Box::new(()));
        }
        if ws.send(message).await.is_err() {
            return;
        }
    }
}

impl<R: Network, E: Executor> Adapter for Engine<R, E> {
    fn places(&self) -> &Places {
        &self.places
    }

    fn connections(&self) -> usize {
        self.handles.iter().map(ServerHandle::connections).sum()
    }

    fn tasks(&self) -> usize {
        self.executor.tasks()
    }

    fn visit(&self, place: Place, manner: Manner, random: &mut Random) -> Result<(), String> {
        let connector = self.connector(place, manner)?;
        self.executor.block_on(async {
            if let Manner::Impatient = manner {
                polled(1 + random.below(6), connector.connect()).await;
                return Ok(());
            }
            let connected = connector.connect().await;
            if let Manner::Misled = manner {
                return if connected.is_err() { Ok(()) } else { Err("connected to rubbish".to_owned()) };
            }
            let (ws, _) = connected.map_err(|error| error.to_string())?;
            behave(ws, manner, random).await
        })
    }
}

impl<R: Network, E> Engine<R, E> {
    fn connector(&self, place: Place, manner: Manner) -> Result<Connector<R>, String> {
        let url = |address: SocketAddr, scheme: &str| format!("{scheme}://localhost:{}/", address.port());
        let (url, address) = match (manner, place) {
            (Manner::Misled, Place::Tls) => (url(self.places.rubbish, "wss"), self.places.rubbish.into()),
            (Manner::Misled, _) => (url(self.places.rubbish, "ws"), self.places.rubbish.into()),
            (_, Place::Tcp) => (url(self.places.tcp, "ws"), self.places.tcp.into()),
            (_, Place::Tls) => (url(self.places.tls, "wss"), self.places.tls.into()),
            (_, Place::Unix) => ("ws://localhost/".to_owned(), Address::Unix(Some(self.places.unix.clone()))),
        };
        let connector = Connector::<R>::new(&url).map_err(|error| error.to_string())?;
        Ok(connector.connect_to(address).tls(self.client.clone()).config(self.config.clone()))
    }
}

async fn behave<T, R>(mut ws: WebSocket<T, R>, manner: Manner, random: &mut Random) -> Result<(), String>
where
    T: 'static,
    R: ws_adapter::Transfer<T>,
{
    match manner {
        Manner::Rude => {
            let len = random.len();
            ws.feed(random.bytes(len)).await.map_err(|error| error.to_string())?;
            polled(1 + random.below(3), ws.flush()).await;
            Ok(())
        }
        Manner::Fatal => {
            ws.send(FATAL).await.map_err(|error| error.to_string())?;
            match ws.recv().await {
                None => Ok(()),
                Some(message) => Err(format!("{message:?}")),
            }
        }
        Manner::Split => split(ws, random).await,
        _ => {
            for _ in 0..random.below(4) {
                let len = random.len();
                let bytes = random.bytes(len);
                ws.send(bytes.clone()).await.map_err(|error| error.to_string())?;
                expect(ws.recv().await, &bytes)?;
            }
            ws.close(1000, "").await.map(drop).map_err(|error| error.to_string())
        }
    }
}

async fn split<T, R>(ws: WebSocket<T, R>, random: &mut Random) -> Result<(), String>
where
    T: 'static,
    R: ws_adapter::Transfer<T>,
{
    let (mut receiver, sender) = ws.split();
    let other = sender.clone();
    let len = random.len();
    let bytes = random.bytes(len);
    sender.send(bytes.clone()).await.map_err(|error| error.to_string())?;
    other.send(bytes.clone()).await.map_err(|error| error.to_string())?;
    drop(sender);
    expect(receiver.recv().await, &bytes)?;
    expect(receiver.recv().await, &bytes)
}

fn expect(message: Option<Message>, bytes: &[u8]) -> Result<(), String> {
    match message {
        Some(message) if message.as_bytes() == bytes => Ok(()),
        Some(_) => Err("something else came back".to_owned()),
        None => Err("closed".to_owned()),
    }
}

/// Polls a future up to so many times and drops it.
async fn polled<F: Future>(times: usize, future: F) {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|context| {
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Pending if left > 0 => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
}
