//! Whole conversations of two ends over a simulated link: random traffic, random cuts, faults, and every end.

use std::num::NonZeroUsize;
use std::time::Duration;

use ws_proto::connection::Prepared;
use ws_proto::{Config, Delivery, Kind, Role, SendError, Version};
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
    if random.below(3) == 0 {
        config.delivery = Delivery::Chunks;
    }
    config
}

/// Sends something random; the message, if it was one.
fn say(pair: &mut Pair, role: Role, random: &mut Random) -> Option<Seen> {
    let now = pair.now;
    let conn = &mut pair.side(role).conn;
    let version = conn.negotiated().version;
    let size = [0, 1, 10, 125, 126, 700, 5000][random.below(7)];
    let text = "\u{1f600}\u{e9}a".repeat(size / 7);
    let bytes = random.bytes(size);
    let how = random.below(10);
    if !version.has_binary() && !matches!(how, 3 | 4 | 8 | 9) {
        let unsupported = Err(SendError::Unsupported(version));
        assert_eq!(conn.send(&bytes).map_err(SendError::without_message), unsupported);
        assert_eq!(conn.send_prepared(&Prepared::new(&bytes)), unsupported);
        assert_eq!(conn.start_message(Kind::Binary).map(drop), unsupported);
        assert_eq!(conn.ping(now, b""), unsupported);
        assert_eq!(conn.pong(b""), unsupported);
        return None;
    }
    match how {
        0 => {
            conn.ping(now, &bytes[..size.min(125)]).unwrap();
            None
        }
        1 => {
            conn.pong(&bytes[..size.min(125)]).unwrap();
            None
        }
        2 | 9 => {
            let (kind, whole) = if how == 2 { (Kind::Binary, bytes) } else { (Kind::Text, text.into_bytes()) };
            let mut writer = conn.start_message(kind).unwrap();
            for piece in whole.chunks(1 + random.below(300)) {
                writer.write(piece).unwrap();
            }
            writer.finish(b"").unwrap();
            Some(if how == 2 { Seen::Binary(whole) } else { Seen::Text(whole) })
        }
        3 | 4 => {
            conn.send(message(Kind::Text, text.as_bytes())).unwrap();
            Some(Seen::Text(text.into_bytes()))
        }
        8 => {
            conn.send_prepared(&Prepared::new(text.as_str())).unwrap();
            Some(Seen::Text(text.into_bytes()))
        }
        7 => {
            conn.send_prepared(&Prepared::new(&bytes)).unwrap();
            Some(Seen::Binary(bytes))
        }
        _ => {
            conn.send(message(Kind::Binary, &bytes)).unwrap();
            Some(Seen::Binary(bytes))
        }
    }
}

/// The messages among the events, those that came in chunks put together.
fn messages<'s>(stories: impl Iterator<Item = &'s Seen>) -> Vec<Seen> {
    let mut all = Vec::new();
    let mut open = Vec::new();
    for event in stories {
        match event {
            Seen::Text(_) | Seen::Binary(_) => all.push(event.clone()),
            Seen::Chunk { kind, first, last, data } => {
                assert_eq!(*first, open.is_empty());
                open.push(data.clone());
                if *last {
                    let whole = std::mem::take(&mut open).concat();
                    all.push(if *kind == Kind::Text { Seen::Text(whole) } else { Seen::Binary(whole) });
                }
            }
            _ => {}
        }
    }
    all
}

/// What is said of a Close with this code in a version.
fn words(version: Version, code: u16) -> String {
    match version {
        _ if !version.has_close() => "none".into(),
        _ if !version.has_close_code() => "empty".into(),
        _ => code.to_string(),
    }
}

#[test]
fn random_conversations_arrive_whole_and_end_clean() {
    for version in Version::ALL {
        let modern = if *version == Version::Rfc6455 { 4 } else { 1 };
        for seed in 0..if cfg!(debug_assertions) { 40 } else { 500 } * modern {
            converse(*version, seed);
        }
    }
}

fn converse(version: Version, seed: u64) {
    let mut random = Random::new(seed);
    let (client, server) = (config(&mut random), config(&mut random));
    let mut pair = Pair::of(version, client, server, link(&mut random), seed);
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
        let how = side.closed().unwrap_or_else(|| panic!("{version} seed {seed}: no end since {now:?}"));
        let clean = how.starts_with("Handshake") && how.ends_with(" clean");
        // Without a Close, whoever did not begin sees nothing but the end of the stream.
        let began =
            version.has_close() || std::ptr::eq(side, if who == Role::Client { &pair.client } else { &pair.server });
        let end_of_stream = !began && how.starts_with("Eof by remote received none sent none code 1006");
        assert!(clean || end_of_stream, "{version} seed {seed}: {how}");
        assert_eq!(messages(side.stories()), said[i], "{version} seed {seed}");
    }
}

#[test]
fn a_link_that_breaks_at_any_byte_ends_both_sides_once() {
    let script = |pair: &mut Pair| {
        let _ = pair.client.conn.send("hello");
        pair.run(Duration::from_millis(50));
        let _ = pair.server.conn.send(&[1; 40]);
        let _ = pair.server.conn.send("world");
        let now = pair.now;
        let _ = pair.server.conn.ping(now, b"p");
        pair.run(Duration::from_millis(50));
        let now = pair.now;
        let _ = pair.client.conn.close(now, 1000, "bye");
        pair.run(secs(60));
    };
    let said = [Seen::Text(b"hello".to_vec()), Seen::Text(b"world".to_vec()), Seen::Binary(vec![1; 40])];
    let new = |version: Version| {
        let mut config = Config::default();
        // Where there are no pings, nothing else finds out that the peer has vanished.
        config.timers.idle = (!version.has_ping()).then_some(secs(20));
        Pair::of(version, config.clone(), config, Link::default(), 1)
    };
    for (version, cut) in Version::ALL.iter().flat_map(|version| ROLES.map(|role| (*version, role))) {
        let mut whole = new(version);
        script(&mut whole);
        let total = whole.side(cut).wrote.len();
        for (at, silent) in (0..=total).flat_map(|at| [(at, false), (at, true)]) {
            let mut pair = new(version);
            pair.side(cut).cut_after = Some(at);
            // After the end of one direction, the other one may go on, or vanish as well.
            pair.side(cut.peer()).lost = silent;
            script(&mut pair);
            for side in [&pair.client, &pair.server] {
                let how = side.closed().unwrap_or_else(|| panic!("{version} {cut:?} cut at {at}: no end"));
                assert!(!how.starts_with("Protocol"), "{version} {cut:?} cut at {at}: {how}");
                assert!(messages(side.stories()).iter().all(|story| said.contains(story)));
            }
        }
    }
}

#[test]
fn floods_from_both_sides_at_once_do_not_stop_the_conversation() {
    let with_pings = Version::ALL.iter().filter(|version| version.has_ping());
    for (version, role) in with_pings.flat_map(|version| ROLES.map(|role| (*version, role))) {
        let link = Link { window: 1000, ..Link::default() };
        let mut pair = Pair::of(version, Config::default(), Config::default(), link, 7);
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
        assert_eq!(heard, [Seen::Text(b"through the flood".to_vec())]);
        assert!(pair.client.closed().is_none() && pair.server.closed().is_none());
    }
}

#[test]
fn each_deadline_ends_a_pair_with_its_own_cause() {
    for version in Version::ALL {
        each_deadline(*version);
    }
}

fn each_deadline(version: Version) {
    let run = |change: fn(&mut Config), prepare: fn(&mut Pair)| {
        let mut config = Config::default();
        change(&mut config);
        let mut patient = Config::default();
        patient.timers.keepalive = None;
        let mut pair = Pair::of(version, patient, config, Link::default(), 3);
        prepare(&mut pair);
        pair.run(secs(3600));
        pair
    };
    let dead = |change: fn(&mut Config), prepare: fn(&mut Pair), cause: &str| {
        let pair = run(change, prepare);
        let how = pair.server.closed().unwrap_or_else(|| panic!("{version} {cause}: no end"));
        assert!(how.starts_with(cause), "{version}: {how}, not {cause}");
    };
    let sent = |code| words(version, code);
    let retired = format!("received {0} sent {0}", sent(1001));
    dead(|config| config.timers.idle = Some(secs(60)), |_| {}, &format!("IdleTimeout by local {retired}"));
    dead(|config| config.timers.lifetime = Some(secs(60)), |_| {}, &format!("Lifetime by local {retired}"));
    let silence = |pair: &mut Pair| pair.client.lost = true;
    if version.has_ping() {
        dead(|_| {}, silence, "PongTimeout by local received none sent none");
    } else {
        assert_eq!(run(|_| {}, silence).server.closed(), None, "without pings nobody can tell");
    }
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
    dead(|_| {}, stuck, &format!("CloseTimeout by local received none sent {}", sent(1000)));
    let slow = |pair: &mut Pair| {
        let mut writer = pair.client.conn.start_message(Kind::Text).unwrap();
        writer.write(b"and so on").unwrap();
    };
    dead(|_| {}, slow, &format!("TooSlow by local received none sent {}", sent(1008)));
}
