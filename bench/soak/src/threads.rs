//! The adapter for threads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ws_adapter::tls::ClientTls;
use ws_blocking::{Acceptor, Address, Config, Connector, Message, Server, ServerHandle, Wait, WebSocket};

use crate::adapter::{Adapter, Places, Settings};
use crate::visits::{self, FATAL, Manner, Place, Random};

struct Threads {
    places: Places,
    handles: Vec<ServerHandle>,
    client: ClientTls,
    config: Arc<Config>,
}

/// Servers with a thread for each connection.
pub fn blocking(settings: Settings) -> Result<Box<dyn Adapter>, String> {
    let acceptor = Acceptor::new(settings.config.clone());
    let bind = || Server::bind("127.0.0.1:0").map_err(|error| error.to_string());
    let unix = Server::bind_unix(&settings.unix).map_err(|error| error.to_string())?;
    let servers = [bind()?, bind()?.tls(settings.server), unix];
    let address = |server: &Server| match server.local_addr() {
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
        let acceptor = acceptor.clone();
        thread::spawn(move || server.acceptor(acceptor).serve(|ws, _| echo(ws)));
    }
    Ok(Box::new(Threads { places, handles, client: settings.client, config: settings.config }))
}

fn echo(mut ws: WebSocket) {
    while let Ok(Some(message)) = ws.recv() {
        if message.as_bytes() == FATAL.as_bytes() {
            // A panic without the noise.
            std::panic::resume_unwind(Box::new(()));
        }
        if ws.send(message).is_err() {
            return;
        }
    }
}

impl Adapter for Threads {
    fn places(&self) -> &Places {
        &self.places
    }

    fn connections(&self) -> usize {
        self.handles.iter().map(ServerHandle::connections).sum()
    }

    fn descriptors(&self) -> usize {
        // Of each server one, by which those are woken that wait for long when the server ends.
        self.handles.len()
    }

    fn visit(&self, place: Place, manner: Manner, random: &mut Random) -> Result<(), String> {
        let mut connector = self.connector(place, manner)?;
        if let Manner::Impatient = manner {
            let soon = Instant::now() + Duration::from_micros(random.below(2000) as u64);
            connector.set_wait(Wait::new().deadline(soon));
            // Either may happen.
            drop(connector.connect());
            return Ok(());
        }
        let connected = connector.connect();
        if let Manner::Misled = manner {
            return if connected.is_err() { Ok(()) } else { Err("connected to rubbish".to_owned()) };
        }
        let (ws, _) = connected.map_err(|error| error.to_string())?;
        behave(ws, manner, random)
    }
}

impl Threads {
    fn connector(&self, place: Place, manner: Manner) -> Result<Connector, String> {
        let url = |address: SocketAddr, scheme: &str| format!("{scheme}://localhost:{}/", address.port());
        let (url, address) = match (manner, place) {
            (Manner::Misled, Place::Tls) => (url(self.places.rubbish, "wss"), self.places.rubbish.into()),
            (Manner::Misled, _) => (url(self.places.rubbish, "ws"), self.places.rubbish.into()),
            (_, Place::Tcp) => (url(self.places.tcp, "ws"), self.places.tcp.into()),
            (_, Place::Tls) => (url(self.places.tls, "wss"), self.places.tls.into()),
            (_, Place::Unix) => ("ws://localhost/".to_owned(), Address::Unix(Some(self.places.unix.clone()))),
        };
        let connector = Connector::new(&url).map_err(|error| error.to_string())?;
        Ok(connector.connect_to(address).tls(self.client.clone()).config(self.config.clone()))
    }
}

fn behave(mut ws: WebSocket, manner: Manner, random: &mut Random) -> Result<(), String> {
    match manner {
        Manner::Rude => {
            let len = random.len();
            ws.feed(random.bytes(len)).map_err(|error| error.to_string())?;
            let soon = Duration::from_micros(random.below(200) as u64);
            ws.set_wait(Wait::new().timeout(soon));
            let _ = ws.flush();
            Ok(())
        }
        Manner::Fatal => {
            ws.send(FATAL).map_err(|error| error.to_string())?;
            match ws.recv() {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        }
        Manner::Split => split(ws, random),
        _ => {
            for _ in 0..random.below(4) {
                let len = random.len();
                let bytes = random.bytes(len);
                ws.send(bytes.clone()).map_err(|error| error.to_string())?;
                expect(ws.recv(), &bytes)?;
            }
            ws.close(1000, "").map(drop).map_err(|error| error.to_string())
        }
    }
}

/// The reader here, a writer on another thread.
fn split(ws: WebSocket, random: &mut Random) -> Result<(), String> {
    let (mut receiver, sender) = ws.split();
    let len = random.len();
    let bytes = random.bytes(len);
    thread::scope(|scope| {
        let sent = scope.spawn(|| {
            let sender = sender;
            let other = sender.clone();
            sender.send(bytes.clone())?;
            other.send(bytes.clone())
        });
        expect(receiver.recv(), &bytes)?;
        expect(receiver.recv(), &bytes)?;
        let sent = sent.join().map_err(|_| "the writer panicked".to_owned())?;
        sent.map_err(|error: ws_blocking::Error| error.to_string())
    })
}

fn expect<E>(message: Result<Option<Message>, E>, bytes: &[u8]) -> Result<(), String> {
    match message {
        Ok(Some(message)) if message.as_bytes() == bytes => Ok(()),
        Ok(Some(_)) => Err("something else came back".to_owned()),
        Ok(None) => Err("closed".to_owned()),
        Err(_) => Err("interrupted".to_owned()),
    }
}
