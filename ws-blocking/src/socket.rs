//! A socket that threads share, and what a thread has read from one while it waited.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};

use crate::park::{self, Interest, Source};

/// Bytes that are read while waiting: a message of 16 KiB with its head, or a record of TLS.
const AHEAD: usize = 17 * 1024;
/// How long (in milliseconds) a thread waits by reading. After that it waits in `poll(2)`, without a buffer.
const LONGEST: u32 = park::IDLE.as_millis() as u32;
/// For less than this (in milliseconds) the timeout of a socket is too coarse.
const SHORTEST: u32 = 32;

#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
// There, std has set SO_NOSIGPIPE.
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::DONTWAIT;

#[derive(Debug)]
pub(crate) enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket. It is left in blocking mode; the calls here that must not wait say so themselves.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) kind: Kind,
    /// The last read took everything: the next one may be left out once. Waiting will tell what came since.
    drained: AtomicBool,
    /// The timeout of reads, in milliseconds; 0 if it was not set here.
    timeout: AtomicU32,
    /// `left` holds something.
    has_left: AtomicBool,
    left: Mutex<Left>,
}

/// What was read by a thread that then did not use it.
#[derive(Debug, Default)]
struct Left {
    bytes: Vec<u8>,
    start: usize,
    error: Option<io::Error>,
}

impl Socket {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            drained: AtomicBool::new(false),
            timeout: AtomicU32::new(0),
            has_left: AtomicBool::new(false),
            left: Mutex::default(),
        }
    }

    /// Reads without waiting. If there is nothing, the thread's `block_on` will wait for the socket.
    pub(crate) fn poll_read(self: &Arc<Self>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.has_left.load(Ordering::Acquire)
            && let Some(result) = self.take_left(buffer)
        {
            return Poll::Ready(result);
        }
        if let Some(result) = park::take_ahead(self, buffer) {
            return Poll::Ready(result);
        }
        if self.drained.load(Ordering::Relaxed) {
            self.drained.store(false, Ordering::Relaxed);
            park::note(self.clone(), Interest::Read);
            return Poll::Pending;
        }
        loop {
            match recv(self, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((n, _)) => {
                    self.note_short(n, buffer.len());
                    return Poll::Ready(Ok(n));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    park::note(self.clone(), Interest::Read);
                    return Poll::Pending;
                }
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    /// The end of the stream is always worth a look.
    fn note_short(&self, n: usize, room: usize) {
        self.drained.store(n > 0 && n < room, Ordering::Relaxed);
    }

    pub(crate) fn poll_write(self: &Arc<Self>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(|| send(self, bytes, SEND))
    }

    pub(crate) fn poll_write_vectored(self: &Arc<Self>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_send(|| sendmsg(self, slices, &mut SendAncillaryBuffer::default(), SEND))
    }

    fn poll_send(self: &Arc<Self>, send: impl Fn() -> rustix::io::Result<usize>) -> Poll<io::Result<usize>> {
        loop {
            match send() {
                Ok(n) => return Poll::Ready(Ok(n)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    park::note(self.clone(), Interest::Write);
                    return Poll::Pending;
                }
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self, rustix::net::Shutdown::Write)?)
    }

    fn take_left(&self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let n = copy(left.bytes.get(left.start..).unwrap_or_default(), buffer);
        left.start += n;
        if left.start == left.bytes.len() {
            left.bytes = Vec::new();
            left.start = 0;
        }
        let result = if n > 0 { Some(Ok(n)) } else { left.error.take().map(Err) };
        if left.bytes.is_empty() && left.error.is_none() {
            self.has_left.store(false, Ordering::Release);
        }
        result
    }

    fn leave(&self, bytes: &[u8], error: Option<io::Error>) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.bytes.extend_from_slice(bytes);
        left.error = error;
        self.has_left.store(true, Ordering::Release);
    }

    /// Sets the timeout of reads to at most `most`. False if that is too short for it.
    ///
    /// It mostly stands as it is: deadlines move later, and one that rings early only means another look.
    fn set_timeout(&self, most: Option<Duration>) -> bool {
        let most = most.map_or(LONGEST, |most| most.as_millis().min(LONGEST.into()) as u32);
        if most < SHORTEST {
            return false;
        }
        let set = self.timeout.load(Ordering::Relaxed);
        if set != 0 && set <= most && most < 4 * set.max(SHORTEST) {
            return true;
        }
        // A power of two, so that time that is running out does not change it with every message.
        let timeout = 1 << most.ilog2();
        let done = set_socket_timeout(self, Timeout::Recv, Some(Duration::from_millis(timeout.into()))).is_ok();
        if done {
            self.timeout.store(timeout, Ordering::Relaxed);
        }
        done
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Tcp(tcp) => tcp.as_fd(),
            Kind::Unix(unix) => unix.as_fd(),
        }
    }
}

impl Source for Socket {
    fn fd(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn socket(self: Arc<Self>) -> Option<Arc<Socket>> {
        Some(self)
    }
}

fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let n = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..n), to.get_mut(..n)) {
        to.copy_from_slice(from);
    }
    n
}

/// What a thread has read while it waited for a socket. It belongs to that socket, and goes back to it if the next poll
/// of the future does not take it.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    error: Option<io::Error>,
    /// Set while there is something.
    socket: Option<Arc<Socket>>,
}

impl Ahead {
    /// Waits for the socket by reading from it. True if there is something to look at; false if the time ran out, if it
    /// is too short, or if the socket does not wait.
    ///
    /// `until` comes with the time, if that is known. It may have been known for a while: so it is believed only where
    /// the end is far away.
    pub(crate) fn fill(&mut self, socket: Arc<Socket>, until: Option<(Instant, Option<Instant>)>) -> bool {
        let left = until.map(|(until, now)| {
            let far = now.map(|now| until.saturating_duration_since(now)).filter(|left| *left > 4 * park::IDLE);
            far.unwrap_or_else(|| until.saturating_duration_since(Instant::now()))
        });
        if !socket.set_timeout(left) {
            return false;
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; AHEAD];
        }
        match recv(&socket, self.buffer.as_mut_slice(), RecvFlags::empty()) {
            Ok((n, _)) => {
                socket.note_short(n, AHEAD);
                // The end of the stream shows again.
                if n > 0 {
                    self.start = 0;
                    self.end = n;
                    self.socket = Some(socket);
                }
                true
            }
            Err(Errno::INTR) => true,
            Err(Errno::AGAIN) => {
                self.release_memory();
                false
            }
            Err(errno) => {
                // It does not show again.
                self.error = Some(errno.into());
                self.socket = Some(socket);
                true
            }
        }
    }

    /// What there is for this socket.
    pub(crate) fn take(&mut self, socket: &Socket, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        if !self.socket.as_ref().is_some_and(|own| std::ptr::eq(Arc::as_ptr(own), socket)) {
            return None;
        }
        let n = copy(self.buffer.get(self.start..self.end).unwrap_or_default(), buffer);
        self.start += n;
        let result = if n > 0 { Some(Ok(n)) } else { self.error.take().map(Err) };
        if self.start == self.end && self.error.is_none() {
            self.socket = None;
        }
        result
    }

    /// To be called only while there is nothing in it.
    pub(crate) fn release_memory(&mut self) {
        self.buffer = Vec::new();
    }

    /// Leaves what was not taken with its socket.
    pub(crate) fn put_back(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.leave(self.buffer.get(self.start..self.end).unwrap_or_default(), self.error.take());
            self.start = self.end;
        }
    }
}
