//! Whole conversations of two ends over a simulated link: random traffic, random cuts, faults, and every end.

use std::num::NonZeroUsize;
use std::time::Duration;

use ws_proto::{Config, Kind, Role};
use ws_tests::endpoint::message;
use ws_tests::entropy::Random;
use ws_tests::pair::{Link, Pair};
use ws_tests::transcript::Seen;

const ROLES: [Role; 2] = [Role::Client, Role::Server];

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn link(random: &mut Random) -> Link {
    let chunk = [1, 7, 100, 4096][random.below(4)];
    if random.below(2) == 0 {
        // A byte or two at a time, but in no time.
        return Link { latency: Duration::ZERO, rate: None, window: [1, 2, 10, 100][random.below(4)], chunk };
    }
    let rate = [None, Some(1_000_000), Some(100_000)][random.below(3)];
    Link { latency: Duration::from_millis(random.below(300) as u64), rate, window: 64 * 1024, chunk }
}

fn config(random: &mut Random) -> Config {
    let mut config = Config::default();
    // Ends are blocked here for longer than a peer would be given.
    config.timers.write_stall = None;
    config.timers.keepalive = None;
    config.timers.slowest_message = None;
    config.auto_fragment = NonZeroUsize::new([0, 1, 13, 1000][random.below(4)]);
    config
}

/// Sends something random; the message, if it was one.
fn say(pair: &mut Pair, role: Role, random: &mut Random) -> Option<Seen> {
    let now = pair.now;
    let conn = &mut pair.side(role).conn;
    let size = [0, 1, 10, 125, 126, 700, 5000][random.below(7)];
    match random.below(8) {
        0 => {
            conn.ping(now, &random.bytes(size.min(125))).unwrap();
            None
        }
        1 => {
            conn.pong(&random.bytes(size.min(125))).unwrap();
            None
        }
        2 => {
            let bytes = random.bytes(size);
            let mut writer = conn.start_message(Kind::Binary).unwrap();
            for piece in bytes.chunks(1 + random.below(300)) {
                writer.write(piece).unwrap();
            }
            writer.finish(b"").unwrap();
            Some(Seen::Binary(bytes))
        }
        3 | 4 => {
            let text = "\u{1f600}\u{e9}a".repeat(size / 7).into_bytes();
            conn.send(message(Kind::Text, &text)).unwrap();
            Some(Seen::Text(text))
        }
        _ => {
            let bytes = random.bytes(size);
            conn.send(message(Kind::Binary, &bytes)).unwrap();
            Some(Seen::Binary(bytes))
        }
    }
}

fn messages<'s>(stories: impl Iterator<Item = &'s Seen>) -> Vec<&'s Seen> {
    stories.filter(|event| matches!(event, Seen::Text(_) | Seen::Binary(_))).collect()
}

#[test]
fn random_conversations_arrive_whole_and_end_clean() {
    for seed in 0..if cfg!(debug_assertions) { 150 } else { 2000 } {
        let mut random = Random::new(seed);
        let (client, server) = (config(&mut random), config(&mut random));
        let mut pair = Pair::with(client, server, link(&mut random), seed);
        let mut said: [Vec<Seen>; 2] = Default::default();
        for _ in 0..random.below(40) {
            let who = random.below(2);
            said[who].extend(say(&mut pair, ROLES[who], &mut random));
            match random.below(4) {
                0 => pair.run(Duration::from_millis(random.below(2000) as u64)),
                1 => pair.side(ROLES[who]).blocked = random.below(2) == 0,
                2 => pair.settle(),
                _ => {}
            }
        }
        pair.client.blocked = false;
        pair.server.blocked = false;
        let now = pair.now;
        // The slowest link carries what is queued within the close deadline only if it is not behind much.
        pair.run(secs(200));
        let who = ROLES[random.below(2)];
        let at = pair.now;
        pair.side(who).conn.close(at, 1000, "enough").unwrap();
        if random.below(3) == 0 {
            pair.side(who.peer()).conn.close(at, 1001, "me too").unwrap();
        }
        pair.run(secs(60));
        for (i, side) in [(1, &pair.client), (0, &pair.server)] {
            let how = side.closed().unwrap_or_else(|| panic!("seed {seed}: no end since {now:?}"));
            assert!(how.starts_with("Handshake") && how.ends_with(" clean"), "seed {seed}: {how}");
            let heard = messages(side.stories());
            assert_eq!(heard, said[i].iter().collect::<Vec<_>>(), "seed {seed}");
        }
    }
}

#[test]
fn a_link_that_breaks_at_any_byte_ends_both_sides_once() {
    let script = |pair: &mut Pair| {
        let _ = pair.client.conn.send("hello");
        pair.run(Duration::from_millis(50));
        let _ = pair.server.conn.send(&[1; 40]);
        let now = pair.now;
        let _ = pair.server.conn.ping(now, b"p");
        pair.run(Duration::from_millis(50));
        let now = pair.now;
        let _ = pair.client.conn.close(now, 1000, "bye");
        pair.run(secs(60));
    };
    for cut in ROLES {
        let mut whole = Pair::new(&Config::default(), 1);
        script(&mut whole);
        let total = whole.side(cut).wrote.len();
        for at in 0..=total {
            for silent in [false, true] {
                let mut pair = Pair::new(&Config::default(), 1);
                pair.side(cut).cut_after = Some(at);
                // After the end of one direction, the other one may go on, or vanish as well.
                pair.side(cut.peer()).lost = silent;
                script(&mut pair);
                for side in [&pair.client, &pair.server] {
                    let how = side.closed().unwrap_or_else(|| panic!("{cut:?} cut at {at}: no end"));
                    assert!(!how.starts_with("Protocol"), "{cut:?} cut at {at}: {how}");
                    for story in messages(side.stories()) {
                        assert!(*story == Seen::Text(b"hello".to_vec()) || *story == Seen::Binary(vec![1; 40]));
                    }
                }
            }
        }
    }
}

#[test]
fn floods_from_both_sides_at_once_do_not_stop_the_conversation() {
    for role in ROLES {
        let link = Link { window: 1000, ..Link::default() };
        let mut pair = Pair::with(Config::default(), Config::default(), link, 7);
        for round in 0..200_u32 {
            let now = pair.now;
            for side in ROLES {
                for _ in 0..20 {
                    let _ = pair.side(side).conn.ping(now, &[b'x'; 125]);
                }
            }
            if round == 100 {
                pair.side(role).conn.send("through the flood").unwrap();
            }
            pair.run(Duration::from_millis(10));
            assert!(pair.side(role).conn.outgoing().map(<[u8]>::len).sum::<usize>() < 20 * 1024);
        }
        pair.run(secs(30));
        let heard = messages(pair.side(role.peer()).stories());
        assert_eq!(heard, [&Seen::Text(b"through the flood".to_vec())]);
        assert!(pair.client.closed().is_none() && pair.server.closed().is_none());
    }
}

#[test]
fn each_deadline_ends_a_pair_with_its_own_cause() {
    let dead = |change: fn(&mut Config), prepare: fn(&mut Pair), cause: &str| {
        let mut config = Config::default();
        change(&mut config);
        let mut patient = Config::default();
        patient.timers.keepalive = None;
        let mut pair = Pair::with(patient, config, Link::default(), 3);
        prepare(&mut pair);
        pair.run(secs(3600));
        let how = pair.server.closed().unwrap_or_else(|| panic!("{cause}: no end"));
        assert!(how.starts_with(cause), "{how}, not {cause}");
    };
    dead(|config| config.timers.idle = Some(secs(60)), |_| {}, "IdleTimeout by local received 1001 sent 1001");
    dead(|config| config.timers.lifetime = Some(secs(60)), |_| {}, "Lifetime by local received 1001 sent 1001");
    let silence = |pair: &mut Pair| pair.client.lost = true;
    dead(|_| {}, silence, "PongTimeout by local received none sent none");
    let deaf = |pair: &mut Pair| {
        pair.server.blocked = true;
        pair.server.conn.send("hello").unwrap();
        // Whoever could not write all of it looks at the machine again; that starts the clock.
        let now = pair.now;
        pair.server.conn.handle_timeout(now);
    };
    dead(|config| config.timers.keepalive = None, deaf, "WriteStalled by local received none sent none");
    let stuck = |pair: &mut Pair| {
        let now = pair.now;
        pair.client.lost = true;
        pair.server.conn.close(now, 1000, "").unwrap();
    };
    dead(|_| {}, stuck, "CloseTimeout by local received none sent 1000");
    let slow = |pair: &mut Pair| {
        let mut writer = pair.client.conn.start_message(Kind::Binary).unwrap();
        writer.write(b"and so on").unwrap();
    };
    dead(|_| {}, slow, "TooSlow by local received none sent 1008");
}
