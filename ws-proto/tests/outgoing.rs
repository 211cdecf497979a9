//! Whatever is queued and however it is written, the wire holds whole frames in order.

use std::collections::VecDeque;

use bytes::Bytes;
use ws_proto::connection::{Connection, Event, Negotiated, Prepared};
use ws_proto::{
    Cause, CloseCode, Config, Entropy, EntropyError, Input, Instant, Kind, OsEntropy, Role, SendError, Version,
};

/// A small random number generator; a failing test prints its seed.
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

    fn size(&mut self) -> usize {
        match self.roll(12) {
            0 => 0,
            1 => 1,
            2 => 125 + self.roll(3) as usize,
            3 => 4093 + self.roll(6) as usize,
            4 => 65_533 + self.roll(6) as usize,
            5 => self.roll(200_000) as usize,
            _ => self.roll(300) as usize,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Frame {
    first: u8,
    payload: Vec<u8>,
}

/// A parser of its own; `None` if the bytes end inside a frame.
fn parse(mut bytes: &[u8]) -> Option<Vec<Frame>> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (len, rest) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), &rest[2..]),
            127 => (u64::from_be_bytes(*rest.first_chunk()?) as usize, &rest[8..]),
            short => (usize::from(short), rest),
        };
        let (key, rest) = if second & 0x80 == 0 { (&[0; 4][..], rest) } else { rest.split_at_checked(4)? };
        let (payload, rest) = rest.split_at_checked(len)?;
        let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        frames.push(Frame { first: *first, payload });
        bytes = rest;
    }
    bytes.is_empty().then_some(frames)
}

/// A masked or plain ping or pong, as the peer sends it.
fn control(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = if role == Role::Server { 0x80 } else { 0 };
    let mut frame = vec![first, mask | payload.len() as u8];
    if role == Role::Server {
        frame.extend([0; 4]);
    }
    frame.extend(payload);
    frame
}

struct Model {
    dice: Dice,
    role: Role,
    conn: Connection,
    wire: Vec<u8>,
    /// Data frames, each with its place in the order.
    data: VecDeque<Frame>,
    /// Pings and pongs that were asked for.
    controls: VecDeque<Frame>,
    /// Payloads of pings that came, in order: some of them are answered, in order.
    pinged: VecDeque<Vec<u8>>,
    close: bool,
    counter: u32,
    fragment: Option<usize>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let role = if dice.roll(2) == 0 { Role::Server } else { Role::Client };
        let mut config = Config::default();
        config.limits.outgoing = [0, 100_000, 1024 * 1024][dice.roll(3) as usize];
        let fragment = [None, None, Some(1), Some(100), Some(5000), Some(70_000)][dice.roll(6) as usize];
        config.auto_fragment = fragment.and_then(std::num::NonZeroUsize::new);
        let mut conn = Connection::from_upgraded(role, Negotiated::new(Version::Rfc6455), config, Box::new(OsEntropy));
        let mut controls = VecDeque::new();
        if dice.roll(2) == 0 {
            // Stands for the rest of a handshake, in a form that the parser knows.
            conn = conn.with_early_output(b"\x8a\x05early");
            controls.push_back(Frame { first: 0x8a, payload: b"early".to_vec() });
        }
        Self {
            dice,
            role,
            conn,
            wire: Vec::new(),
            data: VecDeque::new(),
            controls,
            pinged: VecDeque::new(),
            close: false,
            counter: 0,
            fragment,
        }
    }

    fn payload(&mut self, len: usize) -> Vec<u8> {
        self.counter += 1;
        (0..len).map(|i| (self.counter as usize + i * 7) as u8).collect()
    }

    fn expect_message(&mut self, payload: &[u8], cut: bool) {
        let max = self.fragment.filter(|max| cut && payload.len() > *max).unwrap_or(usize::MAX);
        let count = payload.chunks(max).count().max(1);
        for i in 0..count {
            let part = payload.chunks(max).nth(i).unwrap_or_default().to_vec();
            let first = if i == 0 { 2 } else { 0 } | if i + 1 == count { 0x80 } else { 0 };
            self.data.push_back(Frame { first, payload: part });
        }
    }

    fn send(&mut self) {
        let len = if self.fragment.is_some_and(|n| n < 100) { self.dice.roll(300) as usize } else { self.dice.size() };
        let payload = self.payload(len);
        let cut = self.dice.roll(4) > 0;
        let result = match self.dice.roll(3) {
            _ if !cut => self.conn.send_prepared(&Prepared::new(&payload)),
            0 => self.conn.send(&payload).map_err(SendError::without_message),
            1 => self.conn.send(Bytes::from(payload.clone())).map_err(SendError::without_message),
            _ => self.conn.send(payload.clone()).map_err(SendError::without_message),
        };
        if result.is_ok() {
            self.expect_message(&payload, cut);
        }
    }

    fn pieces(&mut self) {
        let fresh = self.conn.resume_message().is_none();
        if fresh && self.conn.start_message(Kind::Binary).is_err() {
            return;
        }
        let mut started = !fresh;
        for _ in 0..1 + self.dice.roll(3) {
            let len = self.dice.size();
            let payload = self.payload(len);
            let last = self.dice.roll(3) == 0;
            let writer = self.conn.resume_message();
            let Some(mut writer) = writer else { return };
            let result = if last { writer.finish(&payload) } else { writer.write(&payload) };
            if result.is_err() {
                // Full: the message stays open, with nothing of it sent yet perhaps.
                if !started {
                    self.drain();
                    if let Some(writer) = self.conn.resume_message() {
                        writer.finish(b"x").unwrap();
                        self.data.push_back(Frame { first: 0x82, payload: b"x".to_vec() });
                    }
                }
                return;
            }
            let first = if started { 0 } else { 2 } | if last { 0x80 } else { 0 };
            self.data.push_back(Frame { first, payload });
            started = true;
            if last {
                return;
            }
        }
    }

    fn step(&mut self) {
        let now = Instant::ZERO;
        match self.dice.roll(16) {
            0..5 => self.send(),
            5 => self.pieces(),
            6 => {
                let payload = self.payload(4);
                if self.conn.ping(now, &payload).is_ok() {
                    self.controls.push_back(Frame { first: 0x89, payload });
                }
            }
            7 => {
                let payload = self.payload(9);
                if self.conn.pong(&payload).is_ok() {
                    self.controls.push_back(Frame { first: 0x8a, payload });
                }
            }
            8 | 9 => {
                self.counter += 1;
                let payload = self.counter.to_be_bytes();
                let mut bytes = control(self.role, 0x89, &payload);
                let mut input = Input::new(&mut bytes);
                while self.conn.poll(now, &mut input).is_some() {}
                if !self.close {
                    self.pinged.push_back(payload.to_vec());
                }
            }
            10..14 => self.write(),
            14 => {
                if let Some(bytes) = self.conn.take_outgoing(now) {
                    assert!(!bytes.is_empty());
                    self.wire.extend_from_slice(&bytes);
                }
            }
            _ if self.dice.roll(20) == 0 => {
                self.conn.close(now, CloseCode::NORMAL, "bye").unwrap();
                self.close = true;
            }
            _ => self.conn.release_memory(),
        }
        let left: usize = self.conn.outgoing().map(<[u8]>::len).sum();
        assert!(self.conn.outgoing().all(|slice| !slice.is_empty()));
        assert_eq!(self.conn.wants_write(), left > 0);
        assert!(self.conn.buffered() <= left);
    }

    /// Writes a part of what is offered.
    fn write(&mut self) {
        let offered: Vec<u8> = self.conn.outgoing().flatten().copied().collect();
        let borders: Vec<usize> = self
            .conn
            .outgoing()
            .scan(0, |sum, slice| {
                *sum += slice.len();
                Some(*sum)
            })
            .collect();
        let n = match self.dice.roll(4) {
            0 => offered.len(),
            1 if !borders.is_empty() => borders[self.dice.roll(borders.len() as u64) as usize],
            2 => self.dice.roll(20) as usize,
            _ => self.dice.roll(offered.len() as u64 + 1) as usize,
        };
        let n = n.min(offered.len());
        self.wire.extend_from_slice(&offered[..n]);
        self.conn.advance(Instant::ZERO, n);
    }

    fn drain(&mut self) {
        while self.conn.wants_write() {
            self.write();
        }
    }

    fn check(mut self, seed: u64) {
        self.drain();
        let frames = parse(&self.wire).unwrap_or_else(|| panic!("seed {seed}: the wire ends inside a frame"));
        let mut closed = false;
        for frame in frames {
            assert!(!closed, "seed {seed}: a frame after the Close");
            match frame.first & 0x0f {
                0..8 => assert_eq!(self.data.pop_front(), Some(frame), "seed {seed}"),
                8 => closed = true,
                _ if self.controls.front() == Some(&frame) => drop(self.controls.pop_front()),
                _ => {
                    assert_eq!(frame.first, 0x8a, "seed {seed}");
                    let at = self.pinged.iter().position(|ping| *ping == frame.payload);
                    let at = at.unwrap_or_else(|| panic!("seed {seed}: a pong for no ping, or out of order"));
                    self.pinged.drain(..=at);
                }
            }
        }
        assert!(self.data.is_empty() && self.controls.is_empty(), "seed {seed}: lost");
        assert!(self.pinged.is_empty(), "seed {seed}: the latest ping is always answered");
        assert_eq!(closed, self.close, "seed {seed}");
    }
}

#[test]
fn the_wire_holds_whole_frames_in_order() {
    let seeds = if cfg!(miri) { 3 } else { 200 };
    for seed in 0..seeds {
        let mut model = Model::new(seed);
        for _ in 0..model.dice.roll(80) {
            model.step();
        }
        model.check(seed);
    }
}

/// Completion-based I/O takes the bytes away: that is progress like any other.
#[test]
fn taken_output_does_not_stall() {
    let mut conn = Connection::from_upgraded(
        Role::Server,
        Negotiated::new(Version::Rfc6455),
        Config::default(),
        Box::new(OsEntropy),
    );
    let at = Instant::from_secs;
    conn.send("Hello").unwrap();
    assert_eq!(conn.poll(at(1), &mut Input::empty()), None);
    assert!(conn.take_outgoing(at(1)).is_some());
    assert!(!conn.wants_write());
    // The peer is alive all the time.
    for second in 2..100 {
        let mut bytes = control(Role::Server, 0x8a, b"");
        let mut input = Input::new(&mut bytes);
        while let Some(event) = conn.poll(at(second), &mut input) {
            assert!(!matches!(event, Event::Closed(_)), "{event:?}");
        }
        conn.handle_timeout(at(second));
        assert!(!matches!(conn.poll(at(second), &mut Input::empty()), Some(Event::Closed(_))), "at {second}");
    }
}

/// Fails once, after the first 64 keys.
struct Hiccup(u32);

impl Entropy for Hiccup {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.fill(7);
        self.0 += 1;
        if self.0 == 2 { Err(EntropyError) } else { Ok(()) }
    }
}

/// Another message would stand in the middle of the one that can't be finished.
#[test]
fn nothing_follows_a_message_that_was_cut() {
    let mut config = Config::default();
    config.auto_fragment = std::num::NonZeroUsize::new(1);
    let negotiated = Negotiated::new(Version::Rfc6455);
    let mut conn = Connection::from_upgraded(Role::Client, negotiated, config, Box::new(Hiccup(0)));
    assert!(matches!(conn.send(&[0; 100]), Err(SendError::Entropy(_))));
    assert!(matches!(conn.send("x"), Err(SendError::Closed(_))));
    assert!(!conn.can_send());
    let wire: Vec<u8> = conn.outgoing().flatten().copied().collect();
    let frames = parse(&wire).unwrap();
    assert_eq!((frames.len(), frames[63].first), (64, 0));
    let end = conn.poll(Instant::ZERO, &mut Input::empty());
    assert!(matches!(end, Some(Event::Closed(closed)) if closed.cause == Cause::Entropy));
}

/// Bytes that came with the handshake and are never looked at do not hold up the end.
#[test]
fn the_time_to_close_passes_with_early_input_unread() {
    let negotiated = Negotiated::new(Version::Rfc6455);
    let mut conn = Connection::from_upgraded(Role::Server, negotiated, Config::default(), Box::new(OsEntropy))
        .with_early_input(b"\x81\x80\0\0\0\0".to_vec());
    conn.close(Instant::ZERO, CloseCode::NORMAL, "").unwrap();
    let deadline = conn.poll_timeout().unwrap();
    conn.handle_timeout(deadline);
    assert_eq!(conn.poll_timeout(), None);
    let end = conn.poll(deadline, &mut Input::empty());
    assert!(matches!(end, Some(Event::Closed(closed)) if closed.cause == Cause::CloseTimeout));
}
