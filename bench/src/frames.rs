//! The bytes that a client sends, built here once for all libraries.

/// Which opcode a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Binary,
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The answer's `Sec-WebSocket-Accept` for [`BROWSER_REQUEST`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The opening request as a desktop browser sends it.
pub const BROWSER_REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\n\
Host: www.example.com\r\n\
Connection: Upgrade\r\n\
Pragma: no-cache\r\n\
Cache-Control: no-cache\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
Upgrade: websocket\r\n\
Origin: http://www.example.com\r\n\
Sec-WebSocket-Version: 13\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n\
Cookie: session=5f2c9a7be3d14c0f8a61; theme=dark\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
\r\n";

/// Appends the head of a frame without the mask key.
fn put_head(out: &mut Vec<u8>, first: u8, masked: bool, len: usize) {
    let mask_bit = u8::from(masked) << 7;
    out.push(first);
    match len {
        0..=125 => out.push(mask_bit | len as u8),
        126..=0xffff => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// Appends a message from a client, in `fragments` frames of about the same length.
pub fn put_client_message(out: &mut Vec<u8>, kind: Kind, payload: &[u8], fragments: usize) {
    let size = payload.len().div_ceil(fragments);
    for (i, part) in payload.chunks(size).enumerate() {
        let opcode = match (i, kind) {
            (0, Kind::Text) => 1,
            (0, Kind::Binary) => 2,
            _ => 0,
        };
        let fin = u8::from(i + 1 == fragments) << 7;
        put_head(out, fin | opcode, true, part.len());
        out.extend_from_slice(&KEY);
        out.extend(part.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
    }
}

/// Appends a compressed text message from a client, in one frame.
pub fn put_compressed_client_text(out: &mut Vec<u8>, payload: &[u8]) {
    put_head(out, 0xc1, true, payload.len());
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
}

/// Takes a server's frame off the front: its first byte and its payload.
pub fn take_server_frame<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (len, rest) = match second {
        0..=125 => (usize::from(second), rest),
        126 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        _ => {
            let (len, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*len) as usize, rest)
        }
    };
    let (payload, rest) = rest.split_at_checked(len)?;
    *bytes = rest;
    Some((first, payload))
}

/// Appends a message from a server, in one frame.
pub fn put_server_message(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    let opcode = if kind == Kind::Text { 1 } else { 2 };
    put_head(out, 0x80 | opcode, false, payload.len());
    out.extend_from_slice(payload);
}

/// The length of a frame on the wire.
pub fn frame_len(payload: usize, masked: bool) -> usize {
    let mut head = Vec::new();
    put_head(&mut head, 0, masked, payload);
    head.len() + payload + if masked { 4 } else { 0 }
}

/// `len` bytes of printable ASCII.
pub fn ascii(len: usize) -> Vec<u8> {
    (0..len).map(|i| b' ' + (i * 7 % 94) as u8).collect()
}

/// `len` bytes of text whose characters take 1, 2, 3 and 4 bytes.
pub fn multi_byte(len: usize) -> Vec<u8> {
    let mut text = String::new();
    for c in "Größe 価格は𝄞 ещё один κόσμε ".chars().cycle() {
        if text.len() + c.len_utf8() > len {
            break;
        }
        text.push(c);
    }
    while text.len() < len {
        text.push('x');
    }
    text.into_bytes()
}

/// `len` bytes that are not text.
pub fn binary(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 167) >> 2) as u8 | 0x80).collect()
}
