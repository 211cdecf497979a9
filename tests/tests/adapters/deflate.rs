//! Compressed sends that are interrupted half-way.

use std::cell::RefCell;
use std::rc::Rc;

use ws_proto::connection::{Connection, Event, Prepared};
use ws_proto::deflate::Deflate;
use ws_proto::{Config, Input, Instant, IntoMessage, Role};
use ws_tests::deflate::{connection, eager};
use ws_tests::entropy::Random;

use crate::poke::{Says, Verbs, by_deadline, with_patience};
use crate::wire::{End, pipe};

crate::with_the_verbs_of_all!(
    threat_047_a_compressed_send_that_is_dropped_goes_out_whole_or_not_at_all,
    threat_047_so_do_the_sends_of_a_split_sender,
);

/// The other end: reads from the pipe, and decodes.
struct Peer {
    conn: Connection,
    end: End,
    heard: Vec<String>,
}

impl Peer {
    /// Reads at most `n` bytes, if there are some.
    fn read(&mut self, n: usize) -> usize {
        let mut bytes = self.end.try_read(n).unwrap_or_default();
        let mut input = Input::new(&mut bytes);
        while let Some(event) = self.conn.poll(Instant::from_secs(1), &mut input) {
            match event {
                Event::Text(text) => self.heard.push(text.as_str().to_owned()),
                other => panic!("{other:?}"),
            }
        }
        bytes.len()
    }
}

type Shared = Rc<RefCell<Peer>>;

/// Interrupts a call after so many polls, with the peer reading a little in between.
fn some(polls: usize, peer: &Shared, call: impl FnOnce() -> Option<Result<(), ws_adapter::Error>>) -> bool {
    let peer = peer.clone();
    let between = Rc::new(move || {
        peer.borrow_mut().read(7);
    });
    let result = with_patience(polls, between, call);
    result.map(|result| result.expect("the connection holds")).is_some()
}

fn text(i: usize, random: &mut Random) -> String {
    format!("{i} {}", "the same in every message, and more ".repeat(random.below(12)))
}

fn ends<V: Verbs>(settings: Deflate, offer: &str) -> (V, Shared) {
    let mut config = Config::default();
    config.timers = ws_proto::Timers::off();
    config.limits.outgoing = 60;
    let (ours, end) = pipe(16);
    let conn = connection(Role::Server, settings, offer, config);
    let peer = connection(Role::Client, settings, offer, Config::default());
    (V::open(conn, ours), Rc::new(RefCell::new(Peer { conn: peer, end, heard: Vec::new() })))
}

/// What was said to be sent arrived, all that arrived was sent, in order, and each once.
fn check(said: &[(String, bool)], peer: &Shared) {
    while peer.borrow_mut().read(100) > 0 {}
    let peer = peer.borrow();
    let mut heard = peer.heard.iter().peekable();
    for (message, sent) in said {
        if heard.next_if(|one| *one == message).is_none() {
            assert!(!sent, "lost: {message}");
        }
    }
    assert_eq!(heard.next(), None);
}

/// In one of the rounds calls end by their deadline, and the peer reads after them.
fn sometimes_late(polls: usize, peer: &Shared, call: impl FnOnce() -> bool) -> bool {
    if polls < 7 {
        return call();
    }
    let sent = by_deadline(call);
    peer.borrow_mut().read(7);
    sent
}

fn with_all(mut each: impl FnMut(Deflate, &str, usize)) {
    for offer in ["permessage-deflate", "permessage-deflate; server_no_context_takeover", "deflate-frame"] {
        for shared in [false, true] {
            let mut settings = eager();
            settings.shared_compressor = shared;
            for polls in 0..8 {
                each(settings, offer, polls);
            }
        }
    }
}

fn threat_047_a_compressed_send_that_is_dropped_goes_out_whole_or_not_at_all<V: Verbs>() {
    with_all(|settings, offer, polls| {
        let mut random = Random::new(polls as u64);
        let (mut socket, peer) = ends::<V>(settings, offer);
        let mut said = Vec::new();
        for i in 0..30 {
            let message = text(i, &mut random);
            let sent = sometimes_late(polls, &peer, || match i % 5 {
                0 | 1 => some(polls, &peer, || socket.send(&message)),
                2 => some(polls, &peer, || socket.feed(&message)),
                3 => some(polls, &peer, || socket.send_prepared(&Prepared::new(&message))),
                _ => some(polls, &peer, || socket.send((&message).compress(false))),
            });
            said.push((message, sent));
        }
        let last = text(99, &mut random);
        assert!(some(10_000, &peer, || socket.send(&last)));
        assert!(some(10_000, &peer, || socket.flush()));
        said.push((last, true));
        check(&said, &peer);
    });
}

fn threat_047_so_do_the_sends_of_a_split_sender<V: Verbs>() {
    with_all(|settings, offer, polls| {
        let mut random = Random::new(polls as u64);
        let (socket, peer) = ends::<V>(settings, offer);
        let (_receiver, sender) = socket.split();
        let other = sender.clone();
        let mut said = Vec::new();
        for i in 0..30 {
            let message = text(i, &mut random);
            let from = if i % 2 == 0 { &sender } else { &other };
            let sent = sometimes_late(polls, &peer, || match i % 3 {
                0 => some(polls, &peer, || from.send(&message)),
                1 => some(polls, &peer, || from.feed(&message)),
                _ => some(polls, &peer, || from.send_prepared(&Prepared::new(&message))),
            });
            said.push((message, sent));
        }
        let last = text(99, &mut random);
        assert!(some(10_000, &peer, || sender.send(&last)));
        assert!(some(10_000, &peer, || sender.flush()));
        said.push((last, true));
        check(&said, &peer);
    });
}
