//! What is sent.

use core::time::Duration;
use std::thread;

use super::super::pool;
use super::*;

const TAIL: &[u8] = b"\x00\x00\xff\xff";

fn shared() -> Deflate {
    Deflate { shared_compressor: true, ..Deflate::default() }
}

fn own() -> Deflate {
    Deflate { shared_compressor: false, ..Deflate::default() }
}

#[test]
fn what_is_sent_can_be_decoded() {
    let mut rng = Rng(11);
    for (takeover, settings) in [(true, Deflate::default()), (true, shared()), (false, shared())] {
        let mut encoder = encoder(&settings, 15, takeover);
        let mut decoder = decoder();
        for len in [0, 1, 5, 100, 16_384, 32_768, 100_000, 3, 0, 300_000, 1000] {
            let text = mixed(&mut rng, len);
            let message = encode(&mut *encoder, &text);
            assert!(decode(&mut *decoder, &message).unwrap() == text);
        }
    }
}

#[test]
fn empty_messages_are_one_byte() {
    for settings in [Deflate::default(), shared()] {
        let mut encoder = encoder(&settings, 15, true);
        assert_eq!(encode(&mut *encoder, b""), b"\x00");
        assert_eq!(encoder.idle_after(), None, "no compressor was needed");
        let mut decoder = decoder();
        for text in [&b"Hello"[..], b"", b"Hello", b"", b""] {
            let message = encode(&mut *encoder, text);
            assert_eq!(decode(&mut *decoder, &message).unwrap(), text);
        }
    }
}

/// Text that repeats itself at distances around the size of a window.
fn tempting(rng: &mut Rng, bits: u8) -> Vec<u8> {
    let window = 1_usize << bits;
    let mut text = Vec::new();
    let offs: &[isize] = if bits < 11 { &[-300, -262, -100, -2, -1, 0, 1, 9] } else { &[-262, 1] };
    for &off in offs {
        let distance = window.saturating_add_signed(off).clamp(20, 1 << 15);
        let start = text.len();
        text.extend((0..distance).map(|_| (rng.next() % 23) as u8));
        text.extend_from_within(start..start + distance.min(20 + rng.below(60)));
    }
    text
}

/// No distance is larger than the window, whatever the settings. RFC 7692 section 7.1.2.
#[test]
fn windows_are_kept_to() {
    let mut rng = Rng(37);
    for bits in 8..=15 {
        let mut farthest = 0;
        for level in 0..=9 {
            let memory_levels: &[u8] = if bits < 10 { &[1, 2, 3, 4, 5, 6, 7, 8, 9] } else { &[1, 8] };
            for &memory_level in memory_levels {
                for (takeover, shared_compressor) in [(true, false), (true, true), (false, false)] {
                    if bits >= 12 && takeover && level != 6 {
                        continue; // as much as there is time for
                    }
                    let settings = Deflate { level, memory_level, shared_compressor, ..Deflate::default() };
                    farthest = farthest.max(farthest_sent(&settings, bits, takeover, &mut rng));
                }
            }
        }
        // The longest match and a bit less than the window, which for 8 bits is that of 9.
        let most = (1 << bits.max(9)) - 262;
        assert!(farthest <= most && most <= 1 << bits, "{farthest} with {bits}");
        assert!(farthest > most / 2, "the text is of no use: {farthest} with {bits}");
    }
}

fn farthest_sent(settings: &Deflate, bits: u8, takeover: bool, rng: &mut Rng) -> usize {
    let mut encoder = encoder(settings, bits, takeover);
    let mut decoder = Decompress::new(bits, takeover);
    let mut history: Vec<u8> = Vec::new();
    let mut farthest = 0;
    let text = tempting(rng, bits);
    let (first, second) = text.split_at(rng.below(text.len()));
    for text in [first, second, second] {
        let message = [&encode(&mut *encoder, text), TAIL].concat();
        let made = strict::inflate(if takeover { &history } else { b"" }, &message).unwrap();
        assert!(made.text == text);
        assert!(decode(&mut decoder, &message[..message.len() - 4]).unwrap() == text);
        farthest = farthest.max(made.farthest);
        history.extend_from_slice(text);
    }
    farthest
}

/// A piece can be decoded before the next one comes; empty pieces are nothing.
#[test]
fn pieces() {
    let mut rng = Rng(41);
    let pieces: Vec<Vec<u8>> = [0, 10, 0, 5000, 1, 0, 40_000, 0].iter().map(|&len| json(&mut rng, len)).collect();
    for last in [pieces.len(), pieces.len() - 1, 1] {
        for (takeover, settings) in [(true, own()), (true, shared()), (false, Deflate::default())] {
            let mut encoder = encoder(&settings, 15, takeover);
            let mut decoder = Decompress::new(15, takeover);
            for _ in 0..3 {
                let (mut text, mut out) = (Vec::new(), Vec::new());
                for (n, piece) in pieces[..last].iter().enumerate() {
                    let (end, mut encoded) = (n + 1 == last, Vec::new());
                    encoder.encode(piece, end, &mut encoded).unwrap();
                    assert_eq!(encoded.ends_with(TAIL), !end && !piece.is_empty());
                    decode_piece(&mut decoder, &encoded, end, ROOMY, &mut out).unwrap();
                    text.extend_from_slice(piece);
                    assert!(out == text);
                }
                assert_eq!(encoder.idle_after().is_some(), takeover && last > 1);
            }
        }
    }
}

/// The output fills the scratch buffer, or almost.
#[test]
fn output_as_large_as_the_buffer() {
    let mut rng = Rng(43);
    for level in [0, 1, 6] {
        let settings = Deflate { level, ..Deflate::default() };
        let mut encoder = encoder(&settings, 15, true);
        let mut decoder = decoder();
        for len in (16_360..16_390).chain(32_740..32_775) {
            let text: Vec<u8> = (0..len).map(|_| rng.next() as u8).collect();
            let message = encode(&mut *encoder, &text);
            assert!(message.len() <= len + len / 8, "{} of {len} at {level}", message.len());
            assert!(decode(&mut *decoder, &message).unwrap() == text);
        }
    }
}

/// Whoever else sends on this thread, the same is sent that the peer can decode.
#[test]
fn connections_of_a_thread_share_compressors() {
    let mut rng = Rng(47);
    let mut connections: Vec<_> = (0..12)
        .map(|n| {
            let level = [6, 1][n / 2 % 2];
            let settings = Deflate { level, shared_compressor: n % 2 == 0, ..Deflate::default() };
            let bits = [15, 9, 12][n % 3];
            (encoder(&settings, bits, n < 9), Decompress::new(bits, n < 9))
        })
        .collect();
    for _ in 0..400 {
        let at = rng.below(connections.len());
        let (encoder, decoder) = &mut connections[at];
        let len = rng.below(3000);
        let text = json(&mut rng, len);
        match rng.below(6) {
            0 => {
                let mut message = Vec::new();
                encoder.encode_standalone(&text, &mut message).unwrap();
                encoder.standalone_sent();
                assert!(decode(decoder, &message).unwrap() == text);
            }
            1 => encoder.release(),
            _ => {
                let message = encode(&mut **encoder, &text);
                assert!(decode(decoder, &message).unwrap() == text);
            }
        }
    }
}

/// Released in the middle of a message, on another thread than it was made on.
#[test]
fn released_anywhere() {
    let mut rng = Rng(53);
    for settings in [Deflate::default(), shared()] {
        let mut encoder = encoder(&settings, 15, true);
        let mut decoder = decoder();
        for n in 0..30 {
            let texts = [json(&mut rng, 2000), json(&mut rng, 2000), json(&mut rng, 2000)];
            let mut message = Vec::new();
            encoder.encode(&texts[0], false, &mut message).unwrap();
            if n % 3 == 0 {
                encoder.release();
                assert_eq!(encoder.idle_after(), None);
            }
            if n % 2 == 0 {
                let second = texts[1].clone();
                (encoder, message) = thread::spawn(move || {
                    encoder.encode(&second, false, &mut message).unwrap();
                    encoder.release();
                    (encoder, message)
                })
                .join()
                .unwrap();
            } else {
                encoder.encode(&texts[1], false, &mut message).unwrap();
            }
            encoder.encode(&texts[2], true, &mut message).unwrap();
            assert!(decode(&mut *decoder, &message).unwrap() == texts.concat());
        }
    }
}

#[test]
fn the_memory_of_a_thread_can_be_freed_between_any_messages() {
    let mut rng = Rng(12);
    let mut encoder = encoder(&shared(), 15, true);
    let mut decoder = decoder();
    for round in 0..6 {
        let message = json(&mut rng, 3000);
        let compressed = encode(&mut *encoder, &message);
        assert!(pool::kept() > 0);
        if round % 2 == 0 {
            pool::release_thread_memory();
            assert_eq!(pool::kept(), 0);
        }
        assert!(decode(&mut *decoder, &compressed).as_deref() == Ok(&message[..]));
        if round % 3 == 0 {
            pool::release_thread_memory();
        }
    }
}

#[test]
fn standalone_messages() {
    let mut rng = Rng(59);
    let text = json(&mut rng, 3000);
    let mut first = encoder(&Deflate::default(), 15, true);
    let mut second = encoder(&shared(), 15, false);
    assert_eq!(first.standalone(), second.standalone());
    let others = [
        encoder(&Deflate { level: 5, ..Deflate::default() }, 15, true),
        encoder(&Deflate { memory_level: 7, ..Deflate::default() }, 15, true),
        encoder(&Deflate::default(), 14, true),
    ];
    for other in others {
        assert_ne!(first.standalone(), other.standalone());
    }
    let mut decoder = decoder();
    let opening = encode(&mut *first, &text);
    assert!(decode(&mut *decoder, &opening).unwrap() == text);
    let mut messages = [Vec::new(), Vec::new()];
    first.encode_standalone(&text, &mut messages[0]).unwrap();
    second.encode_standalone(&text, &mut messages[1]).unwrap();
    assert!(messages[0] == messages[1], "equal parameters, equal bytes");
    // One that goes to others does not change what is sent here.
    let small = encode(&mut *first, &text);
    assert!(small.len() * 4 < opening.len());
    assert!(decode(&mut *decoder, &small).unwrap() == text);
    first.standalone_sent();
    assert!(decode(&mut *decoder, &messages[0]).unwrap() == text);
    let afresh = encode(&mut *first, &text);
    assert!(afresh.len() > small.len() * 4, "it refers to nothing");
    assert!(decode(&mut *decoder, &afresh).unwrap() == text);
    let mut empty = Vec::new();
    first.encode_standalone(b"", &mut empty).unwrap();
    assert_eq!(empty, b"\x00");
}

#[test]
fn idle_compressors() {
    let after = Some(Duration::from_secs(3));
    let settings = Deflate { idle_release: after, ..Deflate::default() };
    let text = json(&mut Rng(61), 1000);
    for (takeover, shared_compressor) in [(true, false), (true, true), (false, false)] {
        let settings = Deflate { shared_compressor, ..settings };
        let mut encoder = encoder(&settings, 15, takeover);
        assert_eq!(encoder.idle_after(), None);
        let first = encode(&mut *encoder, &text);
        assert_eq!(encoder.idle_after(), after.filter(|_| takeover));
        encoder.release();
        assert_eq!(encoder.idle_after(), None);
        let again = encode(&mut *encoder, &text);
        assert_eq!(again, first, "it refers to nothing");
    }
    let mut encoder = encoder(&Deflate { idle_release: None, ..settings }, 15, true);
    encode(&mut *encoder, &text);
    assert_eq!(encoder.idle_after(), None);
}

#[test]
fn settings_out_of_range() {
    let text = json(&mut Rng(67), 1000);
    for (level, memory_level, bits) in [(255, 255, 255), (0, 0, 0), (10, 10, 16), (6, 8, 7)] {
        let settings = Deflate { level, memory_level, ..Deflate::default() };
        let message = encode(&mut *encoder(&settings, bits, true), &text);
        assert_eq!(decode(&mut *decoder(), &message).unwrap(), text);
    }
}

/// THREAT-51: there may be many connections that send nothing.
#[test]
fn transforms_are_small() {
    assert!(size_of::<Compress>() <= 128, "{}", size_of::<Compress>());
    assert!(size_of::<Decompress>() <= 128, "{}", size_of::<Decompress>());
}
