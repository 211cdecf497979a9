//! What connections cost in memory.

mod common;

use std::io::{self, Read, Write};
use std::net::TcpStream as StdStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use alloc_meter::Mark;
use common::{echo_server, frame, pair, patiently, server};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Gives one byte at a time, and allocates nothing.
struct Bytewise {
    bytes: Vec<u8>,
    given: usize,
    wait: bool,
}

impl AsyncRead for Bytewise {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.wait = !self.wait;
        if self.wait {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let given = self.given;
        buf.put_slice(self.bytes.get(given..given + 1).unwrap_or_default());
        self.given += 1;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bytewise {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn threat_026_a_message_in_single_bytes_takes_few_allocations() {
    patiently(async {
        let bytes = frame(0x82, &vec![7; 1024 * 1024]);
        let mut ws = server(Bytewise { bytes, given: 0, wait: false });
        let mark = Mark::now();
        let message = ws.recv().await.unwrap();
        assert_eq!(message.len(), 1024 * 1024);
        let usage = mark.usage();
        assert!(usage.allocations <= 40, "{usage:?}");
        assert!(usage.peak <= 2 * 1024 * 1024 + 64 * 1024 + 4096, "{usage:?}");
    })
    .await;
}

/// Opens a connection from a thread that blocks.
async fn open(address: std::net::SocketAddr) -> StdStream {
    tokio::task::spawn_blocking(move || {
        let mut tcp = StdStream::connect(address).unwrap();
        tcp.write_all(REQUEST).unwrap();
        let mut answer = [0; 1000];
        let n = tcp.read(&mut answer).unwrap();
        assert!(answer[..n].starts_with(b"HTTP/1.1 101 "));
        tcp
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn threat_033_an_idle_connection_takes_less_than_2000_bytes() {
    patiently(async {
        let (handle, address) = echo_server().await;
        let mut idle = Vec::with_capacity(1000);
        for _ in 0..100 {
            idle.push(open(address).await);
        }
        let mark = Mark::now();
        for _ in 0..400 {
            idle.push(open(address).await);
        }
        assert_eq!(handle.connections(), 500);
        let each = mark.usage().live / 400;
        println!("{each} bytes of heap per idle connection, with its task, socket and timer");
        assert!(each <= 2000, "{each}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn threat_034_memory_of_a_large_message_is_given_back() {
    let (mut client, mut server) = pair(100_000);
    // Once, so that what the pipe and the thread keep is there already.
    for round in 0..3 {
        let mark = Mark::now();
        for (from, to) in [(&mut client, &mut server)] {
            let send = async {
                from.send(vec![1; 4 * 1024 * 1024]).await.unwrap();
                // Quiet, and awaited: that is when memory is released.
                tokio::select! { _ = from.recv() => panic!(), () = sleep(Duration::from_secs(3)) => {} }
            };
            let receive = async {
                let message = to.recv().await.unwrap();
                assert_eq!(message.len(), 4 * 1024 * 1024);
                drop(message);
                tokio::select! { _ = to.recv() => panic!(), () = sleep(Duration::from_secs(3)) => {} }
            };
            tokio::join!(send, receive);
        }
        let usage = mark.usage();
        assert!(usage.peak >= 8 * 1024 * 1024, "{usage:?}");
        if round > 0 {
            assert!(usage.live.abs() <= 1024, "{usage:?}");
        }
    }
}
