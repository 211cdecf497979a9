//! What can fail on this side while it compresses or inflates, and messages that connections share.

use alloc_meter::with_budget;
use ws_proto::connection::{Connection, Event, Prepared};
use ws_proto::deflate::Deflate;
use ws_proto::{Config, Entropy, EntropyError, Input, Instant, Kind, Message, Negotiated, Role, SendError, Version};
use ws_tests::deflate::{connection, eager};
use ws_tests::entropy::Random;
use ws_tests::transcript::agreement;
use ws_tests::wire::frames;

const NOW: Instant = Instant::from_secs(1);

fn written(conn: &mut Connection) -> Vec<u8> {
    let bytes: Vec<u8> = conn.outgoing().flatten().copied().collect();
    conn.advance(NOW, bytes.len());
    bytes
}

/// The messages, and whether the peer then closed.
fn hear(conn: &mut Connection, mut wire: Vec<u8>) -> (Vec<Vec<u8>>, bool) {
    let mut input = Input::new(&mut wire);
    let (mut all, mut closing) = (Vec::new(), false);
    while let Some(event) = conn.poll(NOW, &mut input) {
        match event {
            Event::Text(text) => all.push(text.as_bytes().to_vec()),
            Event::Binary(data) => all.push(data.to_vec()),
            Event::Closing(_) => closing = true,
            other => panic!("{other:?}"),
        }
    }
    (all, closing)
}

/// Fails now and then.
#[derive(Debug)]
struct Unsteady(Random);

impl Entropy for Unsteady {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        if self.0.below(3) == 0 {
            return Err(EntropyError);
        }
        self.0.fill(out)
    }
}

/// Nothing is compressed that can't be masked and sent: the peer can read all that follows a failure.
#[test]
fn a_message_without_a_mask_key_leaves_no_trace_in_the_window() {
    let (mut failures, mut ends) = (0, 0);
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut settings = eager();
        settings.shared_compressor = seed % 2 == 0;
        let mut config = Config::default();
        config.limits.outgoing = usize::MAX;
        config.auto_fragment = std::num::NonZeroUsize::new([0, 7][random.below(2)]);
        let negotiated = || Negotiated::new(Version::Rfc6455).with_extension(agreement(settings, "permessage-deflate"));
        let entropy = Box::new(Unsteady(Random::new(seed)));
        let mut client = Connection::from_upgraded(Role::Client, negotiated(), config, entropy);
        let mut server = connection(Role::Server, settings, "permessage-deflate", Config::default());
        let mut said = Vec::new();
        for i in 0..300 {
            let text = format!("{i} and what all messages have in common");
            let sent = match i % 3 {
                0 => client.send(&text).map_err(SendError::without_message),
                1 => client.send_prepared(&Prepared::new(&text)),
                _ => in_pieces(&mut client, &text),
            };
            match sent {
                Ok(()) => said.push(text.into_bytes()),
                Err(SendError::Entropy(_)) => failures += 1,
                // A message was cut in the middle, which can't be mended.
                Err(SendError::Closed(())) => {
                    ends += 1;
                    break;
                }
                Err(other) => panic!("{other}"),
            }
        }
        let (heard, _) = hear(&mut server, written(&mut client));
        let shown =
            |all: &[Vec<u8>]| all.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>();
        assert_eq!(shown(&heard), shown(&said), "seed {seed}");
    }
    assert!(failures > 20 && ends > 5, "{failures} {ends}");
}

/// Tries each piece until there is a key for it.
fn in_pieces(client: &mut Connection, text: &str) -> Result<(), SendError> {
    client.start_message(Kind::Text)?;
    for piece in text.as_bytes().chunks(9) {
        again(client, |client| client.resume_message().ok_or(SendError::Closed(()))?.write(piece))?;
    }
    again(client, |client| client.resume_message().ok_or(SendError::Closed(()))?.finish(b""))
}

fn again(
    client: &mut Connection,
    mut act: impl FnMut(&mut Connection) -> Result<(), SendError>,
) -> Result<(), SendError> {
    loop {
        match act(client) {
            Err(SendError::Entropy(_)) => {}
            result => return result,
        }
    }
}

/// Where there is no memory for what a message becomes, the connection ends, and nothing else does.
#[test]
fn a_message_for_which_there_is_no_memory_is_refused() {
    let mut client = connection(Role::Client, eager(), "permessage-deflate", Config::default());
    client.send(&vec![0; 4 << 20]).unwrap();
    let wire = written(&mut client);
    for budget in [0, 300_000, 1_000_000, 3_000_000] {
        let mut server = connection(Role::Server, Deflate::default(), "permessage-deflate", Config::default());
        let mut copy = wire.clone();
        let (polled, refused) = with_budget(budget, 100 * 1024, || {
            let mut input = Input::new(&mut copy);
            server.poll(NOW, &mut input).is_some()
        });
        assert!(!polled && refused > 0, "{budget}");
        let close = frames(&written(&mut server)).0.remove(0);
        assert_eq!(close.payload[..2], 1009_u16.to_be_bytes(), "{budget}");
    }
    // The thread inflates for others as before.
    let mut server = connection(Role::Server, Deflate::default(), "permessage-deflate", Config::default());
    assert_eq!(hear(&mut server, wire).0, [vec![0; 4 << 20]]);
}

/// One prepared message to connections of every kind, among messages of their own.
#[test]
fn a_prepared_message_is_understood_by_every_peer() {
    let mut random = Random::new(1);
    let prepared = Prepared::new(Message::binary(b"news for everybody, and once more: news for everybody".repeat(20)));
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    for round in 0..200 {
        let mut settings = eager();
        settings.level = [1, 6, 9][random.below(3)];
        settings.memory_level = [1, 8][random.below(2)];
        settings.shared_compressor = random.below(2) == 0;
        let bits = [8, 9, 12, 15][random.below(4)];
        let takeover = ["", "; server_no_context_takeover; client_no_context_takeover"][random.below(2)];
        let offer =
            format!("permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}{takeover}");
        let role = [Role::Server, Role::Client][random.below(2)];
        let mut from = connection(role, settings, &offer, Config::default());
        let mut to = connection(role.peer(), settings, &offer, Config::default());
        let (mut said, mut heard) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let own = b"something like: news for nobody".repeat(1 + random.below(30));
            from.send(&own).unwrap();
            said.push(own);
            heard.extend(hear(&mut to, written(&mut from)).0);
            if random.below(2) == 0 {
                from.send_prepared(&prepared).unwrap();
                said.push(prepared.payload().to_vec());
                let wire = written(&mut from);
                let frame = frames(&wire).0.remove(0);
                assert_eq!((frame.rsv, frame.opcode, frame.fin), (4, 2, true));
                let key = format!("{} {} {}", settings.level, settings.memory_level, bits.max(9));
                match seen.iter().find(|(known, _)| *known == key) {
                    Some((_, payload)) => assert_eq!(*payload, frame.payload, "round {round}"),
                    None => seen.push((key, frame.payload)),
                }
                heard.extend(hear(&mut to, wire).0);
            }
        }
        assert_eq!(heard, said, "round {round}: {offer} {settings:?}");
    }
    assert_eq!(seen.len(), 3 * 2 * 3);
}
