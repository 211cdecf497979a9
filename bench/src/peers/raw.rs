//! Sends back the bytes it reads: what a WebSocket echo can't be faster than on that runtime, or over that runtime's
//! TLS. Connections share a buffer; a thread has one of its own.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::AsyncWriteExt as _;
use futures_util::io::{AsyncRead as FuturesRead, AsyncWrite as FuturesWrite};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::{Family, Peer, Side};
use crate::runtimes::{on_async_std, on_smol, on_threads, on_tokio};

pub const TOKIO: Peer = Peer::server("raw-tokio", Side::Reference, Family::Tokio, |listening| {
    on_tokio::either(listening, tokio_echo, tokio_echo);
});

pub const ASYNC_STD: Peer = Peer::server("raw-async-std", Side::Reference, Family::AsyncStd, |listening| {
    on_async_std::either(listening, futures_echo, futures_echo);
});

pub const SMOL: Peer = Peer::server("raw-smol", Side::Reference, Family::Smol, |listening| {
    on_smol::either(listening, futures_echo, futures_echo);
});

pub const THREADS: Peer = Peer::server("raw-threads", Side::Reference, Family::Threads, |listening| {
    on_threads::either(listening, thread_echo, thread_echo);
});

const BUFFER_LEN: usize = 256 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_LEN]);
}

async fn tokio_echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    while let Ok(Some(rest)) = poll_fn(|context| tokio_step(Pin::new(&mut stream), context)).await {
        if !rest.is_empty() && stream.write_all(&rest).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// Reads once and writes what was read; gives what could not be written, `None` at the end.
fn tokio_step<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: Pin<&mut S>,
    context: &mut Context<'_>,
) -> Poll<io::Result<Option<Vec<u8>>>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        ready!(stream.as_mut().poll_read(context, &mut buffer))?;
        let bytes = buffer.filled();
        if bytes.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let written = match stream.poll_write(context, bytes) {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        Poll::Ready(Ok(Some(bytes[written..].to_vec())))
    })
}

async fn futures_echo<S: FuturesRead + FuturesWrite + Unpin>(mut stream: S) {
    while let Ok(Some(rest)) = poll_fn(|context| futures_step(Pin::new(&mut stream), context)).await {
        if !rest.is_empty() && stream.write_all(&rest).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

fn futures_step<S: FuturesRead + FuturesWrite + Unpin>(
    mut stream: Pin<&mut S>,
    context: &mut Context<'_>,
) -> Poll<io::Result<Option<Vec<u8>>>> {
    BUFFER.with_borrow_mut(|buffer| {
        let n = ready!(stream.as_mut().poll_read(context, buffer))?;
        if n == 0 {
            return Poll::Ready(Ok(None));
        }
        let written = match stream.poll_write(context, &buffer[..n]) {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        Poll::Ready(Ok(Some(buffer[written..n].to_vec())))
    })
}

fn thread_echo<S: Read + Write>(mut stream: S) {
    let mut buffer = vec![0; BUFFER_LEN];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..n]).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}
