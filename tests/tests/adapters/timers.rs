//! Deadlines, on a clock that jumps.

use std::io::ErrorKind;
use std::time::Duration;

use ws_proto::connection::Event;
use ws_proto::{Cause, Closed, Config, Kind, Role, Timers};

use crate::sim::{World, yield_now};
use crate::wire::{End, Io, Scripted, Step, frame, pipe};

crate::in_all_worlds!(
    threat_097_closing_ends_by_its_deadline_whatever_the_peer_does,
    threat_097_a_client_waits_for_the_server_to_close_the_stream_but_not_for_ever,
    threat_098_a_silent_wire_is_found_dead,
    keepalive_keeps_a_quiet_connection,
    an_absence_of_the_program_is_not_the_silence_of_the_peer,
    idle_lifetime_and_slowness,
    threat_101_a_peer_that_takes_nothing_ends_by_the_write_stall,
    threat_101_slow_progress_is_no_stall,
    threat_031_a_slow_handler_stops_the_reading,
    round_trip_times_are_those_of_the_clock,
    threat_113_a_failed_write_ends_the_connection_though_the_peer_is_silent,
    threat_054_the_handshake_has_a_deadline,
);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Seconds until a server that closes is done, and how it ended. `peer` gets the other end of the pipe.
async fn closing<W: World, F: Future<Output = ()> + 'static>(peer: impl FnOnce(End) -> F) -> (u64, Closed) {
    let (a, b) = pipe(1000);
    let _peer = W::spawn(peer(a));
    let mut ws = W::server(b);
    let start = W::now();
    let closed = ws.close(1000, "").await.unwrap();
    ((W::now() - start).as_secs(), closed)
}

async fn threat_097_closing_ends_by_its_deadline_whatever_the_peer_does<W: World>() {
    // Never answers.
    let (time, closed) = closing::<W, _>(|peer| async move {
        let _peer = peer;
        std::future::pending().await
    })
    .await;
    assert_eq!((time, closed.cause), (5, Cause::CloseTimeout));
    // Sends messages for ever instead.
    let (time, closed) = closing::<W, _>(|mut peer| async move {
        while peer.write_all(&frame(0x81, b"more")).await.is_ok() {
            W::sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
    assert_eq!((time, closed.cause), (5, Cause::CloseTimeout));
    // Sends without ever taking a breath.
    let (time, closed) = closing::<W, _>(|mut peer| async move {
        let mut sent = 0;
        while peer.write_all(&frame(0x82, &[0; 100])).await.is_ok() {
            let _ = peer.try_read(1000);
            sent += 1;
            if sent % 100 == 0 {
                W::sleep(Duration::from_millis(100)).await;
            }
        }
    })
    .await;
    assert_eq!((time, closed.cause), (5, Cause::CloseTimeout));
    // A byte of its Close each two seconds.
    let (time, closed) = closing::<W, _>(|mut peer| async move {
        for byte in frame(0x88, b"\x03\xe8") {
            W::sleep(secs(2)).await;
            let _ = peer.write_all(&[byte]).await;
        }
        std::future::pending().await
    })
    .await;
    assert_eq!((time, closed.cause), (5, Cause::CloseTimeout));
    // Answers, and keeps the stream open: the server closes first.
    let (time, closed) = closing::<W, _>(|mut peer| async move {
        let _ = peer.write_all(&frame(0x88, b"\x03\xe8")).await;
        std::future::pending().await
    })
    .await;
    assert_eq!((time, closed.is_clean()), (0, true));
}

async fn threat_097_a_client_waits_for_the_server_to_close_the_stream_but_not_for_ever<W: World>() {
    let (mut peer, b) = pipe(1000);
    let mut ws = W::client(b);
    let start = W::now();
    let _answering = W::spawn(async move {
        peer.write_all(b"\x88\x02\x03\xe8").await.unwrap();
        std::future::pending::<()>().await;
    });
    let closed = ws.close(1000, "").await.unwrap();
    assert!(closed.is_clean());
    assert_eq!((W::now() - start).as_secs(), 5);
}

async fn threat_098_a_silent_wire_is_found_dead<W: World>() {
    for split in [false, true] {
        let (mut peer, transport) = pipe(1000);
        let mut ws = W::server(transport);
        let start = W::now();
        let waiting = W::spawn(async move {
            if split {
                let (mut receiver, _sender) = ws.split();
                assert_eq!(receiver.recv().await, None);
                return ((W::now() - start).as_secs(), receiver.closed().unwrap().cause);
            }
            assert_eq!(ws.recv().await, None);
            ((W::now() - start).as_secs(), ws.closed().unwrap().cause)
        });
        let ping = peer.read_exact(2).await;
        assert_eq!((ping[0], (W::now() - start).as_secs()), (0x89, 20));
        assert_eq!(waiting.await, (40, Cause::PongTimeout));
    }
}

async fn keepalive_keeps_a_quiet_connection<W: World>() {
    let (mut client, mut server) = W::pair(1000);
    let waiting = W::spawn(async move {
        let message = client.recv().await;
        (message, client.stats())
    });
    let message = W::within(secs(1000), server.recv()).await;
    assert_eq!(message, None);
    server.send("at last").await.unwrap();
    let (message, stats) = waiting.await;
    assert_eq!(message, Some("at last".into()));
    assert!(stats.received.pings + stats.sent.pings >= 40, "{stats:?}");
}

async fn an_absence_of_the_program_is_not_the_silence_of_the_peer<W: World>() {
    let (mut peer, transport) = pipe(1000);
    let mut ws = W::server(transport);
    // A ping of ours is out...
    assert_eq!(W::within(secs(25), ws.recv()).await, None);
    // ...and answered while nobody is looking for minutes.
    peer.write_all(&[frame(0x8a, b""), frame(0x81, b"here")].concat()).await.unwrap();
    W::sleep(secs(300)).await;
    assert_eq!(ws.recv().await, Some("here".into()));
    let more = W::within(secs(10), ws.recv()).await;
    assert_eq!(more, None, "{:?}", ws.closed());
}

async fn idle_lifetime_and_slowness<W: World>() {
    for what in ["idle", "lifetime", "slow"] {
        let mut config = Config::default();
        match what {
            "idle" => config.timers.idle = Some(secs(60)),
            "lifetime" => config.timers.lifetime = Some(secs(100)),
            _ => {}
        }
        let (a, b) = pipe(1000);
        let mut ws = W::open(Role::Server, a, config);
        let start = W::now();
        let peer = W::spawn(async move {
            let mut client = W::client(b);
            let took = match what {
                "idle" => {
                    W::sleep(secs(30)).await;
                    client.send("x").await.unwrap();
                    90
                }
                "lifetime" => 100,
                _ => {
                    client.start_message(Kind::Binary).unwrap().write(&[0; 100]).unwrap();
                    10
                }
            };
            while client.recv().await.is_some() {}
            assert_eq!((W::now() - start).as_secs(), took);
            client.closed().cloned().unwrap()
        });
        while ws.recv().await.is_some() {}
        let closed = peer.await;
        let (cause, code) = match what {
            "idle" => (Cause::IdleTimeout, ws_proto::CloseCode::GOING_AWAY),
            "lifetime" => (Cause::Lifetime, ws_proto::CloseCode::GOING_AWAY),
            _ => (Cause::TooSlow, ws_proto::CloseCode::POLICY),
        };
        assert_eq!((ws.closed().unwrap().cause, closed.code()), (cause, code));
    }
}

async fn threat_101_a_peer_that_takes_nothing_ends_by_the_write_stall<W: World>() {
    for split in [false, true] {
        let mut config = Config::default();
        config.timers.keepalive = None;
        let (_peer, transport) = pipe(100);
        let mut ws = W::open(Role::Server, transport, config);
        let start = W::now();
        let cause = if split {
            let (mut receiver, sender) = ws.split();
            let sending = W::spawn({
                let sender = sender.clone();
                async move { sender.send(vec![0; 10_000]).await }
            });
            assert_eq!(receiver.recv().await, None);
            assert_eq!(sending.await, Err(ws_adapter::Error::Closed));
            assert_eq!(sender.buffered(), 0);
            receiver.closed().unwrap().cause
        } else {
            ws.feed(vec![0; 10_000]).await.unwrap();
            assert_eq!(ws.recv().await, None);
            ws.closed().unwrap().cause
        };
        assert_eq!(((W::now() - start).as_secs(), cause), (30, Cause::WriteStalled));
    }
}

async fn threat_101_slow_progress_is_no_stall<W: World>() {
    let (mut peer, transport) = pipe(100);
    let (mut receiver, sender) = W::server(transport).split();
    let receiving = W::spawn(async move {
        let got = receiver.recv().await;
        assert_eq!(got, None);
    });
    let sending = W::spawn(async move { sender.send(vec![0; 1000]).await });
    for _ in 0..10 {
        // Reading, and alive, but slow: 20 s for each hundred bytes.
        W::sleep(secs(19)).await;
        peer.write_all(&frame(0x8a, b"")).await.unwrap();
        peer.read_exact(100).await;
    }
    sending.await.unwrap();
    drop(peer);
    receiving.await;
}

async fn threat_031_a_slow_handler_stops_the_reading<W: World>() {
    let (mut peer, transport) = pipe(10_000);
    let mut ws = W::server(transport);
    let message = frame(0x82, &[1; 1000]);
    let pouring = W::spawn(async move {
        let mut taken = 0;
        for _ in 0..5000 {
            if W::within(secs(5), peer.write_all(&message)).await.is_none() {
                // Blocked: what was taken until now lies in the pipe and in one read buffer.
                return (Some(taken), peer);
            }
            taken += message.len();
        }
        (None, peer)
    });
    assert!(ws.recv().await.is_some());
    W::sleep(secs(60)).await;
    let (before, peer) = pouring.await;
    let before = before.expect("the peer was never made to wait");
    assert!(before <= 10_000 + 64 * 1024 + 2000, "{before}");
    // Everything is delivered afterwards.
    drop(peer);
    let mut got = 1;
    while ws.recv().await.is_some() {
        got += 1;
    }
    assert!(got * 1008 >= before.saturating_sub(1008), "{got}");
}

async fn round_trip_times_are_those_of_the_clock<W: World>() {
    let (mut peer, transport) = pipe(1000);
    let mut ws = W::server(transport);
    ws.ping(b"now").await.unwrap();
    peer.read_exact(5).await;
    W::sleep(Duration::from_millis(250)).await;
    peer.write_all(&frame(0x8a, b"now")).await.unwrap();
    let Some(Event::Pong(pong)) = ws.recv_event().await else { panic!("no pong") };
    assert_eq!(pong.round_trip.unwrap().as_millis(), 250);
    assert_eq!(ws.stats().round_trip.unwrap().last.as_millis(), 250);
}

async fn threat_113_a_failed_write_ends_the_connection_though_the_peer_is_silent<W: World>() {
    let mut config = Config::default();
    config.timers = Timers::off();
    let transport = Scripted::silent().writes([Step::Fail(ErrorKind::BrokenPipe)]);
    let mut ws = W::open(Role::Server, transport, config);
    assert_eq!(ws.send("x").await, Err(ws_adapter::Error::Closed));
    let start = W::now();
    assert_eq!(ws.recv().await, None);
    assert!(W::now() - start <= secs(10));
    assert_eq!(ws.closed().unwrap().cause, Cause::Transport);
    assert_eq!(ws.io_error().unwrap().kind(), ErrorKind::BrokenPipe);
}

/// It is never restarted, whatever dribbles in.
async fn threat_054_the_handshake_has_a_deadline<W: World>() {
    let (mut peer, transport) = pipe(1000);
    let start = W::now();
    let _slow = W::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\n" {
            let _ = peer.write_all(&[*byte]).await;
            W::sleep(secs(1)).await;
        }
        std::future::pending::<()>().await;
    });
    yield_now().await;
    let accepted = ws_adapter::Acceptor::<W::Runtime>::default().accept(Io::from(transport)).await;
    assert!(accepted.is_err());
    // The answer is given some time to arrive, as the peer does not read it.
    let took = (W::now() - start).as_secs();
    assert!((10..=15).contains(&took), "{took}");

    let (_peer, transport) = pipe(1000);
    let start = W::now();
    let connector = ws_adapter::Connector::<W::Runtime>::new("ws://localhost/").unwrap();
    assert!(matches!(connector.connect_over(Io::from(transport)).await, Err(ws_adapter::ConnectError::Timeout)));
    assert_eq!((W::now() - start).as_secs(), 10);
}
