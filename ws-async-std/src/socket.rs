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
    /// Reads since the task last waited.
    streak: u32,
}

/// After so many reads a task lets others run. What reads from a socket may do so until it has something to tell, and a
/// peer can send without end what is not worth telling, such as empty records of TLS.
const STREAK: u32 = 64;

impl<S> Socket<S> {
    pub(crate) fn new(io: Async<S>) -> Self {
        Self { io, drained: false, streak: 0 }
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
                if self.streak >= STREAK {
                    self.streak = 0;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                match self.io.get_ref().read(buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Ok(n) => {
                        self.streak += 1;
                        self.drained = n > 0 && n < buffer.len();
                        return Poll::Ready(Ok(n));
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            // Whoever asks again after this has waited gets a read in any case, whatever woke them.
            self.drained = false;
            self.streak = 0;
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

#[cfg(all(test, unix))]
mod tests {
    use std::future::poll_fn;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts the calls that read and write.
    #[derive(Debug)]
    struct Counting {
        socket: UnixStream,
        reads: AtomicUsize,
        writes: AtomicUsize,
    }

    impl AsFd for Counting {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.socket.as_fd()
        }
    }

    impl Read for &Counting {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            (&self.socket).read(buffer)
        }
    }

    impl Write for &Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes.fetch_add(1, Ordering::Relaxed);
            (&self.socket).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn pair() -> (Socket<Counting>, UnixStream) {
        let (socket, peer) = UnixStream::pair().unwrap();
        let counting = Counting { socket, reads: AtomicUsize::new(0), writes: AtomicUsize::new(0) };
        (Socket::new(Async::new(counting).unwrap()), peer)
    }

    type Echo<'e> = dyn FnMut(&mut Context<'_>) -> Poll<()> + 'e;

    /// Echoes 200 messages; gives the calls that read.
    fn reads_of_an_echo(room: usize, block_on: fn(&mut Echo<'_>)) -> usize {
        let (mut socket, peer) = pair();
        let peer = std::thread::spawn(move || {
            let mut peer = peer;
            let mut back = [0; 10];
            for n in 0..200_u8 {
                peer.write_all(&[n; 10]).unwrap();
                peer.read_exact(&mut back).unwrap();
                assert_eq!(back, [n; 10]);
            }
        });
        let mut buffer = vec![0; room];
        let mut echo = |cx: &mut Context<'_>| {
            loop {
                let n = ready!(socket.poll_read(cx, &mut buffer)).unwrap();
                if n == 0 {
                    return Poll::Ready(());
                }
                assert_eq!(ready!(socket.poll_write(cx, &buffer[..n])).unwrap(), n);
            }
        };
        block_on(&mut echo);
        peer.join().unwrap();
        socket.get().reads.load(Ordering::Relaxed)
    }

    #[test]
    fn an_empty_socket_is_not_read() {
        let with_reactor = |echo: &mut Echo<'_>| async_io::block_on(poll_fn(echo));
        let reads = reads_of_an_echo(1000, with_reactor);
        // One for each message and one for the end. Some to spare for wake-ups without a reason; with a read in vain for
        // each message there would be 400.
        assert!((201..=300).contains(&reads), "{reads}");
        // Where a read fills its buffer there may be more.
        let reads = reads_of_an_echo(10, with_reactor);
        assert!(reads >= 201, "{reads}");
    }

    #[test]
    fn it_works_without_the_reactor_of_this_thread() {
        let parked = |echo: &mut Echo<'_>| smol::future::block_on(poll_fn(echo));
        assert!(reads_of_an_echo(1000, parked) >= 201);
        assert!(reads_of_an_echo(3, parked) >= 801);
    }

    #[test]
    fn a_peer_that_sends_without_end_does_not_keep_the_task() {
        let (mut socket, mut peer) = pair();
        peer.write_all(&[1; 1000]).unwrap();
        let (mut read, mut waits) = (0, 0);
        async_io::block_on(poll_fn(|cx| {
            let mut now = 0;
            while read < 1000 {
                let Poll::Ready(n) = socket.poll_read(cx, &mut [0]) else {
                    waits += 1;
                    assert_eq!(now, STREAK);
                    return Poll::Pending;
                };
                read += n.unwrap();
                now += 1;
            }
            Poll::Ready(())
        }));
        assert_eq!(waits, 1000 / STREAK);
    }

    #[test]
    fn a_full_socket_is_waited_for() {
        let (mut socket, mut peer) = pair();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all
        });
        let sent: Vec<u8> = (0..5_000_000_u32).map(|n| n as u8).collect();
        let mut rest = &sent[..];
        async_io::block_on(poll_fn(|cx| {
            while !rest.is_empty() {
                let slices = [IoSlice::new(&rest[..rest.len() / 2]), IoSlice::new(&rest[rest.len() / 2..])];
                let n = ready!(socket.poll_write_vectored(cx, &slices)).unwrap();
                rest = &rest[n..];
            }
            Poll::Ready(())
        }));
        drop(socket);
        assert!(reader.join().unwrap() == sent);
    }
}
