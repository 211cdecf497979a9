//! Masks that nobody can predict (RFC 6455 sections 5.3 and 10.3).

use std::collections::HashSet;

use ws_proto::{Config, Connection, Entropy, EntropyError, Instant, OsEntropy, Role, SendError};
use ws_tests::endpoint::{Driven, Endpoint};
use ws_tests::entropy::counting;
use ws_tests::run::Subject;
use ws_tests::transcript::Call;
use ws_tests::wire::frames;

const NOW: Instant = Instant::from_secs(1);

fn client(entropy: impl Entropy + Send + Sync + 'static) -> Connection {
    Endpoint::new(Role::Client, Config::default(), Box::new(entropy))
}

/// The keys of `n` empty frames.
fn keys(conn: &mut Connection, n: usize) -> Vec<[u8; 4]> {
    let mut all = Vec::with_capacity(n);
    while all.len() < n {
        for _ in 0..1000.min(n - all.len()) {
            conn.send(&[]).unwrap();
        }
        let bytes: Vec<u8> = conn.outgoing().flatten().copied().collect();
        conn.advance(NOW, bytes.len());
        all.extend(frames(&bytes).0.iter().map(|frame| frame.key.unwrap()));
    }
    all
}

#[test]
fn threat_091_every_frame_takes_four_fresh_bytes() {
    let mut conn: Connection = Endpoint::new(Role::Client, Config::default(), counting());
    for (i, key) in keys(&mut conn, 200).iter().enumerate() {
        let at = |j: usize| (4 * i + j + 1) as u8;
        assert_eq!(*key, [at(0), at(1), at(2), at(3)], "frame {i}");
    }
}

#[test]
fn threat_091_keys_of_the_system_repeat_no_more_than_by_chance() {
    let n = if cfg!(miri) { 64 } else { 1 << 20 };
    let keys = keys(&mut client(OsEntropy), n);
    let different = keys.iter().collect::<HashSet<_>>().len();
    // By chance about 128 pairs of 2^20 keys are equal; 400 would be 24 standard deviations away.
    assert!(n - different < 400, "{} repeats", n - different);
    if !cfg!(miri) {
        let ones: u64 = keys.iter().map(|key| u64::from(u32::from_le_bytes(*key).count_ones())).sum();
        let half = 16 * n as u64;
        assert!(ones.abs_diff(half) < half / 100, "{ones} of {} bits are set", 2 * half);
        for bit in 0..32 {
            let ones = keys.iter().filter(|key| u32::from_le_bytes(**key) >> bit & 1 == 1).count();
            assert!(ones.abs_diff(n / 2) < n / 100, "bit {bit}: {ones}");
        }
    }
}

/// Gives some bytes, then fails.
struct RunsDry(usize);

impl Entropy for RunsDry {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.0 = self.0.checked_sub(1).ok_or(EntropyError)?;
        out.fill(0xa5);
        Ok(())
    }
}

#[test]
fn threat_091_a_source_that_fails_is_an_error_and_never_a_constant() {
    let mut conn = client(RunsDry(1));
    let mut sent = 0;
    let error = loop {
        match conn.send("hello") {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, SendError::Entropy(EntropyError));
    let bytes: Vec<u8> = conn.outgoing().flatten().copied().collect();
    assert_eq!(frames(&bytes).0.len(), sent, "nothing of the message was queued");
    assert_eq!(conn.ping(NOW, b"p"), Err(SendError::Entropy(EntropyError)));
    assert_eq!(conn.start_message(ws_proto::Kind::Text).unwrap().write(b"x"), Err(SendError::Entropy(EntropyError)));
    let after: usize = conn.outgoing().map(<[u8]>::len).sum();
    assert_eq!(after, bytes.len());
}

/// A reply that is owed and can't be masked ends the connection, and so does a Close.
#[test]
fn threat_091_what_is_owed_cannot_be_sent_unmasked() {
    for (owed, end_of_it) in [
        (&b"\x89\x01p"[..], "closed Entropy by local"),
        (b"\x88\x00", "closed Entropy by remote"),
        (b"\x83", "closed Protocol"),
    ] {
        let mut end = Driven::<Connection>::new(Role::Client, Config::default(), Box::new(RunsDry(0)));
        end.receive(owed);
        assert_eq!(end.take(100), b"");
        let events = format!("{:?}", end.events());
        assert!(events.contains(end_of_it), "{events}");
    }
    let mut end = Driven::<Connection>::new(Role::Client, Config::default(), Box::new(RunsDry(0)));
    end.call(&Call::Close(None)).unwrap();
    assert_eq!(end.take(100), b"");
    assert!(format!("{:?}", end.events()).contains("closed Entropy by local"));
}

/// Two connections never share keys, however they are made (a child process after a fork has connections of its own:
/// keys are drawn by each connection, and given up with it).
#[test]
fn threat_091_connections_do_not_share_keys() {
    let (mut a, mut b) = (client(OsEntropy), client(OsEntropy));
    let (a, b) = (keys(&mut a, 64), keys(&mut b, 64));
    assert_ne!(a, b);
}
