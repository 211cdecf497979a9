//! Transports that lie, stall and fail.

mod common;

use std::io::{self, ErrorKind, IoSlice, Write};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use common::script::{Scripted, Step, frames};
use common::{both, frame, guard, modern, patiently, raw_server, server, sockets, upgraded};
use ws_blocking::ws_proto::Timers;
use ws_blocking::{Cause, CloseCode, Config, Error, NetStream, Role, Transport, WebSocket};

/// A small random number generator: tests print their seed by failing.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    /// What a transport may do without being broken.
    fn step(&mut self) -> Step {
        match self.roll(8) {
            0 | 1 => Step::Wait,
            2 => Step::Fail(ErrorKind::Interrupted),
            3 => Step::Fail(ErrorKind::WouldBlock),
            4 => Step::Move(1),
            5 => Step::Move(1 + self.roll(5) as usize),
            6 => Step::Move(1 + self.roll(100) as usize),
            _ => Step::Move(1 + self.roll(100_000) as usize),
        }
    }

    fn steps(mut self) -> impl Iterator<Item = Step> + Send {
        std::iter::from_fn(move || Some(self.step()))
    }
}

#[test]
fn threat_113_spurious_wakes_interruptions_and_short_counts_change_nothing() {
    patiently(|| {
        for seed in 0..200 {
            let mut dice = Dice::new(seed);
            let mut input = Vec::new();
            let mut expected = Vec::new();
            for _ in 0..dice.roll(20) {
                let len = [0, 1, 125, 126, 3000, 70_000][dice.roll(6) as usize];
                input.extend(frame(0x82, &vec![len as u8; len]));
                expected.push((0x82, vec![len as u8; len]));
            }
            input.extend(frame(0x88, b"\x03\xe8"));
            expected.push((0x88, b"\x03\xe8".to_vec()));
            let mut transport =
                Scripted::new(&input).reads(Dice::new(seed + 1000).steps()).writes(Dice::new(seed + 2000).steps());
            transport.vectored = seed % 2 == 0;
            let log = transport.log.clone();
            let mut ws = server(transport);
            while let Some(message) = ws.recv().unwrap() {
                ws.send(message).unwrap();
            }
            assert!(ws.closed().unwrap().is_clean(), "seed {seed}: {:?}", ws.closed());
            assert!(log.get(|log| frames(&log.written)) == expected, "seed {seed}");
        }
    });
}

/// Says that it did more than it could.
struct Liar {
    reading: bool,
    writing: bool,
}

impl Transport for Liar {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.reading { Poll::Ready(Ok(1_000_000)) } else { Poll::Pending }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(if self.writing { bytes.len() + 1 } else { bytes.len() }))
    }

    fn poll_write_vectored(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        Poll::Ready(Ok(if self.writing { usize::MAX } else { len }))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn threat_113_counts_that_are_too_large_are_errors() {
    patiently(|| {
        let mut ws = server(Liar { reading: true, writing: false });
        assert_eq!(ws.recv(), Ok(None));
        assert_eq!(ws.closed().unwrap().cause, Cause::Transport);
        assert_eq!(ws.io_error().unwrap().kind(), ErrorKind::InvalidData);

        let mut ws = server(Liar { reading: false, writing: true });
        assert_eq!(ws.send("x"), Err(Error::Closed));
        assert_eq!(ws.recv(), Ok(None));
        assert_eq!(ws.closed().unwrap().cause, Cause::Transport);
        assert_eq!(ws.io_error().unwrap().kind(), ErrorKind::InvalidData);

        assert!(ws_blocking::accept(Liar { reading: true, writing: false }).is_err());
        let connector = ws_blocking::Connector::new("ws://localhost/").unwrap();
        assert!(connector.connect_over(Liar { reading: false, writing: true }).is_err());
    });
}

#[test]
fn timers_off_needs_no_time() {
    patiently(|| {
        let mut config = Config::default();
        config.timers = Timers::off();
        let bytes = [frame(0x81, b"x"), frame(0x88, b"\x03\xe8")].concat();
        let transport = Scripted::new(bytes).reads([Step::Wait, Step::Move(3), Step::Wait]).writes([Step::Wait]);
        let mut ws = WebSocket::from_upgraded(transport, Role::Server, modern(), config);
        while let Some(message) = ws.recv().unwrap() {
            ws.send(message).unwrap();
        }
        assert!(ws.closed().unwrap().is_clean());
    });
}

#[test]
fn threat_117_two_that_only_send_end_by_the_write_stall() {
    patiently(|| {
        let mut config = Config::default();
        config.timers.write_stall = Some(Duration::from_millis(300));
        let (a, b) = sockets();
        let pour = |tcp, role| {
            let mut ws = upgraded(NetStream::from(tcp), role, config.clone());
            move || {
                while ws.send(vec![1; 100_000]).is_ok() {}
                while ws.recv().unwrap().is_some() {}
                ws.closed().unwrap().cause
            }
        };
        let causes = both(pour(a, Role::Client), pour(b, Role::Server));
        assert!(causes.0 == Cause::WriteStalled || causes.1 == Cause::WriteStalled, "{causes:?}");
    });
}

#[test]
fn threat_102_the_end_of_the_stream_at_every_byte() {
    patiently(|| {
        let bytes = [
            frame(0x81, b"one"),
            frame(0x01, b"tw"),
            frame(0x89, b"?"),
            frame(0x80, b"o"),
            frame(0x82, &[3; 200]),
            frame(0x88, b"\x03\xe8"),
        ];
        let ends: Vec<_> = [0, 3, 4].iter().map(|n| bytes[..=*n].concat().len()).collect();
        let bytes = bytes.concat();
        for cut in 0..=bytes.len() {
            for reset in [false, true] {
                let last = if reset { Step::Fail(ErrorKind::ConnectionReset) } else { Step::Move(0) };
                let reads = if cut == 0 { vec![last] } else { vec![Step::Move(cut), last] };
                let mut ws = server(Scripted::new(&bytes[..cut]).reads(reads));
                let mut got = 0;
                while ws.recv().unwrap().is_some() {
                    got += 1;
                }
                assert_eq!(got, ends.iter().filter(|end| cut >= **end).count(), "cut at {cut}");
                let closed = ws.closed().unwrap();
                if cut == bytes.len() {
                    assert!(closed.is_clean(), "{closed:?}");
                } else {
                    let cause = if reset { Cause::Transport } else { Cause::Eof };
                    assert_eq!((closed.cause, closed.code()), (cause, CloseCode::ABNORMAL), "cut at {cut}");
                    assert_eq!(ws.io_error().is_some(), reset);
                }
            }
        }
    });
}

#[test]
fn threat_102_a_reset_of_a_real_socket() {
    patiently(|| {
        let (here, mut peer) = sockets();
        let mut ws = server(NetStream::from(here));
        ws.send("never read by the peer").unwrap();
        peer.write_all(&frame(0x81, b"before")).unwrap();
        // Data that was not read turns the close of the peer into a reset.
        while peer.peek(&mut [0; 1]).unwrap() == 0 {}
        drop(peer);
        assert_eq!(ws.recv(), Ok(Some("before".into())));
        assert_eq!(ws.recv(), Ok(None));
        assert_eq!(ws.closed().unwrap().cause, Cause::Transport);
        assert_eq!(ws.io_error().unwrap().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn threat_105_a_peer_in_mid_upload_reads_the_close() {
    patiently(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        const TIMES: usize = 200;
        let serving = thread::spawn(move || {
            for _ in 0..TIMES {
                let mut ws = server(NetStream::from(listener.accept().unwrap().0));
                while ws.recv().unwrap().is_some() {}
            }
        });
        // Opcode 3 does not exist; the upload goes on behind it.
        let upload = [frame(0x83, b""), vec![0x55; 512 * 1024]].concat();
        for n in 0..TIMES {
            let mut peer = std::net::TcpStream::connect(address).unwrap();
            peer.write_all(&upload).unwrap();
            let mut got = Vec::new();
            io::Read::read_to_end(&mut peer, &mut got).unwrap();
            assert_eq!(got[..1], [0x88], "{n}");
            assert_eq!(got[2..4], 1002_u16.to_be_bytes(), "{n}");
        }
        serving.join().unwrap();
    });
}

#[test]
fn threat_031_a_slow_handler_stops_the_reading() {
    patiently(|| {
        let (mut peer, mut ws) = raw_server(Config::default());
        let message = frame(0x82, &[1; 1000]);
        let pouring = thread::spawn(move || {
            let mut taken: usize = 0;
            loop {
                // As much as goes without waiting for long.
                let wrote = ws_blocking::block_on(
                    std::future::poll_fn(|cx| peer.0.poll_write(cx, &message[taken % message.len()..])),
                    &Duration::from_millis(300).into(),
                );
                match wrote {
                    Ok(n) => taken += n.unwrap(),
                    Err(_) => return (taken, peer),
                }
            }
        });
        assert!(ws.recv().unwrap().is_some());
        // What was taken lies in the pipe and in one read buffer.
        let (taken, peer) = pouring.join().unwrap();
        assert!(taken <= 2 * 64 * 1024 + 2000, "{taken}");
        drop(peer);
        let mut got = 1;
        while ws.recv().unwrap().is_some() {
            got += 1;
        }
        assert!(got * 1008 >= taken - 1008, "{got}");
    });
}

#[test]
fn the_end_of_the_handshake_is_written_before_the_server_waits() {
    patiently(|| {
        let (here, there) = ws_blocking::pipe();
        let serving = thread::spawn(move || {
            let mut ws = ws_blocking::accept(there).unwrap();
            ws.set_wait(guard());
            ws.recv()
        });
        let mut peer = common::Raw(here);
        peer.write_all(
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .unwrap();
        let mut start = [0; 12];
        io::Read::read_exact(&mut peer, &mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 101");
        drop(peer);
        assert_eq!(serving.join().unwrap(), Ok(None));
    });
}
