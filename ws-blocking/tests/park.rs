//! Waiting: nothing is lost, nothing spins, and everything can be ended.

use std::future::{pending, poll_fn, ready};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use ws_blocking::{CancelToken, Fd, Interrupted, NetStream, Transport, Wait, block_on, pipe};

/// So long only a fault takes.
const GUARD: Duration = Duration::from_secs(60);

fn guard() -> Wait {
    Wait::new().timeout(GUARD)
}

/// A number that threads wait for.
#[derive(Default)]
struct Count {
    value: AtomicUsize,
    waiting: Mutex<Option<Waker>>,
}

impl Count {
    fn add(&self) {
        self.value.fetch_add(1, Ordering::AcqRel);
        if let Some(waker) = self.waiting.lock().unwrap().take() {
            waker.wake();
        }
    }

    fn wait(&self, least: usize) -> usize {
        block_on(
            poll_fn(|cx| {
                *self.waiting.lock().unwrap() = Some(cx.waker().clone());
                let value = self.value.load(Ordering::Acquire);
                if value >= least { Poll::Ready(value) } else { Poll::Pending }
            }),
            &guard(),
        )
        .expect("a lost wake-up")
    }
}

#[test]
fn no_wake_up_is_lost_between_threads() {
    const TIMES: usize = 100_000;
    let (there, back) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let other = thread::spawn({
        let (there, back) = (there.clone(), back.clone());
        move || {
            for n in 1..=TIMES {
                there.wait(n);
                back.add();
            }
        }
    });
    for n in 1..=TIMES {
        there.add();
        assert_eq!(back.wait(n), n);
    }
    other.join().unwrap();
}

/// The first wait of a thread is special: it makes what it is woken by.
#[test]
fn no_wake_up_is_lost_in_the_first_wait_of_a_thread() {
    for n in 0..3_000_u32 {
        let count = Arc::new(Count::default());
        let waiting = thread::spawn({
            let count = count.clone();
            move || count.wait(1)
        });
        // Somewhere between the beginning of the thread and its wait.
        while count.waiting.lock().unwrap().is_none() {
            std::hint::spin_loop();
        }
        (0..n % 500).for_each(|_| std::hint::spin_loop());
        count.add();
        assert_eq!(waiting.join().unwrap(), 1);
    }
}

#[test]
fn many_threads_wake_one() {
    const THREADS: usize = 4;
    const TIMES: usize = 10_000;
    let count = Arc::new(Count::default());
    let others: Vec<_> = (0..THREADS)
        .map(|_| {
            let count = count.clone();
            thread::spawn(move || (0..TIMES).for_each(|_| count.add()))
        })
        .collect();
    let mut seen = 0;
    while seen < THREADS * TIMES {
        seen = count.wait(seen + 1);
    }
    others.into_iter().for_each(|other| other.join().unwrap());
}

#[test]
fn a_future_that_is_ready_needs_no_time() {
    assert_eq!(block_on(ready(7), &Wait::new().timeout(Duration::ZERO)), Ok(7));
    assert_eq!(block_on(ready(7), &Wait::from(Instant::now())), Ok(7));
}

#[test]
fn the_deadline_ends_a_call_without_spinning() {
    for wait in [Wait::from(Duration::from_millis(50)), Wait::from(Instant::now() + Duration::from_millis(50))] {
        let mut polls = 0;
        let result = block_on(
            poll_fn(|_| {
                polls += 1;
                Poll::<()>::Pending
            }),
            &wait,
        );
        assert_eq!(result, Err(Interrupted::Deadline));
        assert!(polls <= 3, "{polls} polls");
    }
}

#[test]
fn of_a_deadline_and_a_timeout_the_earlier_counts() {
    let later = Wait::new().deadline(Instant::now() + GUARD).timeout(Duration::from_millis(1));
    assert_eq!(block_on(pending::<()>(), &later), Err(Interrupted::Deadline));
    let sooner = Wait::new().deadline(Instant::now()).timeout(GUARD);
    assert_eq!(block_on(pending::<()>(), &sooner), Err(Interrupted::Deadline));
    let beyond = Wait::new().timeout(Duration::MAX).deadline(Instant::now());
    assert_eq!(block_on(pending::<()>(), &beyond), Err(Interrupted::Deadline));
}

#[test]
fn a_token_ends_calls_before_during_and_after() {
    let token = CancelToken::new();
    let wait = guard().cancel(&token);
    let polled = Arc::new(AtomicUsize::new(0));
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let (wait, polled) = (wait.clone(), polled.clone());
            thread::spawn(move || {
                block_on(
                    poll_fn(|_| {
                        polled.fetch_add(1, Ordering::AcqRel);
                        Poll::<()>::Pending
                    }),
                    &wait,
                )
            })
        })
        .collect();
    while polled.load(Ordering::Acquire) < 8 {
        thread::yield_now();
    }
    assert!(!token.is_cancelled());
    token.cancel();
    for waiting in waiting {
        assert_eq!(waiting.join().unwrap(), Err(Interrupted::Cancelled));
    }
    assert!(polled.load(Ordering::Acquire) <= 3 * 8);
    // It stays so, and the future is not even looked at.
    token.cancel();
    assert!(token.clone().is_cancelled());
    assert_eq!(block_on(ready(()), &wait), Err(Interrupted::Cancelled));
}

#[test]
fn a_token_that_is_cancelled_while_a_call_begins_is_seen() {
    for _ in 0..2_000 {
        let token = CancelToken::new();
        let wait = guard().cancel(&token);
        let waiting = thread::spawn(move || block_on(pending::<()>(), &wait));
        token.cancel();
        assert_eq!(waiting.join().unwrap(), Err(Interrupted::Cancelled));
    }
}

#[test]
fn a_future_that_wakes_itself_goes_on_and_can_be_ended() {
    let mut left = 1_000;
    let counted = poll_fn(|cx| {
        left -= 1;
        cx.waker().wake_by_ref();
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    });
    assert_eq!(block_on(counted, &Wait::new()), Ok(()));
    let endless = || {
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        })
    };
    assert_eq!(block_on(endless(), &Wait::from(Duration::from_millis(20))), Err(Interrupted::Deadline));
    let token = CancelToken::new();
    let wait = Wait::from(&token);
    let other = thread::spawn(move || token.cancel());
    assert_eq!(block_on(endless(), &wait), Err(Interrupted::Cancelled));
    other.join().unwrap();
}

#[test]
fn a_call_within_a_call_keeps_what_the_outer_one_waits_for() {
    let (mut outer, mut outer_peer) = pair();
    let (mut inner, mut inner_peer) = pair();
    let mut first = true;
    let result = block_on(
        poll_fn(|cx| {
            let mut buffer = [0; 16];
            let read = outer.poll_read(cx, &mut buffer);
            if first {
                first = false;
                assert!(read.is_pending());
                inner_peer.write_all(b"inner").unwrap();
                let mut buffer = [0; 16];
                let n = block_on(poll_fn(|cx| inner.poll_read(cx, &mut buffer)), &guard()).unwrap().unwrap();
                assert_eq!(&buffer[..n], b"inner");
                let none = block_on(poll_fn(|cx| inner.poll_read(cx, &mut buffer)), &Wait::from(Duration::ZERO));
                assert!(none.is_err());
                outer_peer.write_all(b"outer").unwrap();
            }
            read.map(|n| buffer[..n.unwrap()].to_vec())
        }),
        &guard(),
    );
    assert_eq!(result.unwrap(), b"outer");
}

#[test]
fn a_panic_leaves_the_thread_usable() {
    let (mut stream, mut peer) = pair();
    peer.write_all(b"12345678").unwrap();
    let token = CancelToken::new();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut polls = 0;
        block_on(
            poll_fn(|cx| {
                polls += 1;
                assert!(polls < 2, "as intended");
                // Takes nothing, but waits for it: the thread reads ahead.
                let mut one = [0; 1];
                stream.poll_read(cx, &mut one).map(|_| ()).is_pending().then_some(()).map_or_else(
                    || {
                        cx.waker().wake_by_ref();
                        Poll::<()>::Pending
                    },
                    |()| Poll::Pending,
                )
            }),
            &Wait::from(&token),
        )
    }));
    assert!(panicked.is_err());
    assert_eq!(read(&mut stream, 7), b"2345678");
}

/// A socket, and the other end of it.
fn pair() -> (NetStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    (listener.accept().unwrap().0.into(), peer)
}

fn read(stream: &mut impl Transport, most: usize) -> Vec<u8> {
    let mut buffer = vec![0; most];
    let n = block_on(poll_fn(|cx| stream.poll_read(cx, &mut buffer)), &guard()).unwrap().unwrap();
    buffer.truncate(n);
    buffer
}

#[test]
fn what_was_read_while_waiting_is_not_lost() {
    let (mut stream, mut peer) = pair();
    let go = Arc::new(AtomicBool::new(false));
    let writer = thread::spawn({
        let go = go.clone();
        move || {
            for n in 0..200_u8 {
                while !go.swap(false, Ordering::AcqRel) {
                    thread::yield_now();
                }
                // The other thread mostly waits by now.
                thread::sleep(Duration::from_micros(200));
                peer.write_all(&[n; 1000]).unwrap();
            }
            peer
        }
    });
    for n in 0..200_u8 {
        go.store(true, Ordering::Release);
        // A part of it, and the rest in later calls, of another thread, too.
        let mut got = read(&mut stream, 10);
        while got.len() < 1000 {
            let left = 1000 - got.len();
            if n % 2 == 0 {
                got.extend(read(&mut stream, left.min(400)));
            } else {
                thread::scope(|scope| got.extend(scope.spawn(|| read(&mut stream, left.min(400))).join().unwrap()));
            }
        }
        assert_eq!(got, [n; 1000]);
    }
    drop(writer.join().unwrap());
    assert_eq!(read(&mut stream, 10), b"");
    assert_eq!(read(&mut stream, 10), b"");
}

#[test]
fn a_call_without_time_still_sees_what_has_arrived() {
    let (mut stream, mut peer) = pair();
    for _ in 0..100 {
        peer.write_all(b"x").unwrap();
        let mut buffer = [0; 8];
        loop {
            let tried = block_on(poll_fn(|cx| stream.poll_read(cx, &mut buffer)), &Wait::from(Duration::ZERO));
            match tried {
                // Not there yet.
                Err(Interrupted::Deadline) => thread::yield_now(),
                read => {
                    assert_eq!(read.unwrap().unwrap(), 1);
                    break;
                }
            }
        }
    }
}

#[test]
fn waiting_for_a_socket_does_not_spin() {
    let (mut stream, mut peer) = pair();
    for token in [None, Some(CancelToken::new())] {
        let wait = token.iter().fold(Wait::from(Duration::from_millis(300)), |wait, token| wait.cancel(token));
        let mut polls = 0;
        let mut buffer = [0; 8];
        let result = block_on(
            poll_fn(|cx| {
                polls += 1;
                stream.poll_read(cx, &mut buffer)
            }),
            &wait,
        );
        assert!(matches!(result, Err(Interrupted::Deadline)));
        assert!(polls <= 3, "{polls} polls");
        peer.write_all(b"and now").unwrap();
        assert_eq!(read(&mut stream, 7), b"and now");
    }
}

#[test]
fn an_idle_wait_ends_when_something_comes() {
    // Longer than the thread waits by reading.
    let (mut stream, mut peer) = pair();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(1500));
        peer.write_all(b"late").unwrap();
    });
    assert_eq!(read(&mut stream, 10), b"late");
    writer.join().unwrap();
}

#[test]
fn a_reset_is_told_once_and_then_the_end() {
    let (mut stream, peer) = pair();
    // Closing with unread data resets the connection.
    block_on(poll_fn(|cx| stream.poll_write(cx, b"unread")), &guard()).unwrap().unwrap();
    let mut buffer = [0; 8];
    while peer.peek(&mut buffer).unwrap() < 6 {}
    let closing = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        drop(peer);
    });
    let result = block_on(poll_fn(|cx| stream.poll_read(cx, &mut buffer)), &guard()).unwrap();
    assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    closing.join().unwrap();
}

#[test]
fn writing_waits_for_room_and_ends_with_the_deadline() {
    let (mut stream, mut peer) = pair();
    let chunk = vec![7; 1 << 20];
    let mut written = 0;
    let full = loop {
        match block_on(poll_fn(|cx| stream.poll_write(cx, &chunk)), &Wait::from(Duration::from_millis(200))) {
            Ok(n) => written += n.unwrap(),
            interrupted => break interrupted,
        }
    };
    assert!(matches!(full, Err(Interrupted::Deadline)));
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        all.len()
    });
    written += block_on(poll_fn(|cx| stream.poll_write(cx, &chunk)), &guard()).unwrap().unwrap();
    block_on(poll_fn(|cx| stream.poll_shutdown(cx)), &guard()).unwrap().unwrap();
    assert_eq!(reader.join().unwrap(), written);
}

#[test]
fn a_descriptor_of_any_kind_can_be_waited_for() {
    let (here, mut there) = UnixStream::pair().unwrap();
    let mut here = Fd::new(here).unwrap();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        there.write_all(b"Hello").unwrap();
        there
    });
    assert_eq!(read(&mut here, 10), b"Hello");
    drop(writer.join().unwrap());
    assert_eq!(read(&mut here, 10), b"");
}

#[test]
fn a_pipe_waits_for_room_and_for_bytes_and_tells_the_end() {
    const BYTES: usize = 1 << 20;
    let (mut here, mut there) = pipe();
    let writer = thread::spawn(move || {
        let mut left = BYTES;
        while left > 0 {
            let chunk = vec![1; left.min(10_000)];
            left -= block_on(poll_fn(|cx| here.poll_write(cx, &chunk)), &guard()).unwrap().unwrap();
        }
    });
    let mut got = 0;
    loop {
        let read = read(&mut there, 7_000).len();
        if read == 0 {
            break;
        }
        got += read;
    }
    assert_eq!(got, BYTES);
    writer.join().unwrap();
    let gone = block_on(poll_fn(|cx| there.poll_write(cx, b"x")), &guard()).unwrap();
    assert_eq!(gone.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}
