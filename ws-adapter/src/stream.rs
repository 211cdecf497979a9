//! `Stream` and `Sink`, for the combinators of the `futures` crates.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;
use ws_proto::{CloseCode, Message, SendError};

use crate::error::Error;
use crate::incoming::In;
use crate::runtime::{Runtime, Transfer};
use crate::split::{Receiver, Sender};
use crate::websocket::WebSocket;

/// At the end: one error, unless the connection ended by a closing handshake.
fn end<R: Runtime>(inn: &mut In<R>) -> Option<Result<Message, Error>> {
    if inn.told {
        return None;
    }
    inn.told = true;
    let closed = inn.closed.as_ref()?;
    (!closed.is_clean()).then(|| Err(Error::Ended(closed.clone())))
}

/// Whole messages. At the end comes one [`Error::Ended`], unless the connection was closed by a closing handshake.
impl<T, R: Transfer<T>> Stream for WebSocket<T, R> {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match ready!(self.poll_recv(cx)) {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => Poll::Ready(end(self.incoming())),
        }
    }
}

impl<T, R: Transfer<T>> FusedStream for WebSocket<T, R> {
    fn is_terminated(&self) -> bool {
        self.is_told()
    }
}

/// Whole messages. At the end comes one [`Error::Ended`], unless the connection was closed by a closing handshake.
impl<T, R: Transfer<T>> Stream for Receiver<T, R> {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match ready!(self.poll_recv(cx)) {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => Poll::Ready(end(&mut self.inn)),
        }
    }
}

impl<T, R: Transfer<T>> FusedStream for Receiver<T, R> {
    fn is_terminated(&self) -> bool {
        self.inn.told
    }
}

fn sent(result: Result<(), SendError<Message>>) -> Result<(), Error> {
    result.map_err(|error| match error {
        SendError::Full(_) => Error::Full,
        error => error.into(),
    })
}

/// Closing what is closed already is no error.
fn done(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::Closed) => Ok(()),
        result => result,
    }
}

/// `poll_close` sends a Close with 1000; the stream then tells when the connection has ended.
impl<T, R: Transfer<T>> Sink<Message> for WebSocket<T, R> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_room(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        sent(self.try_send(message))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_written(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let _ = self.start_close(CloseCode::NORMAL, "");
        self.poll_written(cx).map(done)
    }
}

/// `poll_close` sends a Close with 1000; the receiver then tells when the connection has ended.
impl<T, R: Transfer<T>> Sink<Message> for Sender<T, R> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_sink(cx, false)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        sent(self.try_send(message))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_sink(cx, true)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let _ = self.start_close(CloseCode::NORMAL, "");
        self.poll_sink(cx, true).map(done)
    }
}
