//! How streams end.

use std::io::ErrorKind;

use ws_proto::{Cause, CloseCode};

use crate::poke::{Hears, Verbs};
use crate::wire::{Scripted, Step, frame};

crate::with_the_verbs_of_all!(
    threat_102_the_end_of_the_stream_at_every_byte,
    a_stream_tells_an_unclean_end_once,
    a_stream_does_not_tell_a_clean_end,
);

fn threat_102_the_end_of_the_stream_at_every_byte<V: Verbs>() {
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
            let mut ws = V::server(Scripted::new(&bytes[..cut]).reads(reads));
            let got = ws.all().len();
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
    // The half that receives tells the same.
    let (mut receiver, _sender) = V::server(Scripted::new(&bytes[..20])).split();
    while receiver.recv() != Some(None) {}
    assert_eq!(receiver.closed().unwrap().cause, Cause::Eof);
}

fn a_stream_tells_an_unclean_end_once<V: Verbs>() {
    let mut ws = V::client(Scripted::new("\u{1}"));
    let Some(Some(Err(closed))) = ws.next() else { panic!("no error") };
    assert_eq!(closed.cause, Cause::Eof);
    assert!(matches!(ws.next(), Some(None)));
    assert!(matches!(ws.next(), Some(None)));
    assert!(ws.send("x").unwrap().is_err());
}

fn a_stream_does_not_tell_a_clean_end<V: Verbs>() {
    let mut ws = V::server(Scripted::new([frame(0x81, b"one"), frame(0x88, b"\x03\xe8")].concat()));
    assert!(matches!(ws.next(), Some(Some(Ok(_)))));
    assert!(matches!(ws.next(), Some(None)));
    assert!(ws.closed().unwrap().is_clean());
}
