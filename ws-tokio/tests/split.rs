//! The two halves, `Stream` and `Sink`.

mod common;

use common::{client, pair, patiently, server};
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use tokio::io::duplex;
use ws_tokio::{Cause, CloseCode, Error, Event, Message, SendError};

#[tokio::test]
async fn many_senders_and_no_message_is_lost_or_mixed() {
    patiently(async {
        let (client, mut server) = pair(777);
        let (mut receiver, sender) = client.split();
        let receive = tokio::spawn(async move { while receiver.recv().await.is_some() {} });
        let tasks: Vec<_> = (0..10_u8)
            .map(|task| {
                let sender = sender.clone();
                tokio::spawn(async move {
                    for number in 0..50_u8 {
                        let mut message = vec![task; 1 + 20 * usize::from(number)];
                        message[0] = number;
                        sender.send(message).await.unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0_u8; 10];
        for _ in 0..500 {
            let Some(Message::Binary(message)) = server.recv().await else { panic!("no message") };
            let number = message[0];
            assert_eq!(message.len(), 1 + 20 * usize::from(number));
            let task = if number == 0 { continue } else { message[1] };
            assert!(message[1..].iter().all(|byte| *byte == task));
            next[usize::from(task)] += 1;
            assert_eq!(next[usize::from(task)], number);
        }
        for task in tasks {
            task.await.unwrap();
        }
        let (closed, done) = tokio::join!(server.close(1000, ""), receive);
        assert!(closed.unwrap().is_clean());
        done.unwrap();
        assert!(sender.is_closed());
    })
    .await;
}

#[tokio::test]
async fn a_sender_closes_and_the_receiver_hears_the_end() {
    patiently(async {
        let (client, mut server) = pair(100);
        let (mut receiver, sender) = client.split();
        let receive = tokio::spawn(async move {
            assert_eq!(receiver.recv().await, None);
            receiver.closed().cloned().unwrap()
        });
        let peer = tokio::spawn(async move { while server.recv().await.is_some() {} });
        assert!(sender.close(1006, "").await.is_err());
        sender.send("before").await.unwrap();
        sender.close(4000, "over").await.unwrap();
        assert_eq!(sender.send("after").await, Err(Error::Closed));
        assert_eq!(sender.ping(b"").await, Err(Error::Closed));
        let closed = receive.await.unwrap();
        assert!(closed.is_clean());
        assert_eq!(closed.sent.unwrap().code(), CloseCode::from(4000));
        peer.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_dropped_receiver_ends_the_connection_for_the_senders() {
    patiently(async {
        let (client, mut server) = pair(100);
        let (receiver, sender) = client.split();
        // One sender waits for room that never comes.
        let waiting = tokio::spawn({
            let sender = sender.clone();
            async move { sender.send(vec![0; 10_000]).await }
        });
        tokio::task::yield_now().await;
        drop(receiver);
        assert_eq!(waiting.await.unwrap(), Err(Error::Closed));
        assert!(sender.is_closed());
        assert_eq!(sender.send("x").await, Err(Error::Closed));
        assert!(matches!(sender.try_send("x"), Err(SendError::Closed("x"))));
        while server.recv().await.is_some() {}
        assert_eq!(server.closed().unwrap().cause, Cause::Eof);
    })
    .await;
}

#[tokio::test]
async fn the_receiver_goes_on_without_senders() {
    patiently(async {
        let (client, mut server) = pair(100);
        let (mut receiver, sender) = client.split();
        drop(sender);
        server.send("still here").await.unwrap();
        server.ping(b"and answering").await.unwrap();
        assert_eq!(receiver.recv().await, Some("still here".into()));
        let receive = tokio::spawn(async move { receiver.recv().await });
        assert!(matches!(server.recv_event().await, Some(Event::Pong(_))));
        assert!(server.close(1000, "").await.unwrap().is_clean());
        assert_eq!(receive.await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_sender_can_abort() {
    patiently(async {
        let (client, _server) = pair(100);
        let (mut receiver, sender) = client.split();
        let receive = tokio::spawn(async move {
            let message = receiver.recv().await;
            (message, receiver.closed().unwrap().cause)
        });
        tokio::task::yield_now().await;
        sender.abort();
        assert_eq!(receive.await.unwrap(), (None, Cause::Aborted));
    })
    .await;
}

#[tokio::test]
async fn pings_are_timed_across_the_halves() {
    patiently(async {
        let (client, mut server) = pair(100);
        let (mut receiver, sender) = client.split();
        let peer = tokio::spawn(async move { while server.recv().await.is_some() {} });
        sender.ping(b"?").await.unwrap();
        let Some(Event::Pong(pong)) = receiver.recv_event().await else { panic!("no pong") };
        assert!(pong.round_trip.is_some());
        assert!(receiver.stats().round_trip.is_some());
        drop((receiver, sender));
        peer.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_echo_by_combinators() {
    patiently(async {
        let (a, b) = duplex(50);
        let (mut client, server) = (client(a), server(b));
        let echo = tokio::spawn(async move {
            let (sink, stream) = server.split();
            // `split` is our own; the halves are a stream and a sink.
            let (mut stream, sink) = (sink, stream);
            (&mut stream).forward(sink).await.unwrap();
            stream.closed().cloned()
        });
        for n in 0..20 {
            let message = Message::text(format!("message {n} {}", "x".repeat(n)));
            SinkExt::send(&mut client, message.clone()).await.unwrap();
            assert_eq!(client.try_next().await.unwrap(), Some(message));
        }
        SinkExt::close(&mut client).await.unwrap();
        assert!(client.next().await.is_none());
        assert!(client.closed().unwrap().is_clean());
        echo.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_stream_tells_an_unclean_end_once() {
    patiently(async {
        let (mut client, server) = pair(50);
        drop(server);
        let Some(Err(Error::Ended(closed))) = client.next().await else { panic!("no error") };
        assert_eq!(closed.cause, Cause::Eof);
        assert!(client.next().await.is_none());
        assert!(client.next().await.is_none());
        assert!(SinkExt::send(&mut client, Message::from("x")).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_sink_sends_all() {
    patiently(async {
        let (mut client, mut server) = pair(64);
        let messages: Vec<_> = (0..200).map(|n| Message::binary(vec![n as u8; 500])).collect();
        let expected = messages.clone();
        let sending = tokio::spawn(async move {
            client.send_all(&mut futures_util::stream::iter(messages.into_iter().map(Ok))).await.unwrap();
            client
        });
        for message in expected {
            assert_eq!(server.recv().await, Some(message));
        }
        drop(sending.await.unwrap());
    })
    .await;
}
