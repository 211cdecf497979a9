//! What arrives.


use super::*;

const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

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
