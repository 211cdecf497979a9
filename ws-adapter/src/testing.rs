//! A runtime for the unit tests: tokio's clock, which can be stopped, and peers that do as they are told.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::address::Address;
use crate::runtime::{Network, ReadFrom, Runtime, Transfer};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Testing {}

impl Runtime for Testing {
    type Origin = Instant;
    type Sleep = Pin<Box<Sleep>>;

    fn origin() -> Instant {
        Instant::now()
    }

    fn elapsed(origin: Instant) -> Duration {
        origin.elapsed()
    }

    fn set_timer(slot: &mut Option<Self::Sleep>, origin: Instant, at: Duration) -> bool {
        *slot = Some(Box::pin(tokio::time::sleep_until(origin + at)));
        true
    }

    fn poll_timer(sleep: &mut Self::Sleep, cx: &mut Context<'_>) -> Poll<()> {
        sleep.as_mut().poll(cx)
    }
}

/// A peer that sends pongs without a pause, and takes everything.
#[derive(Debug, Default)]
pub(crate) struct Flood {
    sent: usize,
    pub(crate) taken: Vec<u8>,
}

impl ReadFrom<Flood> for Testing {
    fn poll_read(io: &mut Flood, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let pong = [0x8a, 0x80, 1, 2, 3, 4];
        for slot in &mut *buffer {
            *slot = pong[io.sent % pong.len()];
            io.sent += 1;
        }
        Poll::Ready(Ok(buffer.len()))
    }
}

impl Transfer<Flood> for Testing {
    fn poll_write(io: &mut Flood, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        io.taken.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(io: &mut Flood, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Self::poll_write(io, cx, slices.first().map_or(&[], |slice| &**slice))
    }

    fn is_write_vectored(_: &Flood) -> bool {
        false
    }

    fn poll_flush(_: &mut Flood, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(_: &mut Flood, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A listener that fails some times with the error of a system that has no more file descriptors, then has one
/// connection.
#[derive(Debug, Default)]
pub(crate) struct Failing {
    pub(crate) failures: u32,
    pub(crate) calls: u32,
    pub(crate) connection: Option<Flood>,
}

impl Network for Testing {
    type Stream = Flood;
    type Listener = Failing;

    async fn resolve(_: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(Vec::new())
    }

    async fn dial(_: SocketAddr) -> io::Result<Flood> {
        Ok(Flood::default())
    }

    #[cfg(unix)]
    async fn dial_unix(_: &std::path::Path) -> io::Result<Flood> {
        Ok(Flood::default())
    }

    fn listen(_: std::net::TcpListener) -> io::Result<Failing> {
        Ok(Failing::default())
    }

    #[cfg(unix)]
    fn listen_unix(_: std::os::unix::net::UnixListener) -> io::Result<Failing> {
        Ok(Failing::default())
    }

    fn local_addr(_: &Failing) -> io::Result<Address> {
        Ok(Address::Unix(None))
    }

    fn poll_accept(listener: &mut Failing, _: &mut Context<'_>) -> Poll<io::Result<(Flood, Address)>> {
        listener.calls += 1;
        if listener.calls <= listener.failures {
            return Poll::Ready(Err(io::Error::from_raw_os_error(24)));
        }
        listener.connection.take().map_or(Poll::Pending, |stream| Poll::Ready(Ok((stream, Address::Unix(None)))))
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        tokio::spawn(task);
        Ok(())
    }
}
