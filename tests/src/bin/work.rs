//! Does one kind of work, `n` times: `work SHAPE N`. The test `work` counts its instructions.
#![forbid(unsafe_code)]

use ws_proto::connection::{Connection, Event};
use ws_proto::{Config, Input, Instant, Kind, Role, Version};
use ws_tests::deflate::{Bits, eager};
use ws_tests::dialect::Dialect;
use ws_tests::endpoint::Endpoint;
use ws_tests::entropy::counting;
use ws_tests::wire::{frame, head};

const NOW: Instant = Instant::from_secs(1);

fn connection(role: Role) -> Connection {
    let mut config = Config::default();
    config.limits.fragments = u32::MAX;
    Endpoint::new(role, config, counting())
}

/// One that compresses.
fn compressing(role: Role, offer: &str) -> Connection {
    let mut config = Config::default();
    config.limits.outgoing = usize::MAX;
    ws_tests::deflate::connection(role, eager(), offer, config)
}

/// A server gets this payload in one compressed frame, in reads of `size`.
fn inflate(payload: &[u8], size: usize) -> usize {
    let mut server = compressing(Role::Server, "permessage-deflate");
    1 + feed(&mut server, &mut frame(Role::Client, 0xc2, payload), size)
}

/// A server of that version, and a text to it.
fn of(version: Version, text: &str) -> (Connection, Vec<u8>) {
    let dialect = Dialect::new(version);
    let server = Endpoint::open(Role::Server, dialect.negotiated(), Config::default(), counting());
    (server, dialect.frame(Role::Client, 0x81, text.as_bytes()))
}

/// Feeds bytes in reads of `size`; gives how many message bytes came out.
fn feed(conn: &mut Connection, wire: &mut [u8], size: usize) -> usize {
    let mut bytes = 0;
    for piece in wire.chunks_mut(size) {
        let mut input = Input::new(piece);
        while let Some(event) = conn.poll(NOW, &mut input) {
            bytes += match event {
                Event::Text(text) => text.as_bytes().len(),
                Event::Binary(payload) => payload.len(),
                _ => 1,
            };
        }
    }
    bytes
}

fn main() {
    let mut words = std::env::args().skip(1);
    let (Some(shape), Some(n)) = (words.next(), words.next().and_then(|n| n.parse::<usize>().ok())) else {
        eprintln!("work SHAPE N");
        std::process::exit(2);
    };
    let mut server = connection(Role::Server);
    let euros = "\u{20ac}".repeat(n.div_ceil(3));
    let done = match shape.as_str() {
        "text-in-bytes" => feed(&mut server, &mut frame(Role::Client, 0x81, euros.as_bytes()), 1),
        "text-in-sevens" => feed(&mut server, &mut frame(Role::Client, 0x81, euros.as_bytes()), 7),
        "ascii-in-bytes" => feed(&mut server, &mut frame(Role::Client, 0x81, &vec![b'x'; n]), 1),
        "binary-to-a-client-in-bytes" => {
            feed(&mut connection(Role::Client), &mut frame(Role::Server, 0x82, &vec![7; n]), 1)
        }
        "hixie-text-in-bytes" => {
            let (mut server, mut wire) = of(Version::Hixie76, &euros);
            feed(&mut server, &mut wire, 1)
        }
        "hixie-texts" => {
            let (mut server, wire) = of(Version::Hixie76, "x");
            feed(&mut server, &mut wire.repeat(n), 4096)
        }
        "hixie-reserved-in-bytes" => {
            let (mut server, _) = of(Version::Hixie76, "");
            1 + feed(&mut server, &mut b"\x80\x02xx\x01xxx\xff".repeat(n / 9), 1)
        }
        "hybi-04-text-in-bytes" => {
            let (mut server, mut wire) = of(Version::Hybi04, &euros);
            feed(&mut server, &mut wire, 1)
        }
        "hybi-04-texts-in-bytes" => {
            let (mut server, wire) = of(Version::Hybi04, "x");
            feed(&mut server, &mut wire.repeat(n / 7), 1)
        }
        "one-byte-fragments" => {
            let mut wire = frame(Role::Client, 0x01, b"x");
            wire.extend(frame(Role::Client, 0x00, b"x").repeat(n));
            wire.extend(frame(Role::Client, 0x80, b""));
            feed(&mut server, &mut wire, 100)
        }
        "empty-fragments" => {
            let mut wire = frame(Role::Client, 0x02, b"");
            wire.extend(frame(Role::Client, 0x00, b"").repeat(n));
            wire.extend(frame(Role::Client, 0x80, b"x"));
            feed(&mut server, &mut wire, 100)
        }
        "small-messages" => feed(&mut server, &mut frame(Role::Client, 0x82, b"x").repeat(n), 4096),
        "pings-that-wait" => feed(&mut server, &mut frame(Role::Client, 0x89, b"x").repeat(n), 4096),
        "pings-in-bytes" => feed(&mut server, &mut frame(Role::Client, 0x89, &[7; 125]).repeat(n / 125), 1),
        "after-a-failure" => {
            feed(&mut server, &mut [0x83], 1);
            1 + feed(&mut server, &mut vec![0; n], 1)
        }
        "a-promise-in-bytes" => {
            let mut wire = head(Role::Client, 0x82, 1 << 23);
            wire.extend(vec![1; n]);
            1 + feed(&mut server, &mut wire, 1)
        }
        "sending-and-writing-bytes" => {
            let mut client = connection(Role::Client);
            for _ in 0..n / 50 {
                client.send(&[1; 50]).expect("there is room");
            }
            let mut written = 0;
            while client.wants_write() {
                client.advance(NOW, 1);
                written += 1;
            }
            written
        }
        "finished-streams" => inflate(&[3, 0].repeat(n / 2), 4096),
        "empty-stored-blocks" => inflate(&[&[0, 0, 0, 0xff, 0xff].repeat(n / 5)[..], &[0]].concat(), 4096),
        "empty-fixed-blocks" => {
            let mut bits = Bits::default();
            (0..n * 8 / 10).for_each(|_| {
                bits.fixed(false).end();
            });
            inflate(&bits.finish(), 4096)
        }
        "inflating-in-bytes" => {
            let mut bits = Bits::default();
            bits.fixed(false);
            (0..n).for_each(|i| {
                bits.literal(i as u8 & 0x7f);
            });
            inflate(&bits.end().finish(), 1)
        }
        "a-bomb" => {
            let mut bits = Bits::default();
            bits.fixed(false).literal(b'x');
            (0..n / 2).for_each(|_| {
                bits.run();
            });
            inflate(&bits.end().finish(), 4096)
        }
        "small-messages-with-a-small-window" => {
            let mut server = compressing(Role::Server, "permessage-deflate; client_max_window_bits=9");
            let hello = frame(Role::Client, 0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
            feed(&mut server, &mut hello.repeat(n / 13), 4096)
        }
        "deflating-pieces" => {
            let mut server = compressing(Role::Server, "permessage-deflate");
            let mut writer = server.start_message(Kind::Binary).expect("there is room");
            for i in 0..n / 20 {
                writer.write(&[i as u8; 20]).expect("there is room");
            }
            writer.finish(b"").expect("there is room");
            server.buffered()
        }
        other => {
            eprintln!("unknown shape {other}");
            std::process::exit(2);
        }
    };
    assert!(n == 0 || done > 0, "{shape} did nothing");
}
