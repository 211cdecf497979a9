//! Sockets of the operating system, watched by `async-io`.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::task::{Context, Poll, ready};

use async_io::Async;

/// A socket that is not read when it is known to be empty.
///
/// The traits of `futures-io` that [`Async`] has try first and wait when that was in vain. A connection mostly reads
/// once, finds all that has arrived, and waits; so every message would cost a read in vain, and mostly two, because an
/// event that was used up by the read before counts as a reason to read again.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    io: Async<S>,
    /// The last read took all there was.
    drained: bool,
}

impl<S> Socket<S> {
    pub(crate) fn new(io: Async<S>) -> Self {
        Self { io, drained: false }
    }

    pub(crate) fn get(&self) -> &S {
        self.io.get_ref()
    }
}

impl<S> Socket<S>
where
    for<'s> &'s S: Read + Write,
{
    #[inline]
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if !self.drained {
                match self.io.get_ref().read(buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Ok(n) => {
                        self.drained = n > 0 && n < buffer.len();
                        return Poll::Ready(Ok(n));
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            // Whoever asks again after this has waited gets a read in any case, whatever woke them.
            self.drained = false;
            ready!(anew(|| self.io.poll_readable(cx)))?;
        }
    }

    #[inline]
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_put(cx, |mut io| io.write(bytes))
    }

    #[inline]
    pub(crate) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_put(cx, |mut io| io.write_vectored(slices))
    }

    #[inline]
    fn poll_put(&mut self, cx: &mut Context<'_>, write: impl Fn(&S) -> io::Result<usize>) -> Poll<io::Result<usize>> {
        loop {
            match write(self.io.get_ref()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            ready!(anew(|| self.io.poll_writable(cx)))?;
        }
    }
}

/// Waits for an event that is not known yet, on a socket that was seen to have nothing.
///
/// The first answer may be an event from before that. Asking again loses none: the operating system is then asked for
/// the state of the socket as it is, not for changes.
pub(crate) fn anew(mut poll: impl FnMut() -> Poll<io::Result<()>>) -> Poll<io::Result<()>> {
    ready!(poll())?;
    poll()
}
