//! Deadlines, on a clock that jumps.

mod common;

use std::time::Duration;

use common::io::{Scripted, Step};
use common::{client, frame, modern, pair, patiently, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use ws_tokio::{Cause, CloseCode, Closed, Config, Event, Message, Role, WebSocket};

/// Seconds until a server that closes is done, and how it ended. `peer` gets the other end of the pipe.
async fn closing<F: Future<Output = ()> + Send + 'static>(peer: impl FnOnce(DuplexStream) -> F) -> (u64, Closed) {
    let (a, b) = duplex(1000);
    let peer = tokio::spawn(peer(a));
    let mut ws = server(b);
    let start = Instant::now();
    let closed = ws.close(1000, "").await.unwrap();
    peer.abort();
    (start.elapsed().as_secs(), closed)
}

#[tokio::test(start_paused = true)]
async fn threat_097_closing_ends_by_its_deadline_whatever_the_peer_does() {
    // Never answers.
    let (time, closed) = closing(|peer| async move {
        let _peer = peer;
        std::future::pending().await
    })
    .await;
    assert_eq!((time, closed.cause), (5, Cause::CloseTimeout));
    // Sends messages for ever instead.
    let (time, closed) = closing(|mut peer| async move {
        while peer.write_all(&frame(0x81, b"more")).await.is_ok() {
            sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
    assert_eq!((time, closed.cause), (5, Cause::CloseTimeout));
    // Sends without ever taking a breath.
    let (time, closed) = closing(|peer| async move {
        let (mut reader, mut writer) = tokio::io::split(peer);
        tokio::spawn(async move { while reader.read_u8().await.is_ok() {} });
        let mut sent = 0;
        while writer.write_all(&frame(0x82, &[0; 100])).await.is_ok() {
            sent += 1;
            if sent % 1000 == 0 {
                sleep(Duration::from_millis(100)).await;
            }
        }
    })
    .await;
    assert_eq!((time, closed.cause), (5, Cause::CloseTimeout));
    // A byte of its Close each two seconds.
    let (time, closed) = closing(|mut peer| async move {
        for byte in frame(0x88, b"\x03\xe8") {
            sleep(Duration::from_secs(2)).await;
            let _ = peer.write_all(&[byte]).await;
        }
        std::future::pending().await
    })
    .await;
    assert_eq!((time, closed.cause), (5, Cause::CloseTimeout));
    // Answers, and keeps the stream open: the server closes first.
    let (time, closed) = closing(|mut peer| async move {
        let _ = peer.write_all(&frame(0x88, b"\x03\xe8")).await;
        std::future::pending().await
    })
    .await;
    assert_eq!((time, closed.is_clean()), (0, true));
}

#[tokio::test(start_paused = true)]
async fn threat_097_a_client_waits_for_the_server_to_close_the_stream_but_not_for_ever() {
    let (mut peer, b) = duplex(1000);
    let mut ws = client(b);
    let start = Instant::now();
    let answering = tokio::spawn(async move {
        peer.write_all(b"\x88\x02\x03\xe8").await.unwrap();
        std::future::pending::<()>().await;
    });
    let closed = ws.close(1000, "").await.unwrap();
    assert!(closed.is_clean());
    assert_eq!(start.elapsed().as_secs(), 5);
    answering.abort();
}

#[tokio::test(start_paused = true)]
async fn threat_098_a_silent_wire_is_found_dead() {
    let (mut peer, transport) = duplex(1000);
    let mut ws = server(transport);
    let start = Instant::now();
    let waiting = tokio::spawn(async move {
        assert_eq!(ws.recv().await, None);
        (start.elapsed().as_secs(), ws.closed().unwrap().cause)
    });
    let mut ping = [0; 2];
    peer.read_exact(&mut ping).await.unwrap();
    assert_eq!((ping[0], start.elapsed().as_secs()), (0x89, 20));
    assert_eq!(waiting.await.unwrap(), (40, Cause::PongTimeout));
}

#[tokio::test(start_paused = true)]
async fn keepalive_keeps_a_quiet_connection() {
    let (mut client, mut server) = pair(1000);
    let waiting = tokio::spawn(async move {
        let message = client.recv().await;
        (message, client.stats())
    });
    let sleeping = sleep(Duration::from_secs(1000));
    tokio::select! {
        () = sleeping => {}
        message = server.recv() => panic!("{message:?}"),
    }
    server.send("at last").await.unwrap();
    let (message, stats) = waiting.await.unwrap();
    assert_eq!(message, Some("at last".into()));
    assert!(stats.received.pings + stats.sent.pings >= 40, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn an_absence_of_the_program_is_not_the_silence_of_the_peer() {
    let (mut peer, transport) = duplex(1000);
    let mut ws = server(transport);
    // A ping of ours is out...
    tokio::select! {
        _ = ws.recv() => panic!(),
        () = sleep(Duration::from_secs(25)) => {}
    }
    // ...and answered while nobody is looking for minutes.
    peer.write_all(&[frame(0x8a, b""), frame(0x81, b"here")].concat()).await.unwrap();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(ws.recv().await, Some("here".into()));
    tokio::select! {
        message = ws.recv() => panic!("{message:?} {:?}", ws.closed()),
        () = sleep(Duration::from_secs(10)) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn idle_lifetime_and_slowness() {
    for what in ["idle", "lifetime", "slow"] {
        let mut config = Config::default();
        match what {
            "idle" => config.timers.idle = Some(Duration::from_secs(60)),
            "lifetime" => config.timers.lifetime = Some(Duration::from_secs(100)),
            _ => {}
        }
        let (a, b) = duplex(1000);
        let mut ws = WebSocket::from_upgraded(a, Role::Server, modern(), config);
        let start = Instant::now();
        let peer = tokio::spawn(async move {
            let mut client = client(b);
            match what {
                "idle" => {
                    sleep(Duration::from_secs(30)).await;
                    client.send("x").await.unwrap();
                    while client.recv().await.is_some() {}
                    assert_eq!(start.elapsed().as_secs(), 90);
                }
                "lifetime" => {
                    while client.recv().await.is_some() {}
                    assert_eq!(start.elapsed().as_secs(), 100);
                }
                _ => {
                    client.start_message(ws_tokio::Kind::Binary).unwrap().write(&[0; 100]).unwrap();
                    while client.recv().await.is_some() {}
                    assert_eq!(start.elapsed().as_secs(), 10);
                }
            }
            client.closed().cloned().unwrap()
        });
        while ws.recv().await.is_some() {}
        let closed = peer.await.unwrap();
        let (cause, code) = match what {
            "idle" => (Cause::IdleTimeout, CloseCode::GOING_AWAY),
            "lifetime" => (Cause::Lifetime, CloseCode::GOING_AWAY),
            _ => (Cause::TooSlow, CloseCode::POLICY),
        };
        assert_eq!((ws.closed().unwrap().cause, closed.code()), (cause, code));
    }
}

#[tokio::test(start_paused = true)]
async fn threat_101_a_peer_that_takes_nothing_ends_by_the_write_stall() {
    for split in [false, true] {
        let mut config = Config::default();
        config.timers.keepalive = None;
        let (_peer, transport) = duplex(100);
        let mut ws = WebSocket::from_upgraded(transport, Role::Server, modern(), config);
        let start = Instant::now();
        let cause = if split {
            let (mut receiver, sender) = ws.split();
            let sending = tokio::spawn({
                let sender = sender.clone();
                async move { sender.send(vec![0; 10_000]).await }
            });
            assert_eq!(receiver.recv().await, None);
            assert_eq!(sending.await.unwrap(), Err(ws_tokio::Error::Closed));
            assert_eq!(sender.buffered(), 0);
            receiver.closed().unwrap().cause
        } else {
            ws.feed(vec![0; 10_000]).await.unwrap();
            assert_eq!(ws.recv().await, None);
            ws.closed().unwrap().cause
        };
        assert_eq!((start.elapsed().as_secs(), cause), (30, Cause::WriteStalled));
    }
}

#[tokio::test(start_paused = true)]
async fn threat_101_slow_progress_is_no_stall() {
    let (mut peer, transport) = duplex(100);
    let ws = server(transport);
    let (mut receiver, sender) = ws.split();
    let receiving = tokio::spawn(async move {
        let got = receiver.recv().await;
        assert_eq!(got, None);
    });
    let sending = tokio::spawn(async move { sender.send(vec![0; 1000]).await });
    let mut some = [0; 100];
    for _ in 0..10 {
        // Reading, and alive, but slow: 20 s for each hundred bytes.
        sleep(Duration::from_secs(19)).await;
        peer.write_all(&frame(0x8a, b"")).await.unwrap();
        let _ = peer.read_exact(&mut some).await.unwrap();
    }
    sending.await.unwrap().unwrap();
    drop(peer);
    receiving.await.unwrap();
}

#[tokio::test]
async fn threat_102_the_end_of_the_stream_at_every_byte() {
    patiently(async {
        let bytes = [
            frame(0x81, b"one"),
            frame(0x01, b"tw"),
            frame(0x89, b"?"),
            frame(0x80, b"o"),
            frame(0x82, &[3; 200]),
            frame(0x88, b"\x03\xe8"),
        ];
        let ends: Vec<_> = [0, 3, 4].iter().map(|n| bytes[..=*n].concat().len()).collect();
        let bytes = bytes.concat();
        for cut in 0..=bytes.len() {
            for reset in [false, true] {
                let last = if reset { Step::Fail(std::io::ErrorKind::ConnectionReset) } else { Step::Move(0) };
                let reads = if cut == 0 { vec![last] } else { vec![Step::Move(cut), last] };
                let mut ws = server(Scripted::new(&bytes[..cut]).reads(reads));
                let mut got = 0;
                while ws.recv().await.is_some() {
                    got += 1;
                }
                assert_eq!(got, ends.iter().filter(|end| cut >= **end).count(), "cut at {cut}");
                let closed = ws.closed().unwrap();
                if cut == bytes.len() {
                    assert!(closed.is_clean(), "{closed:?}");
                } else {
                    let cause = if reset { Cause::Transport } else { Cause::Eof };
                    assert_eq!((closed.cause, closed.code()), (cause, CloseCode::ABNORMAL), "cut at {cut}");
                    assert_eq!(ws.io_error().is_some(), reset);
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn threat_102_a_reset_of_a_real_socket() {
    patiently(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let mut ws = server(accepted.unwrap().0);
        let mut peer = peer.unwrap();
        ws.send("never read by the peer").await.unwrap();
        peer.write_all(&frame(0x81, b"before")).await.unwrap();
        // Data that was not read turns the close of the peer into a reset.
        peer.readable().await.unwrap();
        drop(peer);
        assert_eq!(ws.recv().await, Some(Message::from("before")));
        assert_eq!(ws.recv().await, None);
        assert_eq!(ws.closed().unwrap().cause, Cause::Transport);
        assert_eq!(ws.io_error().unwrap().kind(), std::io::ErrorKind::ConnectionReset);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_105_a_peer_in_mid_upload_reads_the_close() {
    patiently(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut ws = server(tcp);
                    while ws.recv().await.is_some() {}
                    ws.closed().cloned()
                });
            }
        });
        // Opcode 3 does not exist; the upload goes on behind it.
        let upload = [frame(0x83, b""), vec![0x55; 512 * 1024]].concat();
        for n in 0..1_000 {
            let mut peer = TcpStream::connect(address).await.unwrap();
            peer.write_all(&upload).await.unwrap();
            let mut got = Vec::new();
            peer.read_to_end(&mut got).await.unwrap();
            assert_eq!(got[..1], [0x88], "{n}");
            assert_eq!(got[2..4], 1002_u16.to_be_bytes(), "{n}");
        }
        server.abort();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn threat_031_a_slow_handler_stops_the_reading() {
    let (mut peer, transport) = duplex(10_000);
    let mut ws = server(transport);
    let message = frame(0x82, &[1; 1000]);
    let pouring = tokio::spawn(async move {
        let mut taken = 0;
        let mut before = None;
        for _ in 0..5000 {
            if tokio::time::timeout(Duration::from_secs(5), peer.write_all(&message)).await.is_err() {
                // Blocked: what was taken until now lies in the pipe and in one read buffer.
                before.get_or_insert(taken);
                break;
            }
            taken += message.len();
        }
        (before, peer)
    });
    assert!(ws.recv().await.is_some());
    sleep(Duration::from_secs(60)).await;
    let (before, peer) = pouring.await.unwrap();
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

#[tokio::test(start_paused = true)]
async fn round_trip_times_are_those_of_the_clock() {
    let (mut peer, transport) = duplex(1000);
    let mut ws = server(transport);
    ws.ping(b"now").await.unwrap();
    let mut ping = [0; 5];
    peer.read_exact(&mut ping).await.unwrap();
    sleep(Duration::from_millis(250)).await;
    peer.write_all(&frame(0x8a, b"now")).await.unwrap();
    let Some(Event::Pong(pong)) = ws.recv_event().await else { panic!("no pong") };
    assert_eq!(pong.round_trip.unwrap().as_millis(), 250);
    assert_eq!(ws.stats().round_trip.unwrap().last.as_millis(), 250);
}
