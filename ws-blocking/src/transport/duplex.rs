//! Streams that can only block.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::task::{Context, Poll};
use std::thread;

use super::Transport;
use super::pipe::{Reading, Writing, one_way};
use crate::park::block_on;
use crate::wait::Wait;

/// Bytes of one read.
const CHUNK: usize = 16 * 1024;
/// Bytes of stack of the two threads, apart from what the streams themselves need.
const STACK: usize = 256 * 1024;

/// A stream made of any [`Read`] and any [`Write`], such as the pipes of a child process.
///
/// Two threads do the reading and the writing, because there is no other way to stop waiting for them. At most 64 KiB
/// of each direction are on their way between the threads.
///
/// *The thread that writes* ends when the connection is over and everything was written, or when writing fails. It drops
/// the writer then, and as well when the writing side is shut down.
///
/// *The thread that reads* ends when the stream ends or fails, or, after the connection is over, with the next bytes
/// that arrive. Until then it sits in `read` and keeps the reader: nobody can call it back. Where that matters, make
/// reading end in another way, for instance by ending the child process.
///
/// A socket that was cloned for the two is open until both have gone, so its peer sees no end: give it to a
/// [`NetStream`](crate::NetStream) or an [`Fd`](super::Fd).
///
/// ```no_run
/// use std::process::{Command, Stdio};
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut child = Command::new("relay").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// let (Some(output), Some(input)) = (child.stdout.take(), child.stdin.take()) else { return Ok(()) };
/// let transport = ws_blocking::Duplex::new(output, input)?;
/// # drop(transport);
/// # Ok(())
/// # }
/// ```
pub struct Duplex {
    input: Reading,
    output: Writing,
}

impl Duplex {
    /// Starts the two threads.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub fn new(reader: impl Read + Send + 'static, writer: impl Write + Send + 'static) -> io::Result<Self> {
        let (input, arrived) = one_way();
        let (leaving, output) = one_way();
        let builder = |name: &str| thread::Builder::new().name(name.into()).stack_size(STACK);
        builder("ws-reader").spawn(move || pump_in(reader, arrived))?;
        builder("ws-writer").spawn(move || pump_out(leaving, writer))?;
        Ok(Self { input, output })
    }
}

fn pump_in(mut reader: impl Read, mut into: Writing) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = match reader.read(&mut buffer) {
            Ok(0) => return into.end(None),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return into.end(Some(error)),
        };
        let mut rest = buffer.get(..n).unwrap_or_default();
        while !rest.is_empty() {
            match block_on(poll_fn(|cx| into.poll_write(cx, rest)), &Wait::new()) {
                Ok(Ok(n)) => rest = rest.get(n..).unwrap_or_default(),
                _ => return,
            }
        }
    }
}

fn pump_out(mut from: Reading, mut writer: impl Write) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let Ok(Ok(n)) = block_on(poll_fn(|cx| from.poll_read(cx, &mut buffer)), &Wait::new()) else { return };
        if n == 0 {
            return;
        }
        let bytes = buffer.get(..n).unwrap_or_default();
        if let Err(error) = writer.write_all(bytes).and_then(|()| writer.flush()) {
            return from.fail(error);
        }
    }
}

impl Transport for Duplex {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.input.poll_read(cx, buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.output.poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.poll_empty(cx)
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.end(None);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Duplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duplex").finish_non_exhaustive()
    }
}
