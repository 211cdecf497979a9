//! A tokio task that sends back the bytes it reads: what a WebSocket echo on tokio can't be faster
//! than. All connections share one buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::{Peer, Side, accept_each};

pub const PEER: Peer = Peer {
    name: "raw-tokio",
    side: Side::Reference,
    receive: None,
    send: None,
    handshake: None,
    serve: Some(|listener| Box::pin(accept_each(listener, echo))),
    compressed: None,
};

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 * 1024]);
}

async fn echo(mut stream: TcpStream) {
    while let Ok(Some(rest)) = poll_fn(|context| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut stream).poll_read(context, &mut buffer))?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Poll::Ready(Ok::<_, io::Error>(None));
            }
            let written = match Pin::new(&mut stream).poll_write(context, bytes) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            Poll::Ready(Ok(Some(bytes[written..].to_vec())))
        })
    })
    .await
    {
        if !rest.is_empty() && stream.write_all(&rest).await.is_err() {
            return;
        }
    }
}
