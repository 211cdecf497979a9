//! Two connections, a link between them, and a clock that only moves when told: whole conversations in no time.

use std::collections::VecDeque;
use std::time::Duration;

use ws_proto::connection::{Connection, Shutdown};
use ws_proto::{Config, Input, Instant, Negotiated, Role, Version};

use crate::dialect::Dialect;
use crate::endpoint::{Endpoint, seen};
use crate::entropy::Random;
use crate::run::push_merged;
use crate::transcript::Seen;

/// How the link carries bytes.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The way from one end to the other.
    pub latency: Duration,
    /// Bytes per second; `None` for as fast as can be.
    pub rate: Option<u64>,
    /// Bytes that may be on their way before the sender has to wait.
    pub window: usize,
    /// Reads are cut at random into at most this many bytes.
    pub chunk: usize,
}

impl Default for Link {
    fn default() -> Self {
        Self { latency: Duration::from_millis(10), rate: None, window: 256 * 1024, chunk: 4096 }
    }
}

#[derive(Debug)]
enum Item {
    Bytes(Vec<u8>),
    Eof,
}

/// One end.
#[derive(Debug)]
pub struct Side {
    /// The connection.
    pub conn: Connection,
    /// Everything it reported.
    pub events: VecDeque<Seen>,
    /// The transport takes nothing from it.
    pub blocked: bool,
    /// What it writes vanishes without a trace.
    pub lost: bool,
    /// After this many more bytes the peer sees the end of the stream.
    pub cut_after: Option<usize>,
    /// Every byte it wrote.
    pub wrote: Vec<u8>,
    /// On their way to it.
    incoming: VecDeque<(Instant, Item)>,
    in_flight: usize,
    /// When the link has carried what was put on it towards this end.
    link_free: Instant,
    eof_sent: bool,
    dropped: bool,
}

impl Side {
    fn new(role: Role, negotiated: Negotiated, config: Config, seed: u64) -> Self {
        Self {
            conn: Endpoint::open(role, negotiated, config, Box::new(Random::new(seed))),
            events: VecDeque::new(),
            blocked: false,
            lost: false,
            cut_after: None,
            wrote: Vec::new(),
            incoming: VecDeque::new(),
            in_flight: 0,
            link_free: Instant::ZERO,
            eof_sent: false,
            dropped: false,
        }
    }

    /// How it ended, if it did; panics if it ended more than once.
    #[must_use]
    pub fn closed(&self) -> Option<&str> {
        let mut ends =
            self.events.iter().filter_map(|e| if let Seen::Closed(end) = e { Some(end.as_str()) } else { None });
        let end = ends.next();
        assert!(ends.next().is_none(), "ended twice: {:?}", self.events);
        assert!(end.is_none() || matches!(self.events.back(), Some(Seen::Closed(_))), "events after the end");
        end
    }

    /// Events other than the end.
    pub fn stories(&self) -> impl Iterator<Item = &Seen> {
        self.events.iter().filter(|event| !matches!(event, Seen::Closed(_)))
    }

    fn poll(&mut self, now: Instant, bytes: &mut [u8]) {
        let mut input = Input::new(bytes);
        while let Some(event) = self.conn.poll(now, &mut input) {
            push_merged(&mut self.events, seen(&event));
        }
        assert!(input.is_empty());
    }
}

/// A client and a server.
#[derive(Debug)]
pub struct Pair {
    /// The client.
    pub client: Side,
    /// The server.
    pub server: Side,
    /// The virtual time.
    pub now: Instant,
    /// The link, the same in both directions.
    pub link: Link,
    random: Random,
}

impl Pair {
    /// Two ends with the same settings, and a link whose cuts follow the seed.
    #[must_use]
    pub fn new(config: &Config, seed: u64) -> Self {
        Self::with(config.clone(), config.clone(), Link::default(), seed)
    }

    /// Two ends with settings of their own.
    #[must_use]
    pub fn with(client: Config, server: Config, link: Link, seed: u64) -> Self {
        let plain = || Negotiated::new(Version::Rfc6455);
        Self::agreed([plain(), plain()], [client, server], link, seed)
    }

    /// As [`Pair::with`], of that version.
    #[must_use]
    pub fn of(version: Version, client: Config, server: Config, link: Link, seed: u64) -> Self {
        let negotiated = || Dialect::new(version).negotiated();
        Self::agreed([negotiated(), negotiated()], [client, server], link, seed)
    }

    /// Two ends with what each took from the handshake; the client's first.
    #[must_use]
    pub fn agreed(negotiated: [Negotiated; 2], [client, server]: [Config; 2], link: Link, seed: u64) -> Self {
        let [for_client, for_server] = negotiated;
        let mut pair = Self {
            client: Side::new(Role::Client, for_client, client, seed),
            server: Side::new(Role::Server, for_server, server, seed ^ 1),
            now: Instant::from_secs(1),
            link,
            random: Random::new(seed),
        };
        pair.client.poll(pair.now, &mut []);
        pair.server.poll(pair.now, &mut []);
        pair
    }

    /// The end of that role.
    pub fn side(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    /// Lets time pass until nothing more will happen, or for that long.
    pub fn run(&mut self, at_most: Duration) {
        let end = self.now.saturating_add(at_most);
        for _ in 0..10_000_000 {
            while self.pump() {}
            match self.next_time() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => {
                    self.now = end;
                    return;
                }
            }
            self.timers();
        }
        panic!("the pair never comes to rest");
    }

    /// Lets bytes that are due pass, without time passing.
    pub fn settle(&mut self) {
        while self.pump() {}
    }

    fn timers(&mut self) {
        for side in [&mut self.client, &mut self.server] {
            if side.conn.poll_timeout().is_some_and(|at| at <= self.now) {
                let before = side.conn.poll_timeout();
                side.conn.handle_timeout(self.now);
                side.poll(self.now, &mut []);
                assert_ne!(side.conn.poll_timeout(), before, "a timeout that was handled did not move");
            }
        }
    }

    fn next_time(&self) -> Option<Instant> {
        let of = |side: &Side| {
            let due = side.incoming.front().map(|(at, _)| *at);
            [due, side.conn.poll_timeout()].into_iter().flatten().min()
        };
        [of(&self.client), of(&self.server)].into_iter().flatten().min()
    }

    /// One round: what is written goes on the link, what is due arrives. Says whether anything happened.
    fn pump(&mut self) -> bool {
        let Self { client, server, now, link, random } = self;
        let mut moved = false;
        moved |= transmit(client, server, *now, link, random);
        moved |= transmit(server, client, *now, link, random);
        moved |= deliver(client, *now);
        moved |= deliver(server, *now);
        moved
    }
}

fn transmit(from: &mut Side, to: &mut Side, now: Instant, link: &Link, random: &mut Random) -> bool {
    let mut moved = false;
    while from.conn.wants_write() && !from.blocked && !from.eof_sent && to.in_flight < link.window {
        let most = (link.window - to.in_flight).min(1 + random.below(link.chunk.max(1)));
        let mut bytes: Vec<u8> = from.conn.outgoing().flatten().copied().take(most).collect();
        from.conn.advance(now, bytes.len());
        from.wrote.extend_from_slice(&bytes);
        from.poll(now, &mut []);
        moved = true;
        if let Some(left) = &mut from.cut_after {
            bytes.truncate(*left);
            *left -= bytes.len();
        }
        if !from.lost && !bytes.is_empty() {
            put(to, now, link, Item::Bytes(bytes));
        }
        if from.cut_after == Some(0) {
            from.eof_sent = true;
            put(to, now, link, Item::Eof);
        }
    }
    let shutdown = from.conn.wants_shutdown();
    if shutdown.is_some() && !from.eof_sent && (from.cut_after != Some(0)) {
        from.eof_sent = true;
        moved = true;
        if !from.lost {
            put(to, now, link, Item::Eof);
        }
    }
    if shutdown == Some(Shutdown::Both) && !from.dropped {
        from.dropped = true;
        from.incoming.clear();
        from.in_flight = 0;
        moved = true;
    }
    moved
}

fn put(to: &mut Side, now: Instant, link: &Link, item: Item) {
    if to.dropped {
        return;
    }
    let start = to.link_free.max(now);
    let len = if let Item::Bytes(bytes) = &item { bytes.len() } else { 0 };
    let takes = link.rate.map_or(Duration::ZERO, |rate| Duration::from_nanos(len as u64 * 1_000_000_000 / rate.max(1)));
    to.link_free = start.saturating_add(takes);
    to.in_flight += len;
    to.incoming.push_back((to.link_free.saturating_add(link.latency), item));
}

fn deliver(side: &mut Side, now: Instant) -> bool {
    match side.incoming.front() {
        Some((at, _)) if *at <= now => {}
        _ => return false,
    }
    match side.incoming.pop_front() {
        Some((_, Item::Bytes(mut bytes))) => {
            side.in_flight -= bytes.len();
            side.poll(now, &mut bytes);
        }
        Some((_, Item::Eof)) => {
            side.conn.eof(now);
            side.poll(now, &mut []);
        }
        None => {}
    }
    true
}
