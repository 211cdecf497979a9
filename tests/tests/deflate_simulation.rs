//! Whole compressed conversations of two ends that negotiated with settings of their own, over a simulated link.

use std::num::NonZeroUsize;
use std::time::Duration;

use ws_proto::connection::Prepared;
use ws_proto::deflate::Deflate;
use ws_proto::extension::Extensions;
use ws_proto::{Config, Delivery, IntoMessage, Kind, Message, Negotiated, Role, Version};
use ws_tests::endpoint::message;
use ws_tests::entropy::Random;
use ws_tests::pair::{Link, Pair};
use ws_tests::transcript::Seen;

const ROLES: [Role; 2] = [Role::Client, Role::Server];

fn settings(random: &mut Random) -> Deflate {
    let mut settings = Deflate::default();
    settings.send_window_bits = 8 + random.below(8) as u8;
    settings.receive_window_bits = 8 + random.below(8) as u8;
    settings.send_takeover = random.below(3) > 0;
    settings.receive_takeover = random.below(3) > 0;
    settings.level = random.below(10) as u8;
    settings.memory_level = 1 + random.below(9) as u8;
    settings.min_size = [0, 20, 128][random.below(3)];
    settings.shared_compressor = random.below(2) == 0;
    settings.idle_release = [None, Some(Duration::from_millis(500)), Some(Duration::from_secs(30))][random.below(3)];
    settings
}

/// What the two ends have of their handshake.
fn handshake(client: Deflate, server: Deflate) -> [Negotiated; 2] {
    let (client, server) = (Extensions::none().with(client), Extensions::none().with(server));
    let answer = server.answer(&client.offers()).expect("a client of ours always leaves the server a choice");
    let accepted = client.accept_answer(&[answer.extension().clone()]).expect("the answer fits").expect("there is one");
    [accepted, answer].map(|agreement| Negotiated::new(Version::Rfc6455).with_extension(agreement))
}

fn config(random: &mut Random) -> Config {
    let mut config = Config::default();
    config.timers.write_stall = None;
    config.timers.keepalive = None;
    config.timers.slowest_message = None;
    config.auto_fragment = NonZeroUsize::new([0, 0, 13, 1000][random.below(4)]);
    config.delivery = [Delivery::Messages, Delivery::Chunks][random.below(2)];
    config
}

fn link(random: &mut Random) -> Link {
    let chunk = [1, 7, 100, 4096][random.below(4)];
    let latency = Duration::from_millis([0, 20, 300][random.below(3)]);
    Link { latency, rate: [None, Some(100_000)][random.below(2)], window: 64 * 1024, chunk }
}

/// Text or bytes that have much in common with what was said before, or nothing at all.
fn content(random: &mut Random) -> (Kind, Vec<u8>) {
    let size = [0, 1, 10, 125, 700, 5000, 40_000][random.below(7)];
    match random.below(4) {
        0 => (Kind::Binary, random.bytes(size.min(5000))),
        1 => (Kind::Text, "\u{1f600}\u{e9}a".repeat(size / 7).into_bytes()),
        2 => {
            let word = |random: &mut Random| ["alpha ", "beta ", "gamma ", "delta "][random.below(4)];
            (Kind::Text, (0..size / 6).flat_map(|_| word(random).bytes()).collect())
        }
        _ => (Kind::Binary, Random::new(7).bytes(size.min(5000))),
    }
}

fn say(pair: &mut Pair, role: Role, random: &mut Random) -> (Kind, Vec<u8>) {
    let now = pair.now;
    let (kind, bytes) = content(random);
    let whole: Message = message(kind, &bytes);
    let conn = &mut pair.side(role).conn;
    if random.below(5) == 0 {
        conn.ping(now, b"between").unwrap();
    }
    match random.below(8) {
        0 => conn.send_prepared(&Prepared::new(&whole)).unwrap(),
        1 => conn.send(whole.compress(false)).unwrap(),
        2 => conn.send(whole.compress(true)).unwrap(),
        3 | 4 => {
            let mut writer = conn.start_message(kind).unwrap();
            if random.below(3) == 0 {
                writer = writer.compress(random.below(2) == 0);
            }
            for piece in bytes.chunks((1 + random.below(3000)).max(bytes.len() / 100)) {
                writer.write(piece).unwrap();
            }
            writer.finish(b"").unwrap();
        }
        _ => conn.send(whole).unwrap(),
    }
    (kind, bytes)
}

fn heard<'s>(stories: impl Iterator<Item = &'s Seen>) -> Vec<(Kind, Vec<u8>)> {
    let (mut all, mut open) = (Vec::new(), Vec::new());
    for event in stories {
        match event {
            Seen::Text(data) => all.push((Kind::Text, data.clone())),
            Seen::Binary(data) => all.push((Kind::Binary, data.clone())),
            Seen::Chunk { kind, last, data, .. } => {
                open.extend_from_slice(data);
                if *last {
                    all.push((*kind, std::mem::take(&mut open)));
                }
            }
            _ => {}
        }
    }
    all
}

#[test]
fn random_compressed_conversations_arrive_whole_and_end_clean() {
    let (mut marked, mut released) = (0, 0);
    for seed in 0..if cfg!(debug_assertions) { 60 } else { 600 } {
        let mut random = Random::new(seed);
        let mut ends = [settings(&mut random), settings(&mut random)];
        // Nothing else can be declined.
        if random.below(2) == 0 {
            ends[1].idle_release = Some(Duration::from_millis(1));
        }
        let negotiated = handshake(ends[0], ends[1]);
        let configs = [config(&mut random), config(&mut random)];
        let mut pair = Pair::agreed(negotiated, configs, link(&mut random), seed);
        let mut said: [Vec<(Kind, Vec<u8>)>; 2] = Default::default();
        for _ in 0..random.below(30) {
            let who = random.below(2);
            said[who].push(say(&mut pair, ROLES[who], &mut random));
            match random.below(4) {
                0 => pair.run(Duration::from_millis(random.below(2000) as u64)),
                1 => pair.settle(),
                2 => {
                    pair.run(Duration::from_secs(40));
                    released += 1;
                }
                _ => {}
            }
        }
        pair.run(Duration::from_secs(200));
        let now = pair.now;
        pair.client.conn.close(now, 1000, "enough").unwrap();
        pair.run(Duration::from_secs(60));
        for (i, side) in [(1, &pair.client), (0, &pair.server)] {
            let how = side.closed().unwrap_or_else(|| panic!("seed {seed}: no end"));
            assert!(how.starts_with("Handshake") && how.ends_with(" clean"), "seed {seed}: {how}; {ends:?}");
            assert!(heard(side.stories()) == said[i], "seed {seed}: other messages arrive than were sent; {ends:?}");
            let all = ws_tests::wire::frames(&side.wrote).0;
            marked += all.iter().filter(|frame| frame.rsv == 4).count();
        }
    }
    assert!(marked > 300 && released > 60, "{marked} compressed messages, {released} long pauses");
}

/// With all settings of one end against the defaults of the other, the window that is used keeps to both.
#[test]
fn each_pair_of_settings_agrees_on_something_both_can_read() {
    for bits in 8..=15 {
        for takeover in [false, true] {
            let mut one = Deflate::default();
            one.send_window_bits = bits;
            one.receive_window_bits = 23 - bits;
            one.send_takeover = takeover;
            one.receive_takeover = !takeover;
            for (client, server) in [(one, Deflate::default()), (Deflate::default(), one), (one, one)] {
                let mut pair = Pair::agreed(handshake(client, server), Default::default(), Link::default(), 1);
                let block = Random::new(3).bytes(40_000);
                for role in ROLES {
                    for part in [&block[..], &block[..300], &block[39_000..], &block[7000..]] {
                        pair.side(role).conn.send(part).unwrap();
                    }
                }
                pair.run(Duration::from_secs(10));
                for side in [&pair.client, &pair.server] {
                    let all = heard(side.stories());
                    assert_eq!(all.len(), 4);
                    assert!(all.iter().map(|(_, data)| data.len()).eq([40_000, 300, 1000, 33_000]));
                }
            }
        }
    }
}
