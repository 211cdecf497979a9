//! What a completion queue is to the echo server: buffers go in, and come back when they have been filled or written.

use std::io;
use std::net::Shutdown;
use std::task::Waker;
use std::time::Duration;

use ws_proto::bytes::Bytes;

/// The name of a socket. The queue owns the sockets; names are never used twice.
pub(crate) type Token = u64;

/// A queue of submissions and completions.
///
/// For each socket there is at most one read and one write in the queue. A buffer that was handed in belongs to the queue
/// until its completion gives it back: the system may touch it at any time between. Completions come in any order.
pub(crate) trait Queue {
    /// Waits for one new connection.
    fn accept(&mut self);

    /// Reads into all of `buffer`.
    fn read(&mut self, socket: Token, buffer: Box<[u8]>);

    /// Writes from the front of `bytes`, as much as the socket takes.
    fn write(&mut self, socket: Token, bytes: Bytes);

    /// Shuts down a direction of a socket, at once. With `Shutdown::Both` what is in the queue for it completes soon.
    fn shutdown(&mut self, socket: Token, how: Shutdown);

    /// Closes a socket for which nothing is in the queue.
    fn close(&mut self, socket: Token);

    /// Waits until something is complete, the time is over or the waker was called, and appends what is complete.
    ///
    /// # Errors
    /// If the queue itself is broken. What goes wrong with a socket is told by its completions.
    fn wait(&mut self, timeout: Option<Duration>, completions: &mut Vec<Completion>) -> io::Result<()>;

    /// Ends a `wait` from any thread.
    fn waker(&self) -> Waker;
}

/// Something was done.
#[derive(Debug)]
pub(crate) enum Completion {
    /// There is a new connection, or there can't be one now.
    Accepted(io::Result<Token>),
    /// So many bytes were read to the front of the buffer; 0 at the end of the stream.
    Read(Token, io::Result<usize>, Box<[u8]>),
    /// So many bytes were written.
    Written(Token, io::Result<usize>, Bytes),
}
