//! A connection as a stream of bytes: what comes and goes in binary messages, without their bounds.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use ws_proto::bytes::{Buf, Bytes};
use ws_proto::connection::Event;
use ws_proto::{CloseCode, Closed, Kind, SendError};

use crate::error::Error;
use crate::runtime::{Runtime, Transfer};
use crate::split::{Receiver, Sender};
use crate::websocket::WebSocket;

/// The most bytes that one write puts into a message.
const MESSAGE: usize = 64 * 1024;

/// A [`WebSocket`] as a stream of bytes.
///
/// Reading gives the payload of binary messages, one after the other. Text is an error of kind `InvalidData`. The end of
/// the stream is the peer's Close with 1000 or 1001, or without a code; a connection that ends otherwise is an error of
/// kind `UnexpectedEof`, of which the source is [`Error::Ended`].
///
/// Each write becomes a binary message of at most 64 KiB, and is passed to the transport at once as far as that takes it.
/// Shutting down sends a Close with 1000. Go on reading then until the end, for that completes the closing handshake. A
/// WebSocket can't be closed by half: the peer answers with its own Close at once and can send nothing after that. So
/// shut down when the other direction has said all it has to say, or don't mind.
///
/// The adapters implement the traits for reading and writing of their runtime for it.
#[derive(Debug)]
pub struct ByteStream<T, R: Runtime> {
    ws: WebSocket<T, R>,
    rest: Bytes,
}

impl<T, R: Transfer<T>> ByteStream<T, R> {
    /// A view of `ws`.
    #[must_use]
    pub fn new(ws: WebSocket<T, R>) -> Self {
        Self { ws, rest: Bytes::new() }
    }

    /// The connection. What was received of a message and not read is lost.
    #[must_use]
    pub fn into_inner(self) -> WebSocket<T, R> {
        self.ws
    }

    /// The connection.
    #[must_use]
    pub fn get_ref(&self) -> &WebSocket<T, R> {
        &self.ws
    }

    /// Reads into `buffer`; 0 is the end.
    ///
    /// # Errors
    /// As [`ByteStream`] says.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(n) = from_rest(&mut self.rest, buffer) {
            return Poll::Ready(Ok(n));
        }
        let rest = &mut self.rest;
        match ready!(self.ws.poll_recv_with(cx, &mut |event| from_event(event, buffer, rest))) {
            Some(result) => Poll::Ready(result),
            None => Poll::Ready(at_end(self.ws.closed())),
        }
    }

    /// Queues some of `bytes` as a message and begins to write it; says how many.
    ///
    /// # Errors
    /// `BrokenPipe` once the connection is closing, and what [`Error`] says.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.ws.poll_room(cx)).map_err(broken)?;
        let n = queued(bytes, |piece| self.ws.try_send(piece)).map_err(broken)?;
        // What does not go now goes with the next call.
        let _ = self.ws.poll_written(cx);
        Poll::Ready(Ok(n))
    }

    /// Writes what is queued.
    ///
    /// # Errors
    /// `BrokenPipe` if the transport takes nothing more and something is left.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(self.ws.poll_written(cx));
        Poll::Ready(flushed(result, self.ws.half().buffered()))
    }

    /// Sends a Close with 1000 and writes what is queued.
    ///
    /// # Errors
    /// None: a connection that has ended already is as good.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.ws.start_close(CloseCode::NORMAL, "");
        self.ws.poll_written(cx).map(|_| Ok(()))
    }
}

/// The half of a [`ByteStream`] that reads; it is to be read to its end, as a [`Receiver`] is.
#[derive(Debug)]
pub struct ByteReader<T, R: Runtime> {
    receiver: Receiver<T, R>,
    rest: Bytes,
}

impl<T, R: Transfer<T>> ByteReader<T, R> {
    /// A view of `receiver`.
    #[must_use]
    pub fn new(receiver: Receiver<T, R>) -> Self {
        Self { receiver, rest: Bytes::new() }
    }

    /// The receiver. What was received of a message and not read is lost.
    #[must_use]
    pub fn into_inner(self) -> Receiver<T, R> {
        self.receiver
    }

    /// Reads into `buffer`; 0 is the end.
    ///
    /// # Errors
    /// As [`ByteStream`] says.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(n) = from_rest(&mut self.rest, buffer) {
            return Poll::Ready(Ok(n));
        }
        let rest = &mut self.rest;
        match ready!(self.receiver.poll_recv_with(cx, &mut |event| from_event(event, buffer, rest))) {
            Some(result) => Poll::Ready(result),
            None => Poll::Ready(at_end(self.receiver.closed())),
        }
    }
}

/// The half of a [`ByteStream`] that writes.
#[derive(Debug)]
pub struct ByteWriter<T, R: Runtime> {
    sender: Sender<T, R>,
}

impl<T, R: Transfer<T>> ByteWriter<T, R> {
    /// A view of `sender`.
    #[must_use]
    pub fn new(sender: Sender<T, R>) -> Self {
        Self { sender }
    }

    /// The sender.
    #[must_use]
    pub fn into_inner(self) -> Sender<T, R> {
        self.sender
    }

    /// Queues some of `bytes` as a message and begins to write it; says how many.
    ///
    /// # Errors
    /// As [`ByteStream::poll_write`].
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.sender.poll_sink(cx, false)).map_err(broken)?;
            match queued(bytes, |piece| self.sender.try_send(piece)) {
                // Another sender took the room.
                Err(Error::Full) => {}
                Err(error) => return Poll::Ready(Err(broken(error))),
                Ok(n) => {
                    let _ = self.sender.poll_sink(cx, true);
                    return Poll::Ready(Ok(n));
                }
            }
        }
    }

    /// Writes what is queued.
    ///
    /// # Errors
    /// `BrokenPipe` if the transport takes nothing more and something is left.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(self.sender.poll_sink(cx, true));
        Poll::Ready(flushed(result, self.sender.buffered()))
    }

    /// Sends a Close with 1000 and writes what is queued.
    ///
    /// # Errors
    /// None: a connection that has ended already is as good.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.sender.start_close(CloseCode::NORMAL, "");
        self.sender.poll_sink(cx, true).map(|_| Ok(()))
    }
}

/// What is left of the last message; `None` if that is nothing.
fn from_rest(rest: &mut Bytes, buffer: &mut [u8]) -> Option<usize> {
    if buffer.is_empty() {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let n = rest.len().min(buffer.len());
    if let Some(part) = buffer.get_mut(..n) {
        rest.copy_to_slice(part);
    }
    if rest.is_empty() {
        // So that the memory of the message goes.
        *rest = Bytes::new();
    }
    Some(n)
}

/// Takes as much of a message as there is room for, and keeps the rest. Empty messages say nothing.
fn from_event(event: Event<'_>, buffer: &mut [u8], rest: &mut Bytes) -> Option<io::Result<usize>> {
    let payload = match event {
        Event::Binary(payload) if payload.is_empty() => return None,
        Event::Binary(payload) => match buffer.get_mut(..payload.len()) {
            Some(room) => {
                room.copy_from_slice(&payload);
                return Some(Ok(payload.len()));
            }
            None => payload.into_bytes(),
        },
        Event::Text(_) => return Some(Err(text())),
        // Told once, however many pieces it has.
        Event::Chunk(chunk) if chunk.kind == Kind::Text => return chunk.first.then(|| Err(text())),
        Event::Chunk(chunk) if chunk.data.is_empty() => return None,
        Event::Chunk(chunk) => Bytes::copy_from_slice(&chunk.data),
        _ => return None,
    };
    *rest = payload;
    from_rest(rest, buffer).map(Ok)
}

fn text() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "a text message in a stream of bytes")
}

fn at_end(closed: Option<&Closed>) -> io::Result<usize> {
    match closed {
        Some(closed) if !is_good(closed) => {
            Err(io::Error::new(ErrorKind::UnexpectedEof, Error::Ended(Box::new(closed.clone()))))
        }
        _ => Ok(0),
    }
}

/// Whether all that the peer wanted to say has arrived.
fn is_good(closed: &Closed) -> bool {
    closed.is_clean() && matches!(closed.code(), CloseCode::NORMAL | CloseCode::GOING_AWAY | CloseCode::NO_STATUS)
}

fn queued<'b>(bytes: &'b [u8], send: impl FnOnce(&'b [u8]) -> Result<(), SendError<&'b [u8]>>) -> Result<usize, Error> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let piece = bytes.get(..MESSAGE).unwrap_or(bytes);
    send(piece)?;
    Ok(piece.len())
}

/// At the end it is no fault that nothing can be written, if there is nothing to write.
fn flushed(result: Result<(), Error>, left: usize) -> io::Result<()> {
    result.or_else(|error| if left == 0 { Ok(()) } else { Err(broken(error)) })
}

fn broken(error: Error) -> io::Error {
    let kind = match error {
        Error::Closed | Error::Ended(_) => ErrorKind::BrokenPipe,
        Error::Unsupported(_) => ErrorKind::Unsupported,
        _ => ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
