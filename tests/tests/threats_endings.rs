//! How connections end, against peers and networks that will not let them: on a virtual clock.

use std::time::Duration;

use alloc_meter::Mark;
use proptest::prelude::*;
use ws_proto::{Cause, Config, Connection, Instant, Rate, Role};
use ws_tests::endpoint::{Driven, Endpoint};
use ws_tests::entropy::{Random, counting};
use ws_tests::pair::{Link, Pair};
use ws_tests::run::Subject;
use ws_tests::transcript::{Call, Seen};
use ws_tests::wire::{close, frame, frames, head};

const ROLES: [Role; 2] = [Role::Server, Role::Client];

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn end(role: Role, config: Config) -> Driven<Connection> {
    Driven::new(role, config, counting())
}

/// The only terminal event among these, if there is one.
fn terminal(events: &[Seen]) -> Option<&str> {
    let mut ends = events.iter().filter_map(|e| if let Seen::Closed(how) = e { Some(how.as_str()) } else { None });
    let end = ends.next();
    assert!(ends.next().is_none(), "{events:?}");
    assert!(end.is_none() || matches!(events.last(), Some(Seen::Closed(_))), "{events:?}");
    end
}

/// What a peer does after our Close instead of ending the connection.
#[derive(Clone, Copy, Debug)]
enum Stalling {
    Silence,
    AnswerThenSilence,
    AnswerInDrops,
    MessageInDrops,
    Messages,
    Pings,
    Garbage,
    AnswerThenGarbage,
}

#[test]
fn threat_097_every_closing_handshake_ends_by_the_deadline() {
    use Stalling::*;
    let limit = Config::default().timers.close.unwrap();
    for role in ROLES {
        for how in
            [Silence, AnswerThenSilence, AnswerInDrops, MessageInDrops, Messages, Pings, Garbage, AnswerThenGarbage]
        {
            let mut end = end(role, Config::default());
            let peer = role.peer();
            end.call(&Call::Close(Some((1000, String::new())))).unwrap();
            let closed_at = end.now;
            end.take(1000);
            let answer = close(peer, 1000, "a long goodbye");
            match how {
                AnswerThenSilence | AnswerThenGarbage => end.receive(&answer),
                _ => {}
            }
            let mut events = end.events();
            for second in 0..3600 {
                match how {
                    Silence | AnswerThenSilence => {}
                    AnswerInDrops => end.receive(&answer[second.min(answer.len() - 2)..=second.min(answer.len() - 2)]),
                    MessageInDrops if second == 0 => end.receive(&head(peer, 0x82, 1000)),
                    MessageInDrops => end.receive(b"x"),
                    Messages => end.receive(&frame(peer, 0x81, b"still here")),
                    Pings => end.receive(&frame(peer, 0x89, b"still here")),
                    Garbage => end.receive(&[0xff; 100]),
                    AnswerThenGarbage => end.receive(&[0xff; 100]),
                }
                end.take(1000);
                events.extend(end.events());
                if terminal(&events).is_some() {
                    break;
                }
                end.advance_clock(secs(1));
                events.extend(end.events());
            }
            assert!(terminal(&events).is_some(), "{role:?} {how:?}");
            let took = end.now.duration_since(closed_at);
            assert!(took <= limit + secs(1), "{role:?} {how:?}: {took:?}");
            assert_eq!(end.end.poll_timeout(), None);
        }
    }
}

#[test]
fn threat_098_a_wire_gone_silent_is_noticed_by_both_ends() {
    for seed in 0..20 {
        let mut pair = Pair::new(&Config::default(), seed);
        pair.client.conn.send("hello").unwrap();
        pair.run(secs(5));
        assert!(pair.client.closed().is_none() && pair.server.closed().is_none());
        // The cable is pulled: no end of stream, nothing arrives any more.
        pair.client.lost = true;
        pair.server.lost = true;
        let pulled = pair.now;
        pair.run(secs(20) + secs(20));
        for side in [&pair.client, &pair.server] {
            let how = side.closed().unwrap_or_else(|| panic!("seed {seed}: not noticed since {pulled:?}"));
            assert!(how.starts_with("PongTimeout by local"), "{how}");
            let pings = frames(&side.wrote).0.iter().filter(|f| f.opcode == 9).count();
            assert_eq!(pings, 1, "asked once before giving up");
        }
    }
}

#[test]
fn threat_099_a_long_message_on_a_slow_link_is_no_death() {
    let mib = if cfg!(debug_assertions) { 4 } else { 10 };
    let message = vec![7_u8; mib * 1024 * 1024];
    for role in ROLES {
        let link = Link { rate: Some(64_000), ..Link::default() };
        let mut pair = Pair::with(Config::default(), Config::default(), link, 99);
        pair.side(role).conn.send(&message[..]).unwrap();
        pair.run(secs(400));
        assert_eq!(pair.client.closed(), None, "the client, sender {role:?}");
        assert_eq!(pair.server.closed(), None, "the server, sender {role:?}");
        let got = &pair.side(role.peer()).events;
        assert!(matches!(got.iter().find(|e| matches!(e, Seen::Binary(_))), Some(Seen::Binary(b)) if *b == message));
    }
}

#[test]
fn threat_100_life_by_trickle_is_bounded() {
    for role in ROLES {
        let mut end = end(role, Config::default());
        end.receive(&head(role.peer(), 0x82, 100_000));
        let begun = end.now;
        let mut events = Vec::new();
        while terminal(&events).is_none() {
            for _ in 0..19 {
                end.advance_clock(secs(1));
                end.take(1000);
            }
            end.receive(b"x");
            events.extend(end.events());
            assert!(end.now.duration_since(begun) < secs(60), "a trickle keeps the connection alive");
        }
        assert!(terminal(&events).unwrap().starts_with("TooSlow by local received none sent 1008"), "{events:?}");

        // Between messages only the pong deadline counts.
        let mut idle = self::end(role, Config::default());
        for _ in 0..1000 {
            idle.advance_clock(secs(19));
            idle.receive(&frame(role.peer(), 0x81, b"x"));
            assert_eq!(idle.events(), [Seen::Text(b"x".to_vec())]);
        }
    }
}

#[test]
fn threat_101_a_peer_that_acknowledges_nothing_is_dropped_and_its_queue_freed() {
    for role in ROLES {
        let mut config = Config::default();
        config.timers.keepalive = None;
        let mut end = end(role, config);
        let mark = Mark::now();
        end.call(&Call::Send(ws_proto::Kind::Binary, vec![1; 500_000])).unwrap();
        assert!(mark.usage().live >= 500_000);
        end.advance_clock(secs(29));
        assert_eq!(end.take(1), [0x82]);
        end.advance_clock(secs(29));
        assert_eq!(end.events(), []);
        end.advance_clock(secs(1));
        let events = end.events();
        assert!(terminal(&events).unwrap().starts_with("WriteStalled"), "{events:?}");
        drop(events);
        assert!(mark.usage().live <= 1024, "{:?}", mark.usage());
        assert_eq!(end.take(10), b"");
    }
}

#[test]
fn threat_102_an_end_without_a_close_is_told_apart_and_delivers_no_part() {
    for from in ROLES {
        let parts: [&[u8]; 3] = [b"first message", b"second", b"third one"];
        let mut wire_len = 0;
        for at in 0.. {
            let mut pair = Pair::new(&Config::default(), at as u64);
            pair.side(from).cut_after = Some(at);
            pair.side(from).conn.send(parts[0]).unwrap();
            let mut writer = pair.side(from).conn.start_message(ws_proto::Kind::Binary).unwrap();
            writer.write(parts[1]).unwrap();
            writer.finish(parts[2]).unwrap();
            wire_len = wire_len.max(pair.side(from).conn.outgoing().map(<[u8]>::len).sum());
            pair.run(secs(3));
            if at >= wire_len {
                break;
            }
            let heard = &*pair.side(from.peer());
            let how = heard.closed().unwrap_or_else(|| panic!("no end at byte {at}"));
            assert!(how.starts_with("Eof by remote received none"), "at {at}: {how}");
            assert!(how.ends_with("code 1006 unclean"), "{how}");
            for story in heard.stories() {
                assert_eq!(*story, Seen::Binary(parts[0].to_vec()), "at {at}");
            }
        }
    }
}

/// One thing that can happen in a race of two Closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    ClientCloses,
    ServerCloses,
    ClientSends,
    ServerSends,
    /// A few bytes of the client's output reach the server.
    ClientWrites,
    ServerWrites,
}

const MOVES: [Move; 6] = [
    Move::ClientCloses,
    Move::ServerCloses,
    Move::ClientSends,
    Move::ServerSends,
    Move::ClientWrites,
    Move::ServerWrites,
];

struct Race {
    client: Driven<Connection>,
    server: Driven<Connection>,
    wrote: [Vec<u8>; 2],
    events: [Vec<Seen>; 2],
}

impl Race {
    fn new() -> Self {
        let client = end(Role::Client, Config::default());
        let server = end(Role::Server, Config::default());
        Self { client, server, wrote: Default::default(), events: Default::default() }
    }

    fn make(&mut self, step: Move) {
        let close = |code| Call::Close(Some((code, String::new())));
        let text = Call::Send(ws_proto::Kind::Text, b"hi".to_vec());
        match step {
            Move::ClientCloses => drop(self.client.call(&close(1000))),
            Move::ServerCloses => drop(self.server.call(&close(1001))),
            Move::ClientSends => drop(self.client.call(&text)),
            Move::ServerSends => drop(self.server.call(&text)),
            Move::ClientWrites => drop(self.carry(Role::Client, 9)),
            Move::ServerWrites => drop(self.carry(Role::Server, 5)),
        }
        self.events[0].extend(self.client.events());
        self.events[1].extend(self.server.events());
    }

    fn carry(&mut self, from: Role, n: usize) -> bool {
        let (from, to, wrote) = match from {
            Role::Client => (&mut self.client, &mut self.server, &mut self.wrote[0]),
            Role::Server => (&mut self.server, &mut self.client, &mut self.wrote[1]),
        };
        let bytes = from.take(n);
        wrote.extend_from_slice(&bytes);
        if !bytes.is_empty() {
            to.receive(&bytes);
        }
        !bytes.is_empty()
    }

    /// Carries everything over, then ends the streams as the machines ask for.
    fn finish(&mut self) {
        while self.carry(Role::Client, 1000) | self.carry(Role::Server, 1000) {}
        if self.server.end.wants_shutdown().is_some() {
            self.client.eof();
        }
        if self.client.end.wants_shutdown().is_some() {
            self.server.eof();
        }
        self.events[0].extend(self.client.events());
        self.events[1].extend(self.server.events());
    }
}

#[test]
fn threat_104_closing_races_enumerated() {
    let steps = if cfg!(miri) { 3 } else { 6 };
    let mut races = 0;
    for number in 0..6_usize.pow(steps) {
        let moves: Vec<Move> = (0..steps).map(|i| MOVES[number / 6_usize.pow(i) % 6]).collect();
        let closes = moves.iter().filter(|m| matches!(m, Move::ClientCloses | Move::ServerCloses)).count();
        // A third close call changes nothing, which a script shows; it would only cost time here.
        if closes == 0 || closes > 3 {
            continue;
        }
        races += 1;
        let mut race = Race::new();
        moves.iter().for_each(|step| race.make(*step));
        race.finish();
        for (role, wrote, events) in
            [("client", &race.wrote[0], &race.events[0]), ("server", &race.wrote[1], &race.events[1])]
        {
            let (frames, left) = frames(wrote);
            assert_eq!(left, 0, "{moves:?}");
            let closes = frames.iter().filter(|f| f.opcode == 8).count();
            assert_eq!(closes, 1, "{role} sent {closes} Closes: {moves:?}");
            assert_eq!(frames.last().map(|f| f.opcode), Some(8), "{role} went on after its Close: {moves:?}");
            let how = terminal(events).unwrap_or_else(|| panic!("{role} never ended: {moves:?}"));
            assert!(how.starts_with("Handshake") && how.ends_with(" clean"), "{role} {how}: {moves:?}");
        }
        // Whatever was sent before the own Close arrives, unless the other end had heard a Close before it.
        let sent = |wrote: &[u8]| frames(wrote).0.iter().filter(|f| f.opcode == 1).count();
        let heard = |events: &[Seen]| events.iter().filter(|e| matches!(e, Seen::Text(_))).count();
        assert_eq!(heard(&race.events[1]), sent(&race.wrote[0]), "{moves:?}");
        assert_eq!(heard(&race.events[0]), sent(&race.wrote[1]), "{moves:?}");
    }
    assert!(races > if cfg!(miri) { 50 } else { 30_000 }, "{races}");
}

#[test]
fn threat_104_a_close_goes_out_between_fragments_and_behind_a_full_queue() {
    for role in ROLES {
        let mut config = Config::default();
        config.limits.outgoing = 1000;
        let mut end = end(role, config);
        let now = end.now;
        end.end.sender(now, |to| {
            to.start(ws_proto::Kind::Binary).unwrap();
            to.piece(&[1; 600], false).unwrap();
            to.piece(&[2; 600], false).unwrap();
            assert!(to.piece(&[3; 600], false).is_err(), "the queue is full");
        });
        end.receive(&close(role.peer(), 1000, ""));
        end.call(&Call::Close(Some((1001, String::new())))).unwrap();
        let (written, left) = frames(&end.take(usize::MAX));
        assert_eq!(left, 0);
        let opcodes: Vec<u8> = written.iter().map(|f| f.opcode).collect();
        assert_eq!(opcodes, [2, 0, 8], "the frames that were queued, then one Close");
        assert_eq!(written[2].payload, [0x03, 0xe8]);
    }
}

/// Things that can end a connection, in every order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Fault,
    Eof,
    Timeout,
    LocalClose,
    TransportFails,
}

fn orders<T: Copy>(of: &[T]) -> Vec<Vec<T>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for i in 0..of.len() {
        let mut rest = of.to_vec();
        let first = rest.remove(i);
        all.extend(orders(&rest).into_iter().map(|order| [&[first][..], &order].concat()));
    }
    all
}

#[test]
fn threat_106_one_terminal_event_with_the_first_cause() {
    for role in ROLES {
        for written in [false, true] {
            for order in orders(&[Blow::Fault, Blow::Eof, Blow::Timeout, Blow::LocalClose, Blow::TransportFails]) {
                let mut end = end(role, Config::default());
                let mut events = Vec::new();
                for blow in &order {
                    match blow {
                        Blow::Fault => end.receive(&[0x83]),
                        Blow::Eof => end.eof(),
                        Blow::Timeout => {
                            for _ in 0..100 {
                                end.advance_clock(secs(1));
                                if written {
                                    end.take(1000);
                                }
                            }
                        }
                        Blow::LocalClose => end.call(&Call::Close(Some((1000, String::new())))).unwrap(),
                        Blow::TransportFails => end.transport_failed(),
                    }
                    if written {
                        end.take(1000);
                    }
                    events.extend(end.events());
                }
                let how = terminal(&events).unwrap_or_else(|| panic!("no end: {order:?}"));
                let closed_first = order[0] == Blow::LocalClose;
                let first = if closed_first { order[1] } else { order[0] };
                let cause = match first {
                    Blow::Fault => "Protocol(ReservedOpcode)",
                    Blow::Eof => "Eof",
                    Blow::Timeout if closed_first => "CloseTimeout",
                    Blow::Timeout if written => "PongTimeout",
                    // The ping itself is stuck.
                    Blow::Timeout => "WriteStalled",
                    Blow::TransportFails => "Transport",
                    Blow::LocalClose => unreachable!(),
                };
                assert!(how.starts_with(&format!("{cause} by ")), "{role:?} {order:?} {written}: {how}");
                for _ in 0..100 {
                    end.poll(&mut []);
                    end.receive(b"\x81\x80");
                }
                assert_eq!((end.events(), end.take(10)), (vec![], vec![]));
            }
        }
    }
}

fn odd_duration() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![
        Just(None),
        Just(Some(Duration::ZERO)),
        Just(Some(Duration::from_nanos(1))),
        (0..100_u64).prop_map(|s| Some(Duration::from_secs(s))),
        Just(Some(Duration::from_nanos(u64::MAX - 1))),
        Just(Some(Duration::MAX)),
    ]
}

fn odd_config() -> impl Strategy<Value = Config> {
    let timers = (
        odd_duration(),
        odd_duration(),
        odd_duration(),
        odd_duration(),
        odd_duration(),
        odd_duration(),
        prop_oneof![Just(None), (any::<u64>(), odd_duration()).prop_map(Some)],
    );
    timers.prop_map(|(keepalive, pong, idle, close, write_stall, lifetime, slowest)| {
        let mut config = Config::default();
        config.timers.keepalive = keepalive;
        config.timers.pong = pong;
        config.timers.idle = idle;
        config.timers.close = close;
        config.timers.write_stall = write_stall;
        config.timers.lifetime = lifetime;
        config.timers.slowest_message =
            slowest.map(|(bytes_per_second, grace)| Rate { bytes_per_second, grace: grace.unwrap_or_default() });
        config
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 400 }))]

    /// Clocks that stand still, jump and run back; timers of nothing and of for ever.
    #[test]
    fn threat_107_time_saturates(config in odd_config(), role in any::<bool>(), seed in any::<u64>()) {
        let role = if role { Role::Client } else { Role::Server };
        let mut random = Random::new(seed);
        let mut conn = <Connection as Endpoint>::new(role, config, counting());
        let mut ends = 0;
        for _ in 0..60 {
            let now = match random.below(6) {
                0 => Instant::ZERO,
                1 => Instant::MAX,
                2 => Instant::from_nanos(random.number()),
                3 => Instant::from_secs(random.number() % 1000),
                4 => conn.poll_timeout().unwrap_or_default(),
                _ => Instant::from_nanos(u64::MAX - random.number() % 1000),
            };
            match random.below(8) {
                0 => conn.handle_timeout(now),
                1 => drop(conn.send("hello")),
                2 => drop(conn.ping(now, b"p")),
                3 => { let n = random.below(10); conn.advance(now, n.min(conn.outgoing().map(<[u8]>::len).sum())) }
                4 if random.below(10) == 0 => drop(conn.close(now, 1000, "")),
                _ => {}
            }
            let mut bytes = match random.below(4) {
                0 => frame(role.peer(), 0x81, b"x"),
                1 => frame(role.peer(), 0x02, b"x"),
                _ => Vec::new(),
            };
            let mut input = ws_proto::Input::new(&mut bytes);
            while let Some(event) = conn.poll(now, &mut input) {
                ends += u32::from(matches!(event, ws_proto::connection::Event::Closed(_)));
            }
            // A timer that is due is done with after a few calls, although the clock stands still.
            let mut calls = 0;
            while conn.poll_timeout().is_some_and(|at| at <= now) {
                conn.handle_timeout(now);
                while let Some(event) = conn.poll(now, &mut ws_proto::Input::empty()) {
                    ends += u32::from(matches!(event, ws_proto::connection::Event::Closed(_)));
                }
                calls += 1;
                prop_assert!(calls <= 20, "a timer never rests");
            }
        }
        prop_assert!(ends <= 1);
        conn.abort(Instant::MAX);
        while let Some(event) = conn.poll(Instant::ZERO, &mut ws_proto::Input::empty()) {
            ends += u32::from(matches!(event, ws_proto::connection::Event::Closed(_)));
        }
        prop_assert_eq!(ends, 1);
        prop_assert_eq!(conn.poll_timeout(), None);
    }
}

/// A cause says what it is in words.
#[test]
fn causes_have_words() {
    for cause in [Cause::Handshake, Cause::Eof, Cause::CloseTimeout, Cause::PongTimeout, Cause::Aborted] {
        assert!(cause.to_string().len() > 3);
    }
}
