//! Two ends of a TLS connection, without a network.

use std::io::{Read, Write};
use std::sync::Arc;

use ws_adapter::tls::rustls::{ClientConnection, Error, ServerConnection};
use ws_adapter::tls::{ClientTls, ServerTls, TlsInfo};

#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
}

/// What each end has against the other.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) client: Option<Error>,
    pub(crate) server: Option<Error>,
}

impl Failure {
    /// The error of the client, which must be the one that refused.
    pub(crate) fn of_client(self) -> Error {
        assert!(!matches!(self.client, Some(Error::AlertReceived(_))), "{self:?}");
        self.client.unwrap()
    }

    /// The error of the server, which must be the one that refused.
    pub(crate) fn of_server(self) -> Error {
        assert!(!matches!(self.server, Some(Error::AlertReceived(_))), "{self:?}");
        self.server.unwrap()
    }
}

impl Pair {
    /// Before the handshake.
    pub(crate) fn new(client: &ClientTls, server: &ServerTls, host: &str) -> Self {
        let name = client.name_for(host).unwrap();
        Self {
            client: ClientConnection::new(Arc::clone(client.config()), name).unwrap(),
            server: ServerConnection::new(Arc::clone(server.config())).unwrap(),
        }
    }

    /// After the handshake.
    pub(crate) fn connected(client: &ClientTls, server: &ServerTls, host: &str) -> Result<Self, Box<Failure>> {
        let mut pair = Self::new(client, server, host);
        assert_eq!(TlsInfo::of_client(&pair.client), None);
        assert_eq!(TlsInfo::of_server(&pair.server), None);
        pair.run()?;
        assert!(!pair.client.is_handshaking() && !pair.server.is_handshaking());
        Ok(pair)
    }

    /// Lets both talk until they have nothing more to say.
    pub(crate) fn run(&mut self) -> Result<(), Box<Failure>> {
        let (mut client, mut server) = (None, None);
        loop {
            let asked = taken(|out| self.client.write_tls(out));
            if !asked.is_empty() && server.is_none() {
                let mut rest = &asked[..];
                while !rest.is_empty() {
                    self.server.read_tls(&mut rest).unwrap();
                    server = server.or(self.server.process_new_packets().err());
                }
            }
            let answered = taken(|out| self.server.write_tls(out));
            if !answered.is_empty() && client.is_none() {
                client = self.client_receives(&answered).err();
            }
            if asked.is_empty() && answered.is_empty() {
                break;
            }
        }
        if client.is_none() && server.is_none() { Ok(()) } else { Err(Box::new(Failure { client, server })) }
    }

    /// What the client has to say now, given to the server; what that answers.
    pub(crate) fn first_flight(&mut self) -> Vec<u8> {
        let asked = taken(|out| self.client.write_tls(out));
        self.server.read_tls(&mut &asked[..]).unwrap();
        self.server.process_new_packets().unwrap();
        taken(|out| self.server.write_tls(out))
    }

    pub(crate) fn client_receives(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes).unwrap();
            self.client.process_new_packets()?;
        }
        Ok(())
    }

    /// A word each way.
    pub(crate) fn talk(&mut self) {
        self.client.writer().write_all(b"Marco").unwrap();
        self.server.writer().write_all(b"Polo!").unwrap();
        self.run().unwrap();
        let mut heard = [0; 5];
        self.server.reader().read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"Marco");
        self.client.reader().read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"Polo!");
    }

    pub(crate) fn client_info(&self) -> TlsInfo {
        TlsInfo::of_client(&self.client).unwrap()
    }

    pub(crate) fn server_info(&self) -> TlsInfo {
        TlsInfo::of_server(&self.server).unwrap()
    }
}

/// All that `write` has, which gives a part at a time.
fn taken(mut write: impl FnMut(&mut Vec<u8>) -> std::io::Result<usize>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while write(&mut bytes).unwrap() > 0 {}
    bytes
}
