//! Worlds with a clock that jumps: nothing in them takes time but what says so.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ws_adapter::{ReadFrom, Runtime, Transfer, WebSocket};
use ws_proto::{Config, Role};
use ws_tokio::Tokio;

use crate::modern;
use crate::poke::Home;
use crate::wire::{Io, pipe};

/// Further away than anything that tests wait for.
const NEVER: Duration = Duration::from_secs(1_000_000);

/// A runtime, its tasks, and a clock that moves when nothing else can.
pub trait World: 'static {
    type Runtime: Transfer<Io>;

    fn new() -> Self;
    fn run<F: Future>(&self, future: F) -> F::Output;
    fn spawn_boxed(task: Pin<Box<dyn Future<Output = ()>>>);
    fn sleep(time: Duration) -> impl Future<Output = ()>;
    /// The time since some moment.
    fn now() -> Duration;

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Task<F::Output> {
        let slot = Rc::new(Slot { value: RefCell::new(None), waker: Cell::new(None) });
        let task = Task { slot: slot.clone() };
        Self::spawn_boxed(Box::pin(async move {
            let value = future.await;
            *slot.value.borrow_mut() = Some(value);
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }));
        task
    }

    fn server(io: impl Into<Io>) -> Socket<Self> {
        Self::open(Role::Server, io, Config::default())
    }

    fn client(io: impl Into<Io>) -> Socket<Self> {
        Self::open(Role::Client, io, Config::default())
    }

    fn open(role: Role, io: impl Into<Io>, config: Config) -> Socket<Self> {
        WebSocket::from_upgraded(io.into(), role, modern(), config)
    }

    /// A client and a server, joined by pipes of `size` bytes.
    fn pair(size: usize) -> (Socket<Self>, Socket<Self>) {
        let (a, b) = pipe(size);
        (Self::client(a), Self::server(b))
    }

    /// The future's output, unless `time` passes before.
    fn within<F: Future>(time: Duration, future: F) -> impl Future<Output = Option<F::Output>> {
        async move {
            let mut sleep = pin!(Self::sleep(time));
            let mut future = pin!(future);
            poll_fn(|cx| {
                if let Poll::Ready(output) = future.as_mut().poll(cx) {
                    return Poll::Ready(Some(output));
                }
                sleep.as_mut().poll(cx).map(|()| None)
            })
            .await
        }
    }
}

pub type Socket<W> = WebSocket<Io, <W as World>::Runtime>;

/// A task of a world. It goes on when this is dropped.
pub struct Task<T> {
    slot: Rc<Slot<T>>,
}

struct Slot<T> {
    value: RefCell<Option<T>>,
    waker: Cell<Option<Waker>>,
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Some(value) = self.slot.value.borrow_mut().take() {
            return Poll::Ready(value);
        }
        self.slot.waker.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

/// Lets the other tasks run once.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Before the clock of any runtime begins.
static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

/// tokio with its own clock, stopped.
pub struct Paused {
    runtime: tokio::runtime::Runtime,
    tasks: tokio::task::LocalSet,
}

impl World for Paused {
    type Runtime = Tokio;

    fn new() -> Self {
        LazyLock::force(&START);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        Self { runtime, tasks: tokio::task::LocalSet::new() }
    }

    fn run<F: Future>(&self, future: F) -> F::Output {
        let future = self.tasks.run_until(tokio::task::unconstrained(future));
        self.runtime.block_on(async { tokio::time::timeout(NEVER, future).await.expect("nothing happens any more") })
    }

    fn spawn_boxed(task: Pin<Box<dyn Future<Output = ()>>>) {
        tokio::task::spawn_local(task);
    }

    fn sleep(time: Duration) -> impl Future<Output = ()> {
        tokio::time::sleep(time)
    }

    fn now() -> Duration {
        tokio::time::Instant::now().into_std() - *START
    }
}

/// The transports of runtime `A`, on a clock of ours.
#[derive(Clone, Copy, Debug)]
pub struct Clocked<A>(PhantomData<A>);

/// A world around [`Clocked`]: tasks on this thread, and time that passes when all of them wait.
pub struct Simulated<A>(PhantomData<A>);

/// A task, unless it is being polled, and what wakes it.
type Place = (Option<Pin<Box<dyn Future<Output = ()>>>>, Waker);

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static NAMES: Cell<usize> = const { Cell::new(1) };
    static TIMERS: RefCell<BTreeMap<usize, (Duration, Option<Waker>)>> = const { RefCell::new(BTreeMap::new()) };
    static TASKS: RefCell<BTreeMap<usize, Place>> = const { RefCell::new(BTreeMap::new()) };
    static READY: Arc<Mutex<VecDeque<usize>>> = Arc::default();
}

fn name() -> usize {
    NAMES.replace(NAMES.get() + 1)
}

/// A timer of a simulated world.
#[derive(Debug)]
pub struct Timer(usize);

impl Timer {
    fn new(at: Duration) -> Self {
        let timer = Self(name());
        timer.set(at);
        timer
    }

    fn set(&self, at: Duration) {
        TIMERS.with_borrow_mut(|timers| timers.insert(self.0, (at, None)));
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        TIMERS.with_borrow_mut(|timers| {
            let (at, waker) = timers.get_mut(&self.0).expect("it was set");
            if *at <= NOW.get() {
                return Poll::Ready(());
            }
            *waker = Some(cx.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        TIMERS.with_borrow_mut(|timers| timers.remove(&self.0));
    }
}

/// Moves the clock to the next timer that somebody waits for, and wakes them.
fn jump() {
    let next = TIMERS.with_borrow(|timers| {
        let waiting = timers.values().filter(|(_, waker)| waker.is_some());
        waiting.map(|(at, _)| *at).min()
    });
    let next = next.expect("nothing happens any more");
    NOW.set(next.max(NOW.get()));
    let due: Vec<Waker> = TIMERS.with_borrow_mut(|timers| {
        timers.values_mut().filter(|(at, _)| *at <= next).filter_map(|(_, waker)| waker.take()).collect()
    });
    due.into_iter().for_each(Waker::wake);
}

struct Named {
    name: usize,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for Named {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().unwrap();
        if !ready.contains(&self.name) {
            ready.push_back(self.name);
        }
    }
}

fn waker(name: usize) -> Waker {
    READY.with(|ready| Waker::from(Arc::new(Named { name, ready: ready.clone() })))
}

const MAIN: usize = 0;

impl<A> World for Simulated<A>
where
    A: Runtime + Transfer<Io>,
{
    type Runtime = Clocked<A>;

    fn new() -> Self {
        Self(PhantomData)
    }

    fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let main = waker(MAIN);
        main.wake_by_ref();
        loop {
            let Some(name) = READY.with(|ready| ready.lock().unwrap().pop_front()) else {
                jump();
                continue;
            };
            if name == MAIN {
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&main)) {
                    return output;
                }
                continue;
            }
            let place = TASKS.with_borrow_mut(|tasks| {
                let (task, waker) = tasks.get_mut(&name)?;
                Some((task.take()?, waker.clone()))
            });
            let Some((mut task, waker)) = place else { continue };
            let done = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
            TASKS.with_borrow_mut(|tasks| {
                if done {
                    tasks.remove(&name)
                } else {
                    tasks.insert(name, (Some(task), waker))
                };
            });
        }
    }

    fn spawn_boxed(task: Pin<Box<dyn Future<Output = ()>>>) {
        let name = name();
        let waker = waker(name);
        waker.wake_by_ref();
        TASKS.with_borrow_mut(|tasks| tasks.insert(name, (Some(task), waker)));
    }

    async fn sleep(time: Duration) {
        let timer = Timer::new(NOW.get() + time);
        poll_fn(|cx| timer.poll(cx)).await;
    }

    fn now() -> Duration {
        NOW.get()
    }
}

impl<A> Drop for Simulated<A> {
    fn drop(&mut self) {
        // What they hold may use the clock in turn.
        let tasks = TASKS.take();
        drop(tasks);
    }
}

impl<A: Runtime> Runtime for Clocked<A> {
    type Origin = Duration;
    type Sleep = Timer;

    fn origin() -> Duration {
        NOW.get()
    }

    fn elapsed(origin: Duration) -> Duration {
        NOW.get() - origin
    }

    fn set_timer(slot: &mut Option<Timer>, origin: Duration, at: Duration) -> bool {
        let Some(at) = origin.checked_add(at) else { return false };
        match slot {
            Some(timer) => timer.set(at),
            None => *slot = Some(Timer::new(at)),
        }
        true
    }

    fn poll_timer(sleep: &mut Timer, cx: &mut Context<'_>) -> Poll<()> {
        sleep.poll(cx)
    }
}

impl<A: ReadFrom<T>, T> ReadFrom<T> for Clocked<A> {
    fn poll_read(io: &mut T, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        A::poll_read(io, cx, buffer)
    }
}

impl<A: Transfer<T>, T> Transfer<T> for Clocked<A> {
    fn poll_write(io: &mut T, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        A::poll_write(io, cx, bytes)
    }

    fn poll_write_vectored(io: &mut T, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        A::poll_write_vectored(io, cx, slices)
    }

    fn is_write_vectored(io: &T) -> bool {
        A::is_write_vectored(io)
    }

    fn poll_flush(io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        A::poll_flush(io, cx)
    }

    fn poll_shutdown(io: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        A::poll_shutdown(io, cx)
    }
}

impl<A: Home> Home for Clocked<A> {
    fn home<T>(f: impl FnOnce() -> T) -> T {
        f()
    }
}
