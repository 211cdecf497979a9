//! Compressed sends that are dropped half-way, through `ws-tokio`.

use std::pin::pin;
use std::task::Poll;

use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use ws_proto::connection::{Connection, Event, Prepared};
use ws_proto::deflate::Deflate;
use ws_proto::{Config, Input, Instant, IntoMessage, Role};
use ws_tests::deflate::{connection, eager};
use ws_tests::entropy::Random;
use ws_tokio::{Error, WebSocket};

/// The other end: reads from the pipe, and decodes.
struct Peer {
    conn: Connection,
    pipe: DuplexStream,
    heard: Vec<String>,
}

impl Peer {
    /// Reads at most `n` bytes, if there are some.
    async fn read(&mut self, n: usize) -> usize {
        let mut bytes = vec![0; n];
        let read = once(self.pipe.read(&mut bytes)).await;
        let n = read.map_or(0, |read| read.expect("the pipe holds"));
        let mut input = Input::new(&mut bytes[..n]);
        while let Some(event) = self.conn.poll(Instant::from_secs(1), &mut input) {
            match event {
                Event::Text(text) => self.heard.push(text.as_str().to_owned()),
                other => panic!("{other:?}"),
            }
        }
        n
    }
}

/// Polls a future once.
async fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

/// Polls a future so often, with the peer reading a little in between, and then drops it.
async fn some(polls: usize, peer: &mut Peer, future: impl Future<Output = Result<(), Error>>) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Some(result) = once(future.as_mut()).await {
            result.expect("the connection holds");
            return true;
        }
        peer.read(7).await;
    }
    false
}

fn text(i: usize, random: &mut Random) -> String {
    format!("{i} {}", "the same in every message, and more ".repeat(random.below(12)))
}

fn ends(settings: Deflate, offer: &str) -> (WebSocket<DuplexStream>, Peer) {
    let mut config = Config::default();
    config.limits.outgoing = 60;
    let (ours, pipe) = duplex(16);
    let conn = connection(Role::Server, settings, offer, config);
    let peer = connection(Role::Client, settings, offer, Config::default());
    (WebSocket::from_connection(conn, ours), Peer { conn: peer, pipe, heard: Vec::new() })
}

/// What was said to be sent arrived, all that arrived was sent, in order, and each once.
fn check(said: &[(String, bool)], heard: &[String]) {
    let mut heard = heard.iter().peekable();
    for (message, sent) in said {
        if heard.next_if(|one| *one == message).is_none() {
            assert!(!sent, "lost: {message}");
        }
    }
    assert_eq!(heard.next(), None);
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

fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    // Everything here is done in one poll, more of it than tokio thinks a task should do.
    runtime.block_on(tokio::task::unconstrained(future));
}

#[test]
fn threat_047_a_compressed_send_that_is_dropped_goes_out_whole_or_not_at_all() {
    with_all(|settings, offer, polls| {
        run(async {
            let mut random = Random::new(polls as u64);
            let (mut socket, mut peer) = ends(settings, offer);
            let mut said = Vec::new();
            for i in 0..30 {
                let message = text(i, &mut random);
                let sent = match i % 5 {
                    0 | 1 => some(polls, &mut peer, socket.send(&message)).await,
                    2 => some(polls, &mut peer, socket.feed(&message)).await,
                    3 => some(polls, &mut peer, socket.send_prepared(&Prepared::new(&message))).await,
                    _ => some(polls, &mut peer, socket.send((&message).compress(false))).await,
                };
                said.push((message, sent));
            }
            let last = text(99, &mut random);
            assert!(some(10_000, &mut peer, socket.send(&last)).await);
            assert!(some(10_000, &mut peer, socket.flush()).await);
            said.push((last, true));
            while peer.read(100).await > 0 {}
            check(&said, &peer.heard);
        });
    });
}

#[test]
fn threat_047_so_do_the_sends_of_a_split_sender() {
    with_all(|settings, offer, polls| {
        run(async {
            let mut random = Random::new(polls as u64);
            let (socket, mut peer) = ends(settings, offer);
            let (_receiver, sender) = socket.split();
            let other = sender.clone();
            let mut said = Vec::new();
            for i in 0..30 {
                let message = text(i, &mut random);
                let from = if i % 2 == 0 { &sender } else { &other };
                let sent = match i % 3 {
                    0 => some(polls, &mut peer, from.send(&message)).await,
                    1 => some(polls, &mut peer, from.feed(&message)).await,
                    _ => some(polls, &mut peer, from.send_prepared(&Prepared::new(&message))).await,
                };
                said.push((message, sent));
            }
            let last = text(99, &mut random);
            assert!(some(10_000, &mut peer, sender.send(&last)).await);
            assert!(some(10_000, &mut peer, sender.flush()).await);
            said.push((last, true));
            while peer.read(100).await > 0 {}
            check(&said, &peer.heard);
        });
    });
}
