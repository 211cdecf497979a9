//! What arrives.

use std::thread;

use super::*;

const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
const INVALID: Result<Vec<u8>, ProtocolError> = Err(ProtocolError::InvalidCompression);

/// Messages of one stream with takeover, all of one sender.
fn accept(messages: &[(&[u8], &[u8])]) {
    let mut decoder = decoder();
    for (message, text) in messages {
        assert_eq!(decode(&mut *decoder, message).as_deref(), Ok(*text), "{message:02x?}");
    }
}

#[test]
fn examples_of_rfc7692_section_7_2_3() {
    accept(&[(HELLO, b"Hello"), (b"\xf2\x00\x11\x00\x00", b"Hello")]);
    accept(&[(b"\x00\x05\x00\xfa\xffHello\x00", b"Hello")]);
    accept(&[(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"Hello")]);
    accept(&[(b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", b"Hello")]);
    let mut decoder = decoder();
    assert_eq!(decode_pieces(&mut *decoder, &[b"\xf2\x48\xcd", b"\xc9\xc9\x07\x00"], ROOMY).unwrap(), b"Hello");
}

#[test]
fn empty_messages() {
    accept(&[(b"\x00", b""), (b"", b""), (b"\x02\x00", b""), (HELLO, b"Hello"), (b"", b""), (b"\x00", b"")]);
    // They are in no one's way.
    accept(&[(HELLO, b"Hello"), (b"", b""), (b"\x00", b""), (b"\xf2\x00\x11\x00\x00", b"Hello")]);
    assert_eq!(decode_pieces(&mut *decoder(), &[b"", b"", b"\x00", b""], 1).unwrap(), b"");
}

#[test]
fn final_blocks_begin_a_new_stream() {
    let final_block = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
    let with_zero = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
    accept(&[(with_zero, b"Hello"), (with_zero, b"Hello"), (HELLO, b"Hello"), (b"\xf2\x00\x11\x00\x00", b"Hello")]);
    accept(&[(final_block, b"Hello"), (final_block, b"Hello"), (HELLO, b"Hello")]);
    let twice = [&final_block[..], with_zero].concat();
    accept(&[(&twice, b"HelloHello"), (HELLO, b"Hello")]);
    // The tail makes it a final block.
    accept(&[(b"\x01", b""), (HELLO, b"Hello")]);
    // Nothing is left to refer to, in the same message or in the next.
    for stream in [&final_block[..], with_zero, b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff\x01"] {
        let mut decoder = decoder();
        assert_eq!(decode(&mut *decoder, stream).as_deref(), Ok(&b"Hello"[..]));
        assert_eq!(decode(&mut *decoder, b"\xf2\x00\x11\x00\x00"), INVALID);
        assert_eq!(decode(&mut *self::decoder(), &[stream, b"\xf2\x00\x11\x00\x00"].concat()), INVALID);
    }
}

#[test]
fn nothing_to_refer_to() {
    assert_eq!(decode(&mut *decoder(), b"\xf2\x00\x11\x00\x00"), INVALID);
    let mut none = Decompress::new(15, false);
    for _ in 0..2 {
        assert_eq!(decode(&mut none, HELLO).unwrap(), b"Hello");
    }
    assert_eq!(decode(&mut none, b"\xf2\x00\x11\x00\x00"), INVALID);
}

#[test]
fn bad_blocks() {
    for bad in [
        &b"\x06"[..],            // the type that there is not
        b"\x07",                 // the same, in a final block
        b"\x00\x01\x00\x00\x00", // lengths of a stored block that do not match
        b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff\x06",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x06",             // behind a final block
        b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff", // the tail was not left out
        b"\xf2\x48\xcd\xc9\xc9\x07",                     // cut short
        b"\x00\x05\x00\xfa\xffHell",
        b"\x00\x05\x00\xfa\xffHello",
        b"\x04",
    ] {
        assert_eq!(decode(&mut *decoder(), bad), INVALID, "{bad:02x?}");
    }
}

/// The tail completes the header of a block, and ends the block within its last byte.
#[test]
fn tail_that_is_part_of_something_else() {
    let mut bits: Vec<u8> = Vec::new();
    let mut put = |value: usize, count| bits.extend((0..count).map(|n| (value >> n & 1) as u8));
    // A dynamic block; all codes for lengths have 4 bits and are for the symbols 2 to 17.
    for (value, count) in [(0, 1), (2, 2), (0, 5), (9, 5), (15, 4)] {
        put(value, count);
    }
    for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15] {
        put(if (2..18).contains(&symbol) { 4 } else { 0 }, 3);
    }
    // No codes for 253 literals: 25 times ten, and three.
    for n in 0..26 {
        put(15, 4);
        put(if n < 25 { 7 } else { 0 }, 3);
    }
    // Then come two zero bytes: 2 bits for each of the last four, the end of the block among them. And ones: no codes for
    // ten distances, and the end of the block, with seven bits to spare.
    let stream: Vec<u8> = bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |all, bit| all << 1 | bit)).collect();
    assert_eq!(stream.len() * 8, bits.len());
    assert_eq!(decode(&mut *decoder(), &stream), INVALID);
    assert_eq!(expected(b"", &stream), None);
}

/// What the strict inflater says of a message.
fn expected(history: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    if message.is_empty() {
        return Some(Vec::new());
    }
    let ended = strict::inflate(history, message).filter(|made| made.ended);
    let complete = || strict::inflate(history, &[message, b"\x00\x00\xff\xff"].concat());
    let made = ended.or_else(|| complete().filter(|made| made.empty_last))?;
    Some(made.text)
}

/// Streams of stored, fixed and dynamic blocks, without the tail.
fn streams() -> Vec<Vec<u8>> {
    let mut rng = Rng(3);
    let mut streams = vec![HELLO.to_vec(), b"\x00".to_vec(), b"\x02\x00".to_vec(), b"\x01".to_vec()];
    let texts = [b"Hello".to_vec(), vec![7; 700], json(&mut rng, 300), json(&mut rng, 3000), mixed(&mut rng, 1500)];
    for text in &texts {
        for level in [0, 1, 2, 6, 9] {
            let settings = Deflate { level, ..Deflate::default() };
            streams.push(encode(&mut *encoder(&settings, 15, false), text));
            let mut pieces = Vec::new();
            let mut encoder = encoder(&settings, 9, true);
            for (n, piece) in text.chunks(200).enumerate() {
                encoder.encode(piece, n == text.len().div_ceil(200) - 1, &mut pieces).unwrap();
            }
            streams.push(pieces);
        }
    }
    streams.push([b"\xf3\x48\xcd\xc9\xc9\x07\x00", &streams[7][..], b"\x00\x00\xff\xff\x03\x00\x00"].concat());
    streams
}

#[test]
fn the_end_is_checked_exactly() {
    let mut accepted = 0;
    for stream in streams().iter().filter(|stream| stream.len() < 400) {
        for cut in 0..=stream.len() {
            let message = &stream[..cut];
            let decoded = decode(&mut *decoder(), message).ok();
            accepted += usize::from(decoded.is_some());
            assert!(decoded == expected(b"", message), "{message:02x?}");
        }
    }
    assert!(accepted > streams().len());
}

#[test]
fn damaged_streams_are_judged_as_a_strict_inflater_does() {
    let mut rng = Rng(99);
    let mut accepted = 0;
    for stream in streams().iter().filter(|stream| stream.len() < 600) {
        for _ in 0..100 {
            let mut message = stream.clone();
            for _ in 0..1 + rng.below(3) {
                let at = rng.below(message.len());
                match rng.below(4) {
                    0 => message[at] = rng.next() as u8,
                    1 => message.truncate(at.max(1)),
                    2 => message.insert(at, rng.next() as u8),
                    _ => message[at] ^= 1 << rng.below(8),
                }
            }
            let decoded = decode(&mut *decoder(), &message).ok();
            accepted += usize::from(decoded.is_some());
            assert!(decoded == expected(b"", &message), "{message:02x?}");
        }
    }
    assert!(accepted > 50);
}

/// What comes out, and what is wrong, depends neither on where the input is cut nor on how much room there is.
#[test]
fn any_split_and_any_room() {
    let mut rng = Rng(5);
    let mut messages = streams();
    messages.retain(|stream| stream.len() < 400);
    for n in 0..messages.len() {
        let mut damaged = messages[n].clone();
        let at = rng.below(damaged.len());
        damaged[at] ^= 1 << rng.below(8);
        messages.push(damaged);
    }
    for message in &messages {
        let whole = decode_all(&mut *decoder(), &[message], ROOMY);
        let bytes: Vec<&[u8]> = message.chunks(1).collect();
        for room in [1, 7, 1000, ROOMY] {
            assert!(decode_all(&mut *decoder(), &bytes, room) == whole);
            assert!(decode_all(&mut *decoder(), &[message], room) == whole);
        }
        for cut in 0..=message.len() {
            let (first, second) = message.split_at(cut);
            assert!(decode_all(&mut *decoder(), &[first, b"", second, b""], ROOMY) == whole, "{message:02x?}");
        }
    }
}

/// Connections with what they receive, and what comes out of it.
type Script = Vec<(Vec<u8>, Result<Vec<u8>, ProtocolError>)>;

fn script(rng: &mut Rng, bits: u8, shift: u8) -> Script {
    // Windows of 9 bits get what was made with 15: the farther references must fail whoever was at work in between.
    let mut encoder = encoder(&Deflate::default(), shift, true);
    let mut decoder = Decompress::new(bits, true);
    let mut script = Vec::new();
    for _ in 0..12 {
        let len = rng.below(6000);
        let message = encode(&mut *encoder, &json(rng, len));
        let result = decode(&mut decoder, &message);
        let failed = result.is_err();
        script.push((message, result));
        if failed {
            break;
        }
    }
    script
}

#[test]
fn connections_of_a_thread_do_not_see_each_other() {
    let mut rng = Rng(17);
    let windows = [(15, 15), (15, 15), (15, 9), (9, 9), (9, 15), (10, 15), (12, 12), (15, 15)];
    let scripts: Vec<(u8, Script)> = windows
        .iter()
        .map(|&(bits, shift)| {
            let mut own = Rng(rng.next());
            (bits, thread::spawn(move || script(&mut own, bits, shift)).join().unwrap())
        })
        .collect();
    assert!(scripts[4].1.last().unwrap().1.is_err(), "too far back for this window");
    let mut open: Vec<_> =
        scripts.iter().map(|(bits, script)| (Decompress::new(*bits, true), script.iter(), None)).collect();
    while !open.is_empty() {
        let at = rng.below(open.len());
        let (decoder, script, current) = &mut open[at];
        let next = current.take().or_else(|| script.next().map(|(bytes, result)| (&bytes[..], result, Vec::new())));
        let Some((rest, result, mut out)) = next else {
            drop(open.swap_remove(at));
            continue;
        };
        // A part of a message, then it is another's turn; the lent inflater stays until the message is over.
        let part = rng.below(3000).min(rest.len());
        let (piece, rest) = rest.split_at(part);
        match decode_piece(decoder, piece, rest.is_empty(), 1 + rng.below(5000), &mut out) {
            Ok(()) if rest.is_empty() => assert!(Ok(&out) == result.as_ref()),
            Ok(()) => *current = Some((rest, result, out)),
            Err(error) => {
                assert_eq!(Some(&error), result.as_ref().err());
                drop(open.swap_remove(at));
            }
        }
    }
}

#[test]
fn from_thread_to_thread() {
    let mut rng = Rng(23);
    let mut encoder = encoder(&Deflate::default(), 15, true);
    let mut decoder = decoder();
    for n in 0..20 {
        let text = json(&mut rng, 3000);
        let message = encode(&mut *encoder, &text);
        if n % 3 == 0 {
            assert_eq!(decode(&mut *decoder, &message).unwrap(), text);
        } else {
            // Also in the middle of a message, which leaves its inflater with the other thread.
            let mut out = Vec::new();
            let (first, second) = message.split_at(message.len() / 2);
            decode_piece(&mut *decoder, first, false, ROOMY, &mut out).unwrap();
            let second = second.to_vec();
            (decoder, out) = thread::spawn(move || {
                decode_piece(&mut *decoder, &second, true, ROOMY, &mut out).unwrap();
                (decoder, out)
            })
            .join()
            .unwrap();
            assert_eq!(out, text);
        }
    }
}

#[test]
fn a_message_that_is_given_up() {
    let mut rng = Rng(29);
    let text = json(&mut rng, 5000);
    let message = encode(&mut *encoder(&Deflate::default(), 15, false), &text);
    for cut in [1, 10, 300, message.len() - 1] {
        let mut given_up = decoder();
        decode_piece(&mut *given_up, &message[..cut], false, ROOMY, &mut Vec::new()).unwrap();
        drop(given_up);
        assert_eq!(decode(&mut *decoder(), &message).unwrap(), text);
        assert_eq!(decode(&mut *decoder(), b"\xf2\x00\x11\x00\x00"), INVALID);
    }
}

#[test]
fn a_thread_that_ends() {
    std::thread_local!(static KEPT: std::cell::RefCell<Vec<Box<dyn Decoder>>> = const { std::cell::RefCell::new(Vec::new()) });
    thread::spawn(|| {
        KEPT.with_borrow_mut(|kept| kept.push(decoder()));
        // Its pool is made later, so it goes earlier.
        KEPT.with_borrow_mut(|kept| decode_piece(&mut *kept[0], b"\xf2\x48", false, ROOMY, &mut Vec::new())).unwrap();
    })
    .join()
    .unwrap();
}

/// THREAT-37, THREAT-38, THREAT-39: nothing more is made than the message may have, and the limit is exact.
#[test]
fn bombs() {
    let bomb = encode(&mut *encoder(&Deflate::default(), 15, true), &vec![0; 1 << 20]);
    assert!(bomb.len() < 1200);
    for limit in [0, 1, 1000, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769, (1 << 20) - 1] {
        let mut out = Vec::new();
        let result = decoder().decode(&bomb, true, &mut Sink::new(&mut out, limit, ROOMY, false));
        assert_eq!((result, out.len() as u64), (Err(ProtocolError::MessageTooBig), limit));
        assert!(out.capacity() as u64 <= 2 * limit + 16 * 1024);
    }
    for limit in [1 << 20, (1 << 20) + 1] {
        let mut out = Vec::new();
        assert!(decoder().decode(&bomb, true, &mut Sink::new(&mut out, limit, ROOMY, false)).unwrap().done);
        assert_eq!(out.len(), 1 << 20);
    }
}

/// THREAT-43, THREAT-44: much input that comes to nothing.
#[test]
fn blocks_without_content() {
    for block in [&b"\x03\x00"[..], b"\x01\x00\x00\xff\xff", b"\x00\x00\x00\xff\xff", b"\x02\x08\x20\x80\x00"] {
        let mut message = block.repeat((1 << 20) / block.len());
        message.push(0);
        let mut out = Vec::new();
        decode_piece(&mut *decoder(), &message, true, ROOMY, &mut out).unwrap();
        assert_eq!(out.capacity(), 0);
    }
}

/// THREAT-45: 128 KiB of stack are enough for both directions.
#[test]
fn a_small_stack() {
    let work = || {
        let mut rng = Rng(31);
        for level in 0..10 {
            let text = mixed(&mut rng, 100_000);
            let message = encode(&mut *encoder(&Deflate { level, ..Deflate::default() }, 15, true), &text);
            assert!(decode(&mut *decoder(), &message).unwrap() == text);
        }
        for stream in streams() {
            let _ = decode(&mut *decoder(), &stream[..stream.len() / 2]);
        }
    };
    thread::Builder::new().stack_size(128 * 1024).spawn(work).unwrap().join().unwrap();
}
