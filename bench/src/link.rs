//! One connection of the load: a socket, or TLS over it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection};

use crate::tls;

/// More than the plaintext that can be made of what was received in part before.
const PARTIAL: usize = 32 * 1024;

/// A connection of the load. Without blocking or with, as its socket is.
pub struct Link {
    pub socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Link {
    /// The bytes go over the socket as they are.
    pub fn plain(socket: TcpStream) -> Self {
        Self { socket, tls: None }
    }

    /// Does the TLS handshake on a socket that blocks.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub fn encrypted(mut socket: TcpStream, config: Arc<ClientConfig>) -> io::Result<Self> {
        let name = tls::NAME.try_into().map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        // A batch is encrypted whole.
        tls.set_buffer_limit(None);
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Self { socket, tls: Some(Box::new(tls)) })
    }

    /// Takes bytes to be sent, and sends as far as the socket lets it.
    ///
    /// # Errors
    ///
    /// Of the kind `WouldBlock` when nothing was taken.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let Some(tls) = &mut self.tls else {
            return self.socket.write(bytes);
        };
        let n = tls.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(n),
            result => result.map(|()| n),
        }
    }

    /// Sends what was taken.
    ///
    /// # Errors
    ///
    /// Of the kind `WouldBlock` when the socket doesn't let it.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                tls.write_tls(&mut self.socket)?;
            }
        }
        Ok(())
    }

    /// Reads at least one byte. `raw` is room for what is still encrypted.
    ///
    /// # Errors
    ///
    /// Of the kind `WouldBlock` when there is none, `UnexpectedEof` at the end.
    pub fn read(&mut self, bytes: &mut [u8], raw: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.tls {
            None => self.socket.read(bytes)?,
            Some(tls) => loop {
                match tls.reader().read(bytes) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    result => break result?,
                }
                let most = raw.len().min(bytes.len().saturating_sub(PARTIAL).max(1024));
                let n = self.socket.read(&mut raw[..most])?;
                if n == 0 {
                    break 0;
                }
                let n = decrypt(tls, &raw[..n], bytes)?;
                if n > 0 {
                    break n;
                }
            },
        };
        if n == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(n) }
    }

    /// Whether a read of less than there was room for says that there is no more.
    pub fn short_read_is_last(&self) -> bool {
        self.tls.is_none()
    }
}

/// Decrypts what was received, as far as there is room for it; the rest stays in `tls`, which holds no more than a little.
fn decrypt(tls: &mut ClientConnection, mut received: &[u8], bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while !received.is_empty() {
        tls.read_tls(&mut received)?;
        tls.process_new_packets().map_err(io::Error::other)?;
        while filled < bytes.len() {
            match tls.reader().read(&mut bytes[filled..]) {
                Ok(0) => return Ok(filled),
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(filled)
}
