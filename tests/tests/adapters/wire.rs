//! Transports in memory that all adapters can use.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::ReadBuf;

use crate::poke;

/// What a transport does.
pub trait Wire: Send + 'static {
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
    /// Whether a write takes several slices. If so it gets them in one.
    fn vectored(&self) -> bool {
        true
    }
    fn flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Any [`Wire`], as a transport of each adapter.
pub struct Io(Box<dyn Wire>);

impl<W: Wire> From<W> for Io {
    fn from(wire: W) -> Self {
        Self(Box::new(wire))
    }
}

impl Io {
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = self.0.read(cx, buffer);
        poke::waited(cx, read.is_pending());
        read
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.0.write(cx, bytes);
        poke::waited(cx, written.is_pending());
        written
    }

    fn write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if !self.0.vectored() {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.write(cx, first.map_or(&[], |slice| slice));
        }
        let all: Vec<u8> = slices.iter().map(|slice| &**slice).collect::<Vec<_>>().concat();
        self.write(cx, &all)
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.0.flush(cx);
        poke::waited(cx, flushed.is_pending());
        flushed
    }

    fn shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.shutdown(cx)
    }
}

impl tokio::io::AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        let n = ready!(self.read(cx, buf.initialize_unfilled()))?;
        if n <= room {
            buf.advance(n);
        } else {
            // All that safe code can do to lie: swap the buffer for a longer one.
            *buf = ReadBuf::new(Box::leak(vec![0; n].into_boxed_slice()));
            buf.set_filled(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shutdown(cx)
    }
}

impl futures_io::AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.read(cx, buffer)
    }
}

impl futures_io::AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shutdown(cx)
    }
}

impl ws_blocking::Transport for Io {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.read(cx, buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, bytes)
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.vectored()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shutdown(cx)
    }
}

/// What a [`Scripted`] transport did.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
pub struct Entries {
    /// Everything that was written.
    pub written: Vec<u8>,
    /// Calls that wrote something.
    pub writes: usize,
    /// Calls that read something.
    pub reads: usize,
    pub flushes: usize,
    pub dropped: bool,
}

impl Log {
    pub fn get<R>(&self, f: impl FnOnce(&mut Entries) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }

    /// The frames that were written.
    pub fn frames(&self) -> Vec<(u8, Vec<u8>)> {
        self.get(|log| frames(&log.written))
    }
}

/// One call of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Takes or gives up to this many bytes.
    Move(usize),
    /// Pending once; wakes the task by itself.
    Wait,
    /// Pending, until somebody else wakes the task.
    Stuck,
    Fail(ErrorKind),
}

type Script = Box<dyn FnMut() -> Option<Step> + Send>;

/// A transport that follows two scripts: what the peer sends and how, and how it takes what is written.
pub struct Scripted {
    input: VecDeque<u8>,
    /// After the script: reads give all there is, then end the stream.
    reads: Script,
    /// After the script: writes take everything.
    writes: Script,
    pub vectored: bool,
    pub log: Log,
}

impl Scripted {
    pub fn new(input: impl AsRef<[u8]>) -> Self {
        Self {
            input: input.as_ref().iter().copied().collect(),
            reads: Box::new(|| None),
            writes: Box::new(|| None),
            vectored: true,
            log: Log::default(),
        }
    }

    /// A peer that says nothing.
    pub fn silent() -> Self {
        Self::new("").reads(std::iter::repeat(Step::Stuck))
    }

    /// One byte at a time, and a wait after each.
    pub fn trickle(bytes: &[u8]) -> Self {
        Self::new(bytes).reads([Step::Move(1), Step::Stuck].into_iter().cycle().take(4 * bytes.len() + 100))
    }

    pub fn reads(mut self, steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>) -> Self {
        let mut steps = steps.into_iter();
        self.reads = Box::new(move || steps.next());
        self
    }

    pub fn writes(mut self, steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>) -> Self {
        let mut steps = steps.into_iter();
        self.writes = Box::new(move || steps.next());
        self
    }
}

fn follow(step: Option<Step>, cx: &Context<'_>) -> Poll<io::Result<usize>> {
    match step {
        None => Poll::Ready(Ok(usize::MAX)),
        Some(Step::Move(n)) => Poll::Ready(Ok(n)),
        Some(Step::Fail(kind)) => Poll::Ready(Err(kind.into())),
        Some(Step::Stuck) => Poll::Pending,
        Some(Step::Wait) => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
}

/// Moves at most so many bytes.
fn take(from: &mut VecDeque<u8>, to: &mut [u8], most: usize) -> usize {
    let n = most.min(to.len());
    from.read(&mut to[..n]).unwrap()
}

impl Wire for Scripted {
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let step = (self.reads)();
        follow(step, cx).map_ok(|most| {
            let n = take(&mut self.input, buffer, most);
            self.log.get(|log| log.reads += usize::from(n > 0));
            n
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let step = (self.writes)();
        follow(step, cx).map_ok(|most| {
            let n = most.min(bytes.len());
            self.log.get(|log| {
                log.written.extend_from_slice(&bytes[..n]);
                log.writes += usize::from(n > 0);
            });
            n
        })
    }

    fn vectored(&self) -> bool {
        self.vectored
    }

    fn flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.log.get(|log| log.flushes += 1);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.log.get(|log| log.dropped = true);
    }
}

/// One direction of a pipe.
#[derive(Default)]
struct Lane {
    bytes: VecDeque<u8>,
    room: usize,
    /// Nothing more is written.
    ended: bool,
    /// Nothing more is read.
    deaf: bool,
    wakers: Vec<Waker>,
}

impl Lane {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
    }

    fn changed(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

/// One end of a pipe that holds so many bytes each way. It keeps every waker it is given.
pub struct End {
    input: Arc<Mutex<Lane>>,
    output: Arc<Mutex<Lane>>,
    broken: Arc<Mutex<Option<ErrorKind>>>,
}

/// Two ends.
pub fn pipe(room: usize) -> (End, End) {
    let lane = || Arc::new(Mutex::new(Lane { room, ..Lane::default() }));
    let (there, back) = (lane(), lane());
    let end = |input: &Arc<Mutex<Lane>>, output: &Arc<Mutex<Lane>>| End {
        input: input.clone(),
        output: output.clone(),
        broken: Arc::default(),
    };
    (end(&there, &back), end(&back, &there))
}

impl End {
    /// Makes reads of this end fail from now on.
    pub fn breaker(&self) -> impl FnOnce(ErrorKind) + use<> {
        let broken = self.broken.clone();
        let input = self.input.clone();
        move |kind| {
            *broken.lock().unwrap() = Some(kind);
            input.lock().unwrap().changed();
        }
    }

    /// Reads what there is now, at most `n` bytes. `None`: the stream has ended.
    pub fn try_read(&mut self, n: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; n];
        match self.read(&mut Context::from_waker(Waker::noop()), &mut bytes) {
            Poll::Ready(read) => bytes.truncate(read.unwrap()),
            Poll::Pending => return Some(Vec::new()),
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Writes as much as there is room for; tells how much.
    pub fn try_write(&mut self, bytes: &[u8]) -> usize {
        match self.write(&mut Context::from_waker(Waker::noop()), bytes) {
            Poll::Ready(written) => written.unwrap_or(0),
            Poll::Pending => 0,
        }
    }

    /// Ends the stream that the other side reads.
    pub fn end(&mut self) {
        let mut lane = self.output.lock().unwrap();
        lane.ended = true;
        lane.changed();
    }

    pub async fn read_some(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        let n = std::future::poll_fn(|cx| self.read(cx, &mut bytes)).await.unwrap();
        bytes.truncate(n);
        bytes
    }

    pub async fn read_exact(&mut self, n: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < n {
            let some = self.read_some(n - all.len()).await;
            assert!(!some.is_empty(), "the stream ended after {all:?}");
            all.extend(some);
        }
        all
    }

    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let some = self.read_some(4096).await;
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }

    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = std::future::poll_fn(|cx| self.write(cx, bytes)).await?;
            bytes = &bytes[n..];
        }
        Ok(())
    }
}

impl Wire for End {
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(kind) = *self.broken.lock().unwrap() {
            return Poll::Ready(Err(kind.into()));
        }
        let mut lane = self.input.lock().unwrap();
        if lane.bytes.is_empty() && !lane.ended {
            lane.wait(cx);
            return Poll::Pending;
        }
        let n = take(&mut lane.bytes, buffer, usize::MAX);
        lane.changed();
        Poll::Ready(Ok(n))
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut lane = self.output.lock().unwrap();
        if lane.deaf || lane.ended {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let n = bytes.len().min(lane.room - lane.bytes.len());
        if n == 0 && !bytes.is_empty() {
            lane.wait(cx);
            return Poll::Pending;
        }
        lane.bytes.extend(&bytes[..n]);
        lane.changed();
        Poll::Ready(Ok(n))
    }

    fn shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.end();
        let mut lane = self.input.lock().unwrap();
        lane.deaf = true;
        lane.changed();
    }
}

/// Keeps only the latest waker, whether it came to read or to write: what a transport is allowed to do.
pub struct OneWaker {
    end: End,
    waker: Arc<Latest>,
}

#[derive(Default)]
struct Latest(Mutex<Option<Waker>>);

impl std::task::Wake for Latest {
    fn wake(self: Arc<Self>) {
        let waker = self.0.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl OneWaker {
    pub fn new(end: End) -> Self {
        Self { end, waker: Arc::default() }
    }

    fn polled<R>(&mut self, cx: &Context<'_>, f: impl FnOnce(&mut End, &mut Context<'_>) -> R) -> R {
        *self.waker.0.lock().unwrap() = Some(cx.waker().clone());
        let waker = Waker::from(self.waker.clone());
        f(&mut self.end, &mut Context::from_waker(&waker))
    }
}

impl Wire for OneWaker {
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.polled(cx, |end, cx| end.read(cx, buffer))
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.polled(cx, |end, cx| end.write(cx, bytes))
    }

    fn shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.polled(cx, |end, cx| end.shutdown(cx))
    }
}

/// The frames of a server in `bytes`: first byte and payload of each. Panics if they are not whole.
pub fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        let (len, rest) = match len {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            short => (usize::from(*short), rest),
        };
        frames.push((*first, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty());
    frames
}

/// A masked frame as a client sends it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..126 => frame.push(0x80 | n as u8),
        n @ 126..0x10000 => {
            frame.push(0xfe);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0xff);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}
