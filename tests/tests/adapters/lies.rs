//! Transports that lie, stall and fail, and programs that call anything at any time.

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::{Context, Poll};

use ws_proto::{Cause, CloseCode, Kind, Message, Role};

use crate::poke::{Verbs, with_patience};
use crate::wire::{Scripted, Step, Wire, frame, pipe};
use crate::{Dice, quiet};

crate::with_the_verbs_of_all!(
    threat_113_spurious_wakes_interruptions_and_short_counts_change_nothing,
    threat_113_counts_that_are_too_large_are_errors,
    threat_113_a_write_of_nothing_is_an_error,
    threat_113_after_a_failed_write_what_had_arrived_is_still_delivered,
    threat_106_many_causes_at_once_make_one_end,
    threat_114_any_order_of_calls_is_harmless,
    threat_111_a_connection_that_always_has_input_lets_others_run,
);

/// What a transport may do without being broken.
fn step(dice: &mut Dice) -> Step {
    match dice.roll(8) {
        0 | 1 => Step::Wait,
        2 => Step::Fail(ErrorKind::Interrupted),
        3 => Step::Fail(ErrorKind::WouldBlock),
        4 => Step::Move(1),
        5 => Step::Move(1 + dice.roll(5) as usize),
        6 => Step::Move(1 + dice.roll(100) as usize),
        _ => Step::Move(1 + dice.roll(100_000) as usize),
    }
}

fn steps(seed: u64) -> impl Iterator<Item = Step> + Send {
    let mut dice = Dice::new(seed);
    std::iter::from_fn(move || Some(step(&mut dice)))
}

/// As long as it takes.
fn patiently<T>(f: impl FnOnce() -> T) -> T {
    with_patience(usize::MAX, Rc::new(|| {}), f)
}

fn threat_113_spurious_wakes_interruptions_and_short_counts_change_nothing<V: Verbs>() {
    for seed in 0..150 {
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
        let mut transport = Scripted::new(&input).reads(steps(seed + 1000)).writes(steps(seed + 2000));
        transport.vectored = seed % 2 == 0;
        let log = transport.log.clone();
        let mut ws = V::server(transport);
        patiently(|| {
            while let Some(message) = ws.recv().unwrap() {
                ws.send(message).unwrap().unwrap();
            }
        });
        assert!(ws.closed().unwrap().is_clean(), "seed {seed}: {:?}", ws.closed());
        assert!(log.frames() == expected, "seed {seed}");
    }
}

/// Says that it did more than it could.
struct Liar {
    reading: bool,
    writing: bool,
}

impl Wire for Liar {
    fn read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(if self.reading { buffer.len() + 1 } else { 0 }))
    }

    fn write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(if self.writing { bytes.len() + 1 } else { bytes.len() }))
    }
}

fn threat_113_counts_that_are_too_large_are_errors<V: Verbs>() {
    let mut ws = V::server(Liar { reading: true, writing: false });
    assert_eq!(ws.recv(), Some(None));
    assert_eq!(ws.closed().unwrap().cause, Cause::Transport);
    assert_eq!(ws.io_error().unwrap().kind(), ErrorKind::InvalidData);

    let mut ws = V::server(Liar { reading: false, writing: true });
    assert_eq!(ws.send("x"), Some(Err(ws_adapter::Error::Closed)));
    assert_eq!(ws.recv(), Some(None));
    assert_eq!(ws.closed().unwrap().cause, Cause::Transport);
    assert_eq!(ws.io_error().unwrap().kind(), ErrorKind::InvalidData);

    // Not only short messages.
    let mut ws = V::server(Liar { reading: false, writing: true });
    ws.try_send(vec![0; 100_000]).unwrap();
    ws.try_send(vec![0; 100_000]).unwrap();
    ws.flush().unwrap().unwrap_err();

    assert!(V::accept(Liar { reading: true, writing: false }).unwrap().is_err());
    assert!(V::connect("ws://localhost/", Liar { reading: false, writing: true }).unwrap().is_err());
}

fn threat_113_a_write_of_nothing_is_an_error<V: Verbs>() {
    let transport = Scripted::new("").reads([Step::Stuck]).writes([Step::Move(0)]);
    let mut ws = V::server(transport);
    assert_eq!(ws.send("x"), Some(Err(ws_adapter::Error::Closed)));
    assert_eq!(ws.send("y"), Some(Err(ws_adapter::Error::Closed)));
    assert_eq!(patiently(|| ws.recv()), Some(None));
    assert_eq!(ws.closed().unwrap().cause, Cause::Transport);
    assert_eq!(ws.io_error().unwrap().kind(), ErrorKind::WriteZero);
}

fn threat_113_after_a_failed_write_what_had_arrived_is_still_delivered<V: Verbs>() {
    let bytes = [frame(0x81, b"one"), frame(0x81, b"two"), frame(0x88, b"\x03\xe9")].concat();
    let transport =
        Scripted::new(bytes).reads([Step::Move(20), Step::Wait]).writes([Step::Fail(ErrorKind::BrokenPipe)]);
    let mut ws = V::server(transport);
    assert_eq!(ws.send("x"), Some(Err(ws_adapter::Error::Closed)));
    assert_eq!(ws.all(), [Message::from("one"), Message::from("two")]);
    let closed = ws.closed().unwrap();
    assert_eq!((closed.cause, closed.code()), (Cause::Transport, CloseCode::GOING_AWAY));
    assert_eq!(ws.io_error().unwrap().kind(), ErrorKind::BrokenPipe);
}

fn threat_106_many_causes_at_once_make_one_end<V: Verbs>() {
    // The peer's Close, the end of the stream or an error, a failing write, our own close and abort.
    for order in 0..64_u32 {
        let bytes = if order & 1 == 0 { frame(0x88, b"\x03\xe8") } else { Vec::new() };
        let last = if order & 2 == 0 { Step::Move(0) } else { Step::Fail(ErrorKind::ConnectionReset) };
        let write = if order & 4 == 0 { Step::Move(1000) } else { Step::Fail(ErrorKind::BrokenPipe) };
        let reads = if bytes.is_empty() { vec![last] } else { vec![Step::Move(100), last] };
        let transport = Scripted::new(bytes).reads(reads).writes([write]);
        let mut ws = V::server(transport);
        if order & 8 == 0 {
            ws.start_close(4000.into(), "").unwrap();
        }
        patiently(|| {
            let mut ends = 0;
            if order & 16 == 0 {
                ends += u32::from(ws.recv_event().unwrap().is_none());
            }
            if order & 32 == 0 {
                ws.abort();
            }
            while ws.recv_event().unwrap().is_some() {
                assert_eq!(ends, 0, "an event after the end");
            }
            let first = ws.closed().cloned().unwrap();
            ws.abort();
            assert_eq!(ws.recv(), Some(None));
            assert_eq!(ws.close(1000.into(), "").unwrap().unwrap(), first, "order {order}");
        });
    }
}

fn threat_114_any_order_of_calls_is_harmless<V: Verbs>() {
    for seed in 0..400 {
        let mut dice = Dice::new(seed);
        let (a, b) = pipe(1 + dice.roll(300) as usize);
        let mut both = [V::client(a), V::upgraded(Role::Server, b, quiet())];
        for _ in 0..60 {
            let ws = &mut both[dice.roll(2) as usize];
            let message = vec![0; dice.roll(600) as usize];
            // Each call is interrupted where it would wait.
            match dice.roll(15) {
                0..=2 => drop(ws.recv()),
                3 => drop(ws.recv_event()),
                4 => drop(ws.send(message)),
                5 => drop(ws.feed("text")),
                6 => drop(ws.flush()),
                7 => drop(ws.ping(&message)),
                8 => drop(ws.try_send(message)),
                9 => drop(ws.start_message(Kind::Text).map(|mut writer| writer.write(&message))),
                10 => drop(ws.resume_message().map(|writer| writer.finish(b"end"))),
                11 if dice.roll(6) == 0 => drop(ws.close((dice.roll(5000) as u16).into(), "")),
                12 if dice.roll(12) == 0 => ws.abort(),
                13 => drop(ws.next()),
                _ => drop((ws.stats(), ws.closed().is_some(), ws.io_error().is_some(), ws.is_open())),
            }
        }
        let [a, b] = both;
        match dice.roll(3) {
            0 => drop(a),
            1 => drop(a.split().0),
            _ => drop(a.split().1),
        }
        drop(b);
    }
}

fn threat_111_a_connection_that_always_has_input_lets_others_run<V: Verbs>() {
    // A call that blocks has nobody to make room for, except whoever cancels it.
    let input = frame(0x81, b"").repeat(20_000);
    let mut ws = V::server(Scripted::new(input));
    let mut got = 0;
    let mut longest = 0;
    let mut run = 0;
    while got < 20_000 {
        match ws.recv() {
            Some(message) => {
                assert_eq!(message, Some(Message::from("")));
                got += 1;
                run += 1;
                longest = longest.max(run);
            }
            None => run = 0,
        }
    }
    assert!(longest <= V::MOST_AT_ONCE, "{longest}");
    // Input that makes no events, too.
    let transport = Scripted::new(frame(0x02, &[0; 1000])).reads(std::iter::repeat(Step::Move(1)));
    let log = transport.log.clone();
    let mut ws = V::server(transport);
    assert_eq!(crate::poke::by_deadline(|| ws.recv()), None);
    let reads = log.get(|log| log.reads);
    assert!(reads <= 128, "{reads}");
}
