//! A message out of anything that can be read, without holding it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use ws_proto::connection::{MessageWriter, Sender as Half};
use ws_proto::{Kind, SendError};

use crate::error::Error;
use crate::pool;
use crate::runtime::{ReadFrom, Transfer};
use crate::split::Sender;
use crate::websocket::WebSocket;

/// Why a message was not sent to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendReaderError {
    /// The source could not be read. If this happened in the middle of the message, the message is still open, and the
    /// connection is good for nothing but to be closed.
    Read(io::Error),
    /// The connection did not take it.
    Send(Error),
}

impl fmt::Display for SendReaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "the source could not be read: {error}"),
            Self::Send(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendReaderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            Self::Send(error) => Some(error),
        }
    }
}

impl From<Error> for SendReaderError {
    fn from(error: Error) -> Self {
        Self::Send(error)
    }
}

/// What a piece of the source was good for.
enum Piece {
    /// So many bytes are queued.
    Queued(usize),
    End,
}

/// Reads once and hands on what there is. No memory is held while the source has nothing.
fn poll_piece<S, R: ReadFrom<S>>(
    source: &mut S,
    cx: &mut Context<'_>,
    mut write: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Poll<Result<Piece, SendReaderError>> {
    let mut buffer = pool::take();
    let result = match R::poll_read(source, cx, &mut buffer) {
        Poll::Pending => None,
        Poll::Ready(Ok(0)) => Some(Ok(Piece::End)),
        Poll::Ready(Ok(n)) => Some(match buffer.get(..n) {
            Some(piece) => write(piece).map(|()| Piece::Queued(n)).map_err(SendReaderError::Send),
            None => Err(SendReaderError::Read(io::ErrorKind::InvalidData.into())),
        }),
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
            cx.waker().wake_by_ref();
            None
        }
        Poll::Ready(Err(error)) => Some(Err(SendReaderError::Read(error))),
    };
    pool::give(buffer);
    match result {
        Some(result) => Poll::Ready(result),
        None => Poll::Pending,
    }
}

fn open(half: &mut Half) -> Result<MessageWriter<'_>, Error> {
    // Somebody else has finished it, if there is none: that can't happen while this one is being sent.
    half.resume_message().ok_or(Error::Closed)
}

/// What the two kinds of sending have in common: the way to the core's half, and writing what is queued.
trait Way {
    fn half<U>(&mut self, f: impl FnOnce(&mut Half) -> U) -> U;
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;
}

/// Each piece is written before the next one is read, so that no more than one is held.
async fn send<S, R: ReadFrom<S>>(way: &mut impl Way, kind: Kind, mut source: S) -> Result<u64, SendReaderError> {
    loop {
        match way.half(|half| half.start_message(kind).map(drop)) {
            Ok(()) => break,
            Err(SendError::Full(())) => poll_fn(|cx| way.poll_written(cx)).await?,
            Err(error) => return Err(Error::from(error).into()),
        }
    }
    let mut sent = 0;
    loop {
        let piece = poll_fn(|cx| {
            ready!(way.poll_written(cx))?;
            poll_piece::<S, R>(&mut source, cx, |piece| way.half(|half| Ok(open(half)?.write(piece)?)))
        });
        match piece.await? {
            Piece::Queued(n) => sent += n as u64,
            Piece::End => break,
        }
    }
    way.half(|half| Ok::<_, Error>(open(half)?.finish(&[])?))?;
    poll_fn(|cx| way.poll_written(cx)).await?;
    Ok(sent)
}

impl<T, R: Transfer<T>> Way for WebSocket<T, R> {
    fn half<U>(&mut self, f: impl FnOnce(&mut Half) -> U) -> U {
        f(self.half())
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_written(cx)
    }
}

impl<T, R: Transfer<T>> Way for Sender<T, R> {
    fn half<U>(&mut self, f: impl FnOnce(&mut Half) -> U) -> U {
        Sender::half(self, f)
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_sink(cx, true)
    }
}

impl<T, R: Transfer<T>> WebSocket<T, R> {
    /// Sends all that `source` has as one message, in pieces as it can be read, each a frame (RFC 6455 section 5.4).
    /// Gives the number of bytes.
    ///
    /// At most one piece of 64 KiB is in memory; none while the source has nothing. The peer must take messages of
    /// that size. Nothing is received meanwhile: [`split`](WebSocket::split) the connection if it takes long.
    ///
    /// # Errors
    /// [`SendReaderError`]. After an error in the middle of the message it can't be completed: close the connection.
    ///
    /// # Cancel safety
    /// Not cancel-safe: when the future is dropped in the middle, the message stays open, and until it is finished by
    /// [`WebSocket::resume_message`] nothing else can be sent but a Close.
    ///
    /// ```
    /// # async fn example(mut ws: ws_tokio::WebSocket) -> Result<(), Box<dyn std::error::Error>> {
    /// use ws_tokio::Kind;
    /// let source = std::io::Cursor::new(vec![7; 1_000_000]); // or a file
    /// assert_eq!(ws.send_reader(Kind::Binary, source).await?, 1_000_000);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_reader<S>(&mut self, kind: Kind, source: S) -> Result<u64, SendReaderError>
    where
        R: ReadFrom<S>,
    {
        send::<S, R>(self, kind, source).await
    }
}

impl<T, R: Transfer<T>> Sender<T, R> {
    /// Sends all that `source` has as one message; see [`WebSocket::send_reader`].
    ///
    /// Until it is done other senders get [`Error::MessageOpen`].
    ///
    /// # Errors
    /// As [`WebSocket::send_reader`].
    ///
    /// # Cancel safety
    /// Not cancel-safe: when the future is dropped in the middle, the message stays open, and nothing else can be sent
    /// but a Close.
    pub async fn send_reader<S>(&self, kind: Kind, source: S) -> Result<u64, SendReaderError>
    where
        R: ReadFrom<S>,
    {
        send::<S, R>(&mut self.clone(), kind, source).await
    }
}
