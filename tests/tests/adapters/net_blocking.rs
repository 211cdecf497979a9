//! The same of the adapter whose calls block.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ws_adapter::{ConnectError, Error};
use ws_blocking::{Acceptor, Connector, NetStream, Receiver, Sender, Server, Transport, WebSocket};
use ws_proto::{Closed, Message, Role, Version, Versions};

use crate::net::{Hear, LARGE, Net, Program, Running, Say, Settings, Stage, Talk};
use crate::poke::sent;
use crate::wire::Io;

pub struct OnThreads;

impl<T: Transport + 'static> Talk for WebSocket<T> {
    fn recv(&mut self) -> Option<Message> {
        Self::recv(self).unwrap()
    }
    fn send(&mut self, message: Message) -> Result<(), Error> {
        sent(Self::send(self, message)).unwrap()
    }
    fn close(&mut self) -> Closed {
        Self::close(self, 1000, "").unwrap()
    }
    fn closed(&self) -> Option<Closed> {
        Self::closed(self).cloned()
    }
    fn io_error(&self) -> Option<ErrorKind> {
        Self::io_error(self).map(std::io::Error::kind)
    }
    fn version(&self) -> Version {
        self.negotiated().version
    }
    fn split(self: Box<Self>) -> (Box<dyn Hear>, Box<dyn Say>) {
        let (receiver, sender) = Self::split(*self);
        (Box::new(receiver), Box::new(sender))
    }
}

impl<T: Transport + 'static> Hear for Receiver<T> {
    fn recv(&mut self) -> Option<Message> {
        Self::recv(self).unwrap()
    }
    fn closed(&self) -> Option<Closed> {
        Self::closed(self).cloned()
    }
}

impl<T: Transport + 'static> Say for Sender<T> {
    fn send(&self, message: Message) -> Result<(), Error> {
        sent(Self::send(self, message)).unwrap()
    }
    fn start_close(&self) {
        Self::start_close(self, 1000, "").unwrap();
    }
}

/// As the other adapters' `run`.
fn run(program: Program, stage: &Stage, mut ws: WebSocket) -> (Option<Closed>, usize) {
    let mut bytes = 0;
    match program {
        Program::Echo => {
            while let Ok(Some(message)) = ws.recv() {
                bytes += message.len();
                let _ = ws.send(message);
            }
        }
        Program::Waits | Program::Busy => {
            while program == Program::Waits && !stage.go.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(5));
            }
            while let Ok(Some(message)) = ws.recv() {
                bytes += message.len();
                if program == Program::Busy {
                    thread::sleep(Duration::from_micros(100));
                }
            }
        }
        Program::BothWays(n) => {
            let (mut receiver, sender) = ws.split();
            thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..n {
                        sender.send(vec![1; LARGE]).unwrap();
                    }
                });
                while let Ok(Some(message)) = receiver.recv() {
                    bytes += message.len();
                }
            });
            return (receiver.closed().cloned(), bytes);
        }
        Program::Pours => {
            while ws.send(vec![1; LARGE]).is_ok() {}
            while let Ok(Some(_)) = ws.recv() {}
        }
        Program::Panics => {
            while let Ok(Some(message)) = ws.recv() {
                assert_ne!(message.as_text(), Some("panic"), "asked to");
                if let Some(how @ ("split" | "elsewhere")) = message.as_text() {
                    let (mut receiver, sender) = ws.split();
                    sender.send("halves").unwrap();
                    if how == "elsewhere" {
                        stage.keep(sender.clone());
                    }
                    receiver.recv().unwrap();
                    panic!("in halves");
                }
                ws.send(message).unwrap();
            }
        }
    }
    (ws.closed().cloned(), bytes)
}

impl Net for OnThreads {
    fn serve(settings: Settings) -> Running {
        let stage = Stage::default();
        let (tell, ends) = mpsc::channel();
        let server = Server::bind("127.0.0.1:0")
            .unwrap()
            .acceptor(Acceptor::new(settings.config))
            .max_connections(settings.max_connections)
            .max_pending_handshakes(settings.max_pending_handshakes);
        let (handle, address) = (server.handle(), server.local_addr().unwrap().tcp().unwrap());
        let count = server.handle();
        let (program, theirs) = (settings.program, stage.clone());
        let report = thread::spawn(move || {
            server.serve(move |ws, _| {
                if let (Some(closed), bytes) = run(program, &theirs, ws) {
                    let _ = tell.send((closed, bytes));
                }
            })
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
        let (ws, _) = Connector::new(url)?.version(version).versions(others).connect()?;
        Ok(Box::new(ws))
    }

    fn accept(socket: TcpStream) -> Box<dyn Talk> {
        let (ws, _) = Acceptor::default().accept(NetStream::from(socket)).unwrap();
        Box::new(ws)
    }

    fn over(role: Role, io: Io) -> Box<dyn Talk> {
        Box::new(WebSocket::from_upgraded(io, role, crate::modern(), crate::quiet()))
    }
}
