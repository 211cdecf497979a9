//! What connections cost in memory. It is counted for each thread.

mod common;

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use alloc_meter::Mark;
use common::{frame, guard, patiently, server, sockets, tcp_pair};
use ws_blocking::{NetStream, Transport, Wait};

/// Gives one byte at a time, and allocates nothing.
struct Bytewise {
    bytes: Vec<u8>,
    given: usize,
    wait: bool,
}

impl Transport for Bytewise {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.wait = !self.wait;
        if self.wait {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(byte) = self.bytes.get(self.given) else { return Poll::Ready(Ok(0)) };
        buffer[0] = *byte;
        self.given += 1;
        Poll::Ready(Ok(1))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn threat_026_a_message_in_single_bytes_takes_few_allocations() {
    let _alone = alone();
    patiently(|| {
        let bytes = frame(0x82, &vec![7; 1024 * 1024]);
        let mut ws = server(Bytewise { bytes, given: 0, wait: false });
        let mark = Mark::now();
        let message = ws.recv().unwrap().unwrap();
        assert_eq!(message.len(), 1024 * 1024);
        let usage = mark.usage();
        assert!(usage.allocations <= 40, "{usage:?}");
        assert!(usage.peak <= 2 * 1024 * 1024 + 64 * 1024 + 4096, "{usage:?}");
    });
}

/// Connections of all threads share a pool, so that what one test takes from it, another would miss.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Long enough for a thread to notice that nothing happens.
const SILENCE: Duration = Duration::from_millis(800);

#[test]
fn threat_033_a_thread_that_waits_for_long_keeps_no_buffer() {
    let _alone = alone();
    patiently(|| {
        let (here, peer) = sockets();
        let mut ws = server(NetStream::from(here));
        let mut round = |waits: bool| {
            let writer = thread::spawn({
                let mut peer = peer.try_clone().unwrap();
                move || {
                    // Mostly, the other thread reads ahead by then.
                    thread::sleep(Duration::from_millis(20));
                    peer.write_all(&frame(0x82, &[1; 10_000])).unwrap();
                }
            });
            let message = ws.recv().unwrap().unwrap();
            ws.send(message).unwrap();
            writer.join().unwrap();
            if waits {
                ws.set_wait(SILENCE);
                assert!(ws.recv().is_err());
                ws.set_wait(guard());
            }
        };
        // What the pool of all keeps comes and goes between threads; so it is filled first.
        (0..3).for_each(|_| round(true));
        let mark = Mark::now();
        round(true);
        let live = mark.usage().live;
        assert!(live.abs() <= 2048, "{live} bytes kept by a silent thread");
    });
}

#[test]
fn threat_034_memory_of_a_large_message_is_given_back() {
    let _alone = alone();
    patiently(|| {
        let (mut client, mut server) = tcp_pair();
        let sending = thread::spawn(move || {
            for _ in 0..3 {
                client.send(vec![1; 4 * 1024 * 1024]).unwrap();
                assert!(client.recv().unwrap().is_some());
            }
            client
        });
        for round in 0..3 {
            let mark = Mark::now();
            let message = server.recv().unwrap().unwrap();
            assert_eq!(message.len(), 4 * 1024 * 1024);
            drop(message);
            server.set_wait(Wait::from(SILENCE));
            assert!(server.recv().is_err());
            server.set_wait(guard());
            let usage = mark.usage();
            if round > 0 {
                assert!(usage.live.abs() <= 128 * 1024, "{usage:?}");
            }
            server.send("next").unwrap();
        }
        drop(sending.join().unwrap());
    });
}
