//! Transports that are not this crate's own, and what the crate does for those of the runtimes.
#![cfg(unix)]

mod common;

use std::io::{self, IoSlice};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use async_io::Async;
use common::{both, echo, says, tcp_sockets};
use futures_io::{AsyncRead, AsyncWrite};
use smol::future::{block_on, zip};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use ws_async_std::{
    Acceptor, ByteStream, Config, Connector, Message, Negotiated, NetStream, Role, Version, WebSocket, accept,
};

/// A client and a server over the two ends of something.
async fn over<A, B>(client: A, server: B) -> (WebSocket<A>, WebSocket<B>)
where
    A: AsyncRead + AsyncWrite + Unpin + 'static,
    B: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let connector = Connector::new("ws://localhost/").unwrap();
    let (client, server) = zip(connector.connect_over(client), accept(server)).await;
    (client.unwrap().0, server.unwrap())
}

#[test]
fn any_transport_without_a_runtime() {
    // Neither of async-std nor of smol's reactor: this parks the thread.
    block_on(async {
        let (a, b) = Async::<UnixStream>::pair().unwrap();
        let (mut client, server) = over(a, b).await;
        let talk = async {
            says(&mut client, "anywhere").await;
            assert!(client.close(1000, "").await.unwrap().is_clean());
        };
        zip(talk, echo(server)).await;
    });
}

#[test]
fn streams_of_the_runtimes() {
    both(async |_| {
        let listener = async_std::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = smol::net::TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = zip(connecting, listener.accept()).await;
        let (mut client, server) = over(client.unwrap(), accepted.unwrap().0).await;
        // Each runtime's own type is known where its feature is on.
        let nodelay = server.get_ref().unwrap().nodelay().unwrap();
        assert_eq!(nodelay, cfg!(feature = "async-std"));
        let talk = async {
            says(&mut client, "mixed").await;
            client.close(1000, "").await.unwrap()
        };
        let (closed, ()) = zip(talk, echo(server)).await;
        assert!(closed.is_clean());

        let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = smol::net::TcpStream::connect(listener.local_addr().unwrap());
        let (_client, accepted) = zip(connecting, listener.accept()).await;
        let server = accepted.unwrap().0;
        // The settings are made before the handshake, which is not done here.
        assert!(common::once(Acceptor::default().accept(server.clone())).is_none());
        assert_eq!(server.nodelay().unwrap(), cfg!(feature = "smol"));

        let (a, b) = tcp_sockets().await;
        let (client, server) = over(a, NetStream::from(b)).await;
        assert!(server.get_ref().unwrap().tcp().unwrap().nodelay().unwrap());
        drop(client);
        echo(server).await;
    });
}

/// Counts calls, and how many slices they had.
struct Counting {
    io: Async<UnixStream>,
    calls: AtomicUsize,
    most: AtomicUsize,
}

impl AsyncRead for Counting {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.most.fetch_max(bufs.len(), Ordering::Relaxed);
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

#[test]
fn large_messages_go_out_together_uncopied() {
    both(async |_| {
        let (io, far) = Async::<UnixStream>::pair().unwrap();
        let near = Counting { io, calls: AtomicUsize::new(0), most: AtomicUsize::new(0) };
        let negotiated = || Negotiated::new(Version::Rfc6455);
        let mut ws = WebSocket::from_upgraded(near, Role::Server, negotiated(), Config::default());
        let mut peer = WebSocket::from_upgraded(far, Role::Client, negotiated(), Config::default());
        for n in 0..5 {
            ws.try_send(vec![n; 5000]).unwrap();
        }
        ws.flush().await.unwrap();
        let near = ws.get_ref().unwrap();
        // A head and a payload for each message.
        assert_eq!((near.calls.load(Ordering::Relaxed), near.most.load(Ordering::Relaxed)), (1, 10));
        for n in 0..5 {
            assert_eq!(peer.recv().await, Some(Message::binary(vec![n; 5000])));
        }
    });
}

#[test]
fn a_tunnel() {
    both(async |rt| {
        let (a, b) = tcp_sockets().await;
        let (client, server) = over(NetStream::from(a), NetStream::from(b)).await;
        let far = rt.spawn(async move {
            let (receiver, sender) = server.split();
            let (mut from, mut to) = (ws_async_std::ByteReader::new(receiver), ws_async_std::ByteWriter::new(sender));
            let copied = smol::io::copy(&mut from, &mut to).await.unwrap();
            to.close().await.unwrap();
            copied
        });
        let mut tunnel = ByteStream::new(client);
        let mut back = vec![0; 300_000];
        for n in 0..10 {
            let sent = vec![n; 300_000];
            tunnel.write_all(&sent).await.unwrap();
            tunnel.flush().await.unwrap();
            tunnel.read_exact(&mut back).await.unwrap();
            assert_eq!(back, sent);
        }
        tunnel.close().await.unwrap();
        assert_eq!(tunnel.read(&mut back).await.unwrap(), 0);
        assert_eq!(far.join().await, 3_000_000);
    });
}
