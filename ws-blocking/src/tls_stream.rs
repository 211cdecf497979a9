//! TLS over a socket. rustls does no I/O of its own; here it gets it.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use crate::park;
use crate::socket::Socket;

/// Reads in a row that bring nothing before others get their turn.
const VAIN: usize = 64;
/// Bytes that are read from the socket at a time.
const READ: usize = 32 * 1024;
/// Bytes that are encrypted before they are written.
const WRITE: usize = 64 * 1024;

/// A socket that speaks TLS.
pub(crate) struct TlsStream {
    socket: Arc<Socket>,
    tls: Connection,
    /// Read from the socket, and more than could be decrypted for the one who was reading then.
    left: Vec<u8>,
    /// Why nothing more can be decrypted, if that was not told yet.
    failure: Option<io::Error>,
    goodbye: bool,
}

impl TlsStream {
    pub(crate) async fn connect(
        socket: Arc<Socket>,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let tls = ClientConnection::new(config, name).map_err(invalid)?;
        Self::shake_hands(socket, tls.into()).await
    }

    pub(crate) async fn accept(socket: Arc<Socket>, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tls = ServerConnection::new(config).map_err(invalid)?;
        Self::shake_hands(socket, tls.into()).await
    }

    async fn shake_hands(socket: Arc<Socket>, mut tls: Connection) -> io::Result<Self> {
        tls.set_buffer_limit(Some(WRITE));
        let mut stream = Self { socket, tls, left: Vec::new(), failure: None, goodbye: false };
        poll_fn(|_| stream.poll_handshake()).await?;
        Ok(stream)
    }

    fn poll_handshake(&mut self) -> Poll<io::Result<()>> {
        loop {
            let written = self.poll_written()?;
            if !self.tls.is_handshaking() {
                return written.map(Ok);
            }
            if ready!(self.poll_feed())? == 0 && self.tls.is_handshaking() {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    pub(crate) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    pub(crate) fn tls(&self) -> &Connection {
        &self.tls
    }

    /// Reads what is decrypted. The end without a close_notify is an error of the kind `UnexpectedEof`.
    ///
    /// A peer may send records without end that have nothing in them. Now and then the caller gets to look at the clock.
    pub(crate) fn poll_read(&mut self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut filled = 0;
        for _ in 0..VAIN {
            let room = buffer.get_mut(filled..).unwrap_or_default();
            match self.tls.reader().read(room) {
                // Nothing, where there is room, is the end.
                Ok(0) => return Poll::Ready(Ok(filled)),
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // After something, it shows again.
                Err(error) => return Poll::Ready(if filled > 0 { Ok(filled) } else { Err(error) }),
            }
            if filled > 0 && (self.left.is_empty() || filled == buffer.len() || self.failure.is_some()) {
                return Poll::Ready(Ok(filled));
            }
            if let Some(error) = self.failure.take() {
                return Poll::Ready(Err(error));
            }
            // What was decrypted before it failed is still good.
            if let Err(error) = ready!(self.poll_feed()) {
                self.failure = Some(error);
            }
        }
        if filled > 0 {
            return Poll::Ready(Ok(filled));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Gives rustls something to decrypt, and says how much; 0 is the end of the stream below.
    fn poll_feed(&mut self) -> Poll<io::Result<usize>> {
        let fed = if self.left.is_empty() { self.poll_feed_read() } else { Poll::Ready(self.feed_left()) };
        // There may be an answer to give: an alert, a new key. If it can't be written now, it is tried again when it
        // can, and goes before all else in any case.
        if self.tls.wants_write() {
            let _ = self.poll_written();
        }
        fed
    }

    fn poll_feed_read(&mut self) -> Poll<io::Result<usize>> {
        park::with_scratch(READ, |scratch| {
            let n = ready!(self.socket.poll_read(scratch))?;
            let read = scratch.get(..n).unwrap_or_default();
            let used = feed(&mut self.tls, read)?;
            self.left = read.get(used..).unwrap_or_default().to_vec();
            Poll::Ready(Ok(n))
        })
    }

    fn feed_left(&mut self) -> io::Result<usize> {
        let mut left = mem::take(&mut self.left);
        let used = feed(&mut self.tls, &left)?;
        if used < left.len() {
            left.drain(..used);
            self.left = left;
        }
        Ok(used)
    }

    /// Writes what is encrypted.
    fn poll_written(&mut self) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Tries(&self.socket)) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_put(&mut self, put: impl FnOnce(&mut Connection) -> io::Result<usize>) -> Poll<io::Result<usize>> {
        // What was taken before goes first, so that no more than one write's worth is kept here.
        ready!(self.poll_written())?;
        let n = put(&mut self.tls)?;
        match self.poll_written() {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(n)),
        }
    }

    pub(crate) fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_put(|tls| tls.writer().write(bytes))
    }

    pub(crate) fn poll_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_put(|tls| tls.writer().write_vectored(slices))
    }

    pub(crate) fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        self.poll_written()
    }

    /// Says goodbye, and ends the writing side of the socket.
    pub(crate) fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        if !self.goodbye {
            self.tls.send_close_notify();
            self.goodbye = true;
        }
        ready!(self.poll_written())?;
        Poll::Ready(self.socket.shutdown_write())
    }
}

/// Decrypts as much of `bytes` as rustls has room for.
fn feed(tls: &mut Connection, bytes: &[u8]) -> io::Result<usize> {
    let mut rest = bytes;
    loop {
        // Nothing at all says that the stream has ended.
        let n = tls.read_tls(&mut rest)?;
        let state = tls.process_new_packets().map_err(invalid)?;
        // It refuses to read on while it holds this much.
        if n == 0 || rest.is_empty() || state.plaintext_bytes_to_read() > 0 {
            return Ok(bytes.len() - rest.len());
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// Writes to the socket without waiting.
struct Tries<'s>(&'s Arc<Socket>);

impl Write for Tries<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        tried(self.0.poll_write(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        tried(self.0.poll_write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tried(polled: Poll<io::Result<usize>>) -> io::Result<usize> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
