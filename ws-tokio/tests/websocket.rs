//! An open connection over in-memory pipes.

mod common;

use common::{client, frame, pair, patiently, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use ws_tokio::{Cause, CloseCode, Config, Delivery, Error, Event, Kind, Message, Role, SendError, WebSocket};

#[tokio::test]
async fn messages_pass_both_ways_through_pipes_of_any_size() {
    patiently(async {
        for size in [1, 2, 3, 7, 64, 1000, 100_000] {
            let (client, mut server) = pair(size);
            let scale = size.min(100);
            let big = "é".repeat(400 * scale);
            let sent = [
                Message::from("Hello"),
                Message::from(""),
                Message::from(vec![0_u8, 255, 1]),
                Message::from(vec![7_u8; 700 * scale]),
                Message::from(big.as_str()),
            ];
            let expected = sent.clone();
            let echo = tokio::spawn(async move {
                while let Some(message) = server.recv().await {
                    server.send(message).await.unwrap();
                }
                server.closed().cloned().unwrap()
            });
            let (mut receiver, sender) = client.split();
            let sending = tokio::spawn(async move {
                for message in sent {
                    sender.send(message).await.unwrap();
                }
                sender
            });
            for message in expected {
                assert_eq!(receiver.recv().await.unwrap(), message);
            }
            let sender = sending.await.unwrap();
            sender.close(CloseCode::NORMAL, "done").await.unwrap();
            assert_eq!(receiver.recv().await, None);
            let closed = receiver.closed().unwrap();
            assert!(closed.is_clean());
            assert_eq!(closed.code(), CloseCode::NORMAL);
            let closed = echo.await.unwrap();
            assert!(closed.is_clean());
            assert_eq!(closed.reason(), "done");
            assert!(sender.is_closed());
            assert_eq!(sender.send("late").await, Err(Error::Closed));
        }
    })
    .await;
}

#[tokio::test]
async fn close_tells_how_it_ended_on_both_sides() {
    patiently(async {
        let (mut client, mut server) = pair(100);
        let (ours, theirs) = tokio::join!(client.close(4000, "bye"), async {
            assert_eq!(server.recv().await, None);
            server.closed().cloned().unwrap()
        });
        let ours = ours.unwrap();
        assert!(ours.is_clean() && theirs.is_clean());
        assert_eq!(ours.code(), CloseCode::from(4000));
        assert_eq!((theirs.code(), theirs.reason()), (CloseCode::from(4000), "bye"));
        assert!(client.get_ref().is_none() && server.get_ref().is_none());
        // Once more is harmless.
        assert_eq!(client.close(1000, "").await.unwrap(), ours);
        assert_eq!(client.recv().await, None);
        assert_eq!(client.send("late").await, Err(Error::Closed));
        assert_eq!(client.flush().await, Err(Error::Closed));
    })
    .await;
}

#[tokio::test]
async fn both_close_at_once() {
    patiently(async {
        let (mut client, mut server) = pair(100);
        let (a, b) = tokio::join!(client.close(4001, "a"), server.close(4002, "b"));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a.is_clean() && b.is_clean());
        assert_eq!((a.code(), b.code()), (CloseCode::from(4002), CloseCode::from(4001)));
    })
    .await;
}

#[tokio::test]
async fn an_impossible_close_is_refused_and_nothing_happens() {
    let (mut client, _server) = pair(100);
    assert!(client.close(1005, "").await.is_err());
    assert!(client.close(1000, &"x".repeat(124)).await.is_err());
    assert!(client.closed().is_none());
    assert!(client.get_ref().is_some());
}

#[tokio::test]
async fn pings_are_answered_and_timed() {
    patiently(async {
        let (mut client, mut server) = pair(100);
        client.ping(b"are you there").await.unwrap();
        assert_eq!(client.ping(&[0; 126]).await, Err(Error::ControlTooLong(126)));
        let server = tokio::spawn(async move {
            let Some(Event::Ping(ping)) = server.recv_event().await else { panic!("no ping") };
            assert_eq!(&ping[..], b"are you there");
            server.recv().await
        });
        let Some(Event::Pong(pong)) = client.recv_event().await else { panic!("no pong") };
        assert_eq!(&pong.payload[..], b"are you there");
        assert!(pong.round_trip.is_some());
        assert!(client.stats().round_trip.is_some());
        client.pong(b"nobody asked").await.unwrap();
        client.send("end").await.unwrap();
        assert_eq!(server.await.unwrap(), Some("end".into()));
        assert_eq!(client.stats().sent.pings, 1);
        assert_eq!(client.stats().received.pongs, 1);
    })
    .await;
}

#[tokio::test]
async fn owed_answers_go_out_although_nothing_is_sent() {
    patiently(async {
        let (mut peer, transport) = duplex(1000);
        let mut server = server(transport);
        peer.write_all(&frame(0x89, b"hi")).await.unwrap();
        let server = tokio::spawn(async move {
            let message = server.recv().await;
            (message, server.closed().cloned())
        });
        let mut pong = [0; 4];
        peer.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"\x8a\x02hi");
        // A broken rule: the Close goes out, too.
        peer.write_all(&[0x83, 0x80]).await.unwrap();
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).await.unwrap();
        assert_eq!(&rest[..4], [0x88, rest.len() as u8 - 2, 0x03, 0xea]);
        drop(peer);
        let (message, closed) = server.await.unwrap();
        assert_eq!(message, None);
        assert!(matches!(closed.unwrap().cause, Cause::Protocol(_)));
    })
    .await;
}

#[tokio::test]
async fn lent_events_need_no_copy() {
    patiently(async {
        let (mut client, mut server) = pair(10_000);
        for text in ["one", "two", "three"] {
            client.feed(text).await.unwrap();
        }
        client.flush().await.unwrap();
        let mut seen = Vec::new();
        let last = server
            .recv_with(|event| {
                let Event::Text(text) = event else { panic!("not text") };
                assert!(text.is_lent());
                seen.push(text.as_str().to_owned());
                (text == "three").then(|| text.as_bytes().len())
            })
            .await;
        assert_eq!(last, Some(5));
        assert_eq!(seen, ["one", "two", "three"]);
    })
    .await;
}

#[tokio::test]
async fn chunks_and_pieces() {
    patiently(async {
        let (mut client, mut server) = pair(10);
        server.set_delivery(Delivery::Chunks);
        let server = tokio::spawn(async move {
            let mut whole = Vec::new();
            while let Some(event) = server.recv_event().await {
                if let Event::Chunk(chunk) = event {
                    assert_eq!(chunk.first, whole.is_empty());
                    whole.extend_from_slice(&chunk.data);
                    if chunk.last {
                        break;
                    }
                }
            }
            whole
        });
        client.start_message(Kind::Text).unwrap().write(b"pieces ").unwrap();
        assert_eq!(client.send("between").await, Err(Error::MessageOpen));
        client.ping(b"but this may").await.unwrap();
        client.resume_message().unwrap().write("of text, é".as_bytes()).unwrap();
        client.resume_message().unwrap().finish(b"").unwrap();
        client.flush().await.unwrap();
        assert_eq!(server.await.unwrap(), "pieces of text, é".as_bytes());
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_hands_the_message_back_or_waits() {
    patiently(async {
        let mut config = Config::default();
        config.limits.outgoing = 1000;
        let (peer, transport) = duplex(64);
        let mut client = WebSocket::from_upgraded(transport, Role::Client, common::modern(), config);
        let mut server = server(peer);
        client.try_send(vec![1_u8; 2000]).unwrap();
        let Err(SendError::Full(message)) = client.try_send("two") else { panic!("not full") };
        assert_eq!(message, "two");
        let receive = tokio::spawn(async move { (server.recv().await, server.recv().await) });
        client.send(message).await.unwrap();
        let (one, two) = receive.await.unwrap();
        assert_eq!(one.unwrap().len(), 2000);
        assert_eq!(two.unwrap(), Message::from("two"));
    })
    .await;
}

#[tokio::test]
async fn abort_ends_at_once() {
    patiently(async {
        let (mut client, mut server) = pair(100);
        client.abort();
        assert_eq!(client.closed().unwrap().cause, Cause::Aborted);
        assert_eq!(client.recv().await, None);
        assert_eq!(client.send("x").await, Err(Error::Closed));
        assert_eq!(server.recv().await, None);
        assert_eq!(server.closed().unwrap().cause, Cause::Eof);
        assert_eq!(server.closed().unwrap().code(), CloseCode::ABNORMAL);
    })
    .await;
}

#[tokio::test]
async fn messages_before_the_end_of_the_stream_are_delivered() {
    patiently(async {
        let (mut peer, transport) = duplex(1000);
        let mut server = server(transport);
        peer.write_all(&[frame(0x81, b"one"), frame(0x01, b"part")].concat()).await.unwrap();
        drop(peer);
        assert_eq!(server.recv().await, Some("one".into()));
        assert_eq!(server.recv().await, None);
        assert_eq!(server.closed().unwrap().cause, Cause::Eof);
        assert!(server.io_error().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_prepared_message_is_sent_on_many_connections() {
    patiently(async {
        let prepared = ws_tokio::Prepared::new("to all");
        for _ in 0..3 {
            let (a, b) = duplex(100);
            let (mut client, mut server) = (client(a), server(b));
            server.send_prepared(&prepared).await.unwrap();
            client.send_prepared(&prepared).await.unwrap();
            assert_eq!(client.recv().await, Some("to all".into()));
            assert_eq!(server.recv().await, Some("to all".into()));
        }
    })
    .await;
}
