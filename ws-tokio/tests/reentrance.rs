//! Code of the user that runs inside ours, and uses us in turn.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{client, modern, patiently, server};
use tokio::io::duplex;
use ws_proto::{Connection, Entropy, EntropyError};
use ws_tokio::{Config, Message, Role, Sender, WebSocket};

/// The lock file's version of a package.
fn locked(name: &str) -> Vec<(u64, u64, u64)> {
    let lock = include_str!("../../Cargo.lock");
    let header = format!("name = \"{name}\"");
    let packages = lock.split("[[package]]").filter(|package| package.lines().any(|line| line == header));
    packages
        .map(|package| {
            let version = package.lines().find_map(|line| line.strip_prefix("version = \"")).unwrap();
            let mut numbers = version.trim_end_matches('"').split(['.', '-', '+']).map(|n| n.parse().unwrap());
            let mut next = || numbers.next().unwrap();
            (next(), next(), next())
        })
        .collect()
}

#[test]
fn threat_122_the_locked_bytes_reserves_soundly() {
    // RUSTSEC-2026-0007 is fixed in 1.11.1.
    let versions = locked("bytes");
    assert!(!versions.is_empty());
    assert!(versions.iter().all(|version| *version >= (1, 11, 1)), "{versions:?}");
}

/// Sends on another connection whenever it is asked for bytes.
struct Talkative {
    other: Sender<tokio::io::DuplexStream>,
    asked: Arc<AtomicUsize>,
}

impl Entropy for Talkative {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        let n = self.asked.fetch_add(1, Ordering::Relaxed);
        self.other.try_send(format!("asked {n}")).map_err(|_| EntropyError)?;
        out.fill(n as u8);
        Ok(())
    }
}

#[tokio::test]
async fn threat_122_entropy_may_use_another_connection() {
    patiently(async {
        // The other one is a client too, so that it needs bytes itself, within the request for bytes.
        let (near, far) = duplex(100_000);
        let (mut other_receiver, other) = client(near).split();
        let mut other_peer = server(far);
        let other_end = tokio::spawn(async move { while other_receiver.recv().await.is_some() {} });

        let asked = Arc::new(AtomicUsize::new(0));
        let entropy = Talkative { other: other.clone(), asked: asked.clone() };
        let (near, far) = duplex(100_000);
        let connection = Connection::from_upgraded(Role::Client, modern(), Config::default(), Box::new(entropy));
        let (mut receiver, sender) = WebSocket::from_connection(connection, near).split();
        let mut peer = server(far);
        for n in 0..1_000 {
            sender.send(format!("{n}")).await.unwrap();
            assert_eq!(peer.recv().await, Some(Message::from(format!("{n}"))));
        }
        // 4 bytes for each message, and at most 256 at a time.
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked >= 1_000 * 4 / 256, "{asked}");
        other.flush().await.unwrap();
        for n in 0..asked {
            assert_eq!(other_peer.recv().await, Some(Message::from(format!("asked {n}"))));
        }
        drop((sender, peer, other_peer));
        while receiver.recv().await.is_some() {}
        drop(receiver);
        other_end.await.unwrap();
    })
    .await;
}
