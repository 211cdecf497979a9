//! futures-io and async-io, as the adapters' common part sees them.

use std::any::Any;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use futures_io::{AsyncRead, AsyncWrite};
use ws_adapter::{ReadFrom, Runtime, Transfer};

use crate::net::NetStream;

/// Stands for the runtime of a connection. It holds nothing; programs never need to name it.
///
/// Transports are those of `futures-io`, time is that of `async-io`, which needs no runtime.
#[derive(Clone, Copy, Debug)]
pub enum FuturesIo {}

/// A timer.
#[derive(Debug)]
pub struct Sleep {
    timer: Timer,
    due: bool,
}

impl Runtime for FuturesIo {
    type Origin = Instant;
    type Sleep = Sleep;

    fn origin() -> Instant {
        Instant::now()
    }

    #[inline]
    fn elapsed(origin: Instant) -> Duration {
        origin.elapsed()
    }

    fn set_timer(slot: &mut Option<Sleep>, origin: Instant, at: Duration) -> bool {
        let Some(when) = origin.checked_add(at) else { return false };
        match slot {
            Some(sleep) => {
                sleep.timer.set_at(when);
                sleep.due = false;
            }
            None => *slot = Some(Sleep { timer: Timer::at(when), due: false }),
        }
        true
    }

    fn poll_timer(sleep: &mut Sleep, cx: &mut Context<'_>) -> Poll<()> {
        if !sleep.due {
            ready!(Pin::new(&mut sleep.timer).poll(cx));
            // It looks at the clock, not at what the reactor has seen. After a long pause of the program there may be
            // input that nobody has looked for: a socket that was known to be empty is read the second time it is
            // asked, so the timer rings then.
            sleep.due = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn set_nodelay(transport: &dyn Any) {
        // It only makes things slower if it fails.
        let _ = if let Some(tcp) = transport.downcast_ref::<NetStream>() {
            tcp.tcp().map(|tcp| tcp.set_nodelay(true))
        } else if let Some(tcp) = transport.downcast_ref::<Async<std::net::TcpStream>>() {
            Some(tcp.get_ref().set_nodelay(true))
        } else {
            set_nodelay_of_runtime(transport)
        };
    }
}

/// The same for the TCP streams of the runtimes.
fn set_nodelay_of_runtime(transport: &dyn Any) -> Option<io::Result<()>> {
    #[cfg(feature = "async-std")]
    if let Some(tcp) = transport.downcast_ref::<async_std::net::TcpStream>() {
        return Some(tcp.set_nodelay(true));
    }
    #[cfg(feature = "smol")]
    if let Some(tcp) = transport.downcast_ref::<smol::net::TcpStream>() {
        return Some(tcp.set_nodelay(true));
    }
    let _ = transport;
    None
}

impl<T: AsyncRead + Unpin> ReadFrom<T> for FuturesIo {
    #[inline]
    fn poll_read(io: &mut T, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(io).poll_read(cx, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Transfer<T> for FuturesIo {
    #[inline]
    fn poll_write(io: &mut T, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(io).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(io: &mut T, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(_: &T) -> bool {
        // The traits don't tell. One that only takes the first slice costs nothing but a short list.
        true
    }

    fn poll_flush(io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(io).poll_flush(cx)
    }

    fn poll_shutdown(io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(io).poll_close(cx)
    }
}
