//! The two halves, `Stream` and `Sink`, in tasks of their own.

use std::time::Duration;

use futures_util::future::join;
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use ws_adapter::Error;
use ws_proto::connection::Event;
use ws_proto::{Cause, CloseCode, Message, SendError};

use crate::Dice;
use crate::sim::{Socket, Task, World, yield_now};
use crate::wire::{OneWaker, pipe};

crate::in_all_worlds!(
    many_senders_and_no_message_is_lost_or_mixed,
    a_sender_closes_and_the_receiver_hears_the_end,
    a_dropped_receiver_ends_the_connection_for_the_senders,
    the_receiver_goes_on_without_senders,
    a_sender_can_abort,
    pings_are_timed_across_the_halves,
    an_echo_by_combinators,
    a_sink_sends_all,
    threat_112_halves_in_two_tasks_never_miss_a_wake_up,
    threat_117_both_ends_send_at_once,
    threat_117_two_that_only_send_end_by_the_write_stall,
);

async fn many_senders_and_no_message_is_lost_or_mixed<W: World>() {
    let (client, mut server) = W::pair(777);
    let (mut receiver, sender) = client.split();
    let receive = W::spawn(async move { while receiver.recv().await.is_some() {} });
    let tasks: Vec<_> = (0..10_u8)
        .map(|task| {
            let sender = sender.clone();
            W::spawn(async move {
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
        task.await;
    }
    let (closed, ()) = join(server.close(1000, ""), receive).await;
    assert!(closed.unwrap().is_clean());
    assert!(sender.is_closed());
}

async fn a_sender_closes_and_the_receiver_hears_the_end<W: World>() {
    let (client, mut server) = W::pair(100);
    let (mut receiver, sender) = client.split();
    let receive = W::spawn(async move {
        assert_eq!(receiver.recv().await, None);
        receiver.closed().cloned().unwrap()
    });
    let peer = W::spawn(async move { while server.recv().await.is_some() {} });
    assert!(sender.close(1006, "").await.is_err());
    sender.send("before").await.unwrap();
    sender.close(4000, "over").await.unwrap();
    assert_eq!(sender.send("after").await, Err(Error::Closed));
    assert_eq!(sender.ping(b"").await, Err(Error::Closed));
    let closed = receive.await;
    assert!(closed.is_clean());
    assert_eq!(closed.sent.unwrap().code(), CloseCode::from(4000));
    peer.await;
}

async fn a_dropped_receiver_ends_the_connection_for_the_senders<W: World>() {
    let (client, mut server) = W::pair(100);
    let (receiver, sender) = client.split();
    // One sender waits for room that never comes.
    let waiting = W::spawn({
        let sender = sender.clone();
        async move { sender.send(vec![0; 10_000]).await }
    });
    yield_now().await;
    drop(receiver);
    assert_eq!(waiting.await, Err(Error::Closed));
    assert!(sender.is_closed());
    assert_eq!(sender.send("x").await, Err(Error::Closed));
    assert!(matches!(sender.try_send("x"), Err(SendError::Closed("x"))));
    while server.recv().await.is_some() {}
    assert_eq!(server.closed().unwrap().cause, Cause::Eof);
}

async fn the_receiver_goes_on_without_senders<W: World>() {
    let (client, mut server) = W::pair(100);
    let (mut receiver, sender) = client.split();
    drop(sender);
    server.send("still here").await.unwrap();
    server.ping(b"and answering").await.unwrap();
    assert_eq!(receiver.recv().await, Some("still here".into()));
    let receive = W::spawn(async move { receiver.recv().await });
    assert!(matches!(server.recv_event().await, Some(Event::Pong(_))));
    assert!(server.close(1000, "").await.unwrap().is_clean());
    assert_eq!(receive.await, None);
}

async fn a_sender_can_abort<W: World>() {
    let (client, _server) = W::pair(100);
    let (mut receiver, sender) = client.split();
    let receive = W::spawn(async move {
        let message = receiver.recv().await;
        (message, receiver.closed().unwrap().cause)
    });
    yield_now().await;
    sender.abort();
    assert_eq!(receive.await, (None, Cause::Aborted));
}

async fn pings_are_timed_across_the_halves<W: World>() {
    let (client, mut server) = W::pair(100);
    let (mut receiver, sender) = client.split();
    let peer = W::spawn(async move { while server.recv().await.is_some() {} });
    sender.ping(b"?").await.unwrap();
    let Some(Event::Pong(pong)) = receiver.recv_event().await else { panic!("no pong") };
    assert!(pong.round_trip.is_some());
    assert!(receiver.stats().round_trip.is_some());
    drop((receiver, sender));
    peer.await;
}

async fn an_echo_by_combinators<W: World>() {
    let (mut client, server) = W::pair(50);
    let echo = W::spawn(async move {
        // `split` is our own; the halves are a stream and a sink.
        let (mut stream, sink) = server.split();
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
    echo.await;
}

async fn a_sink_sends_all<W: World>() {
    let (mut client, mut server) = W::pair(64);
    let messages: Vec<_> = (0..200).map(|n| Message::binary(vec![n as u8; 500])).collect();
    let expected = messages.clone();
    let sending = W::spawn(async move {
        client.send_all(&mut futures_util::stream::iter(messages.into_iter().map(Ok))).await.unwrap();
        client
    });
    for message in expected {
        assert_eq!(server.recv().await, Some(message));
    }
    drop(sending.await);
}

/// Two pipes that keep one waker each, of whoever came last.
async fn threat_112_halves_in_two_tasks_never_miss_a_wake_up<W: World>() {
    for (seed, size) in (0..20).zip([1, 2, 5, 64, 100, 1000].into_iter().cycle()) {
        let (a, b) = pipe(size);
        let (a, b) = (W::client(OneWaker::new(a)), W::server(OneWaker::new(b)));
        let tasks = [flow::<W>(a, seed), flow::<W>(b, seed + 100)];
        for task in tasks {
            task.await;
        }
    }
}

/// Sends and receives a hundred messages at the same time, in two tasks.
fn flow<W: World>(ws: Socket<W>, seed: u64) -> Task<()> {
    let (mut receiver, sender) = ws.split();
    let sending = W::spawn(async move {
        let mut dice = Dice::new(seed);
        for n in 0..100_u8 {
            sender.send(vec![n; dice.roll(60) as usize]).await.unwrap();
            if dice.roll(4) == 0 {
                yield_now().await;
            }
        }
        sender
    });
    W::spawn(async move {
        for n in 0..100_u8 {
            let Some(Message::Binary(message)) = receiver.recv().await else { panic!("no message {n}") };
            assert!(message.iter().all(|byte| *byte == n));
        }
        let sender = sending.await;
        // Not `close().await`: in the smallest pipe a Close has no room until the other side reads.
        sender.start_close(1000, "").unwrap();
        while receiver.recv().await.is_some() {}
        assert!(receiver.closed().unwrap().is_clean(), "{:?}", receiver.closed());
    })
}

async fn threat_117_both_ends_send_at_once<W: World>() {
    // A sender and a receiver on each side: no deadlock, however small the pipe.
    let (client, server) = W::pair(4096);
    let halves = |ws: Socket<W>| async move {
        let (mut receiver, sender) = ws.split();
        let sending = W::spawn(async move {
            for _ in 0..16 {
                sender.send(vec![1; 256 * 1024]).await.unwrap();
            }
            sender
        });
        for _ in 0..16 {
            assert_eq!(receiver.recv().await.unwrap().len(), 256 * 1024);
        }
        drop(sending.await);
    };
    let one = W::spawn(halves(client));
    halves(server).await;
    one.await;
}

async fn threat_117_two_that_only_send_end_by_the_write_stall<W: World>() {
    let both = async {
        let (client, server) = W::pair(4096);
        let pour = |mut ws: Socket<W>| async move {
            while ws.send(vec![1; 10_000]).await.is_ok() {}
            while ws.recv().await.is_some() {}
            ws.closed().unwrap().cause
        };
        let (a, b) = join(W::spawn(pour(client)), W::spawn(pour(server))).await;
        assert!([a, b].contains(&Cause::WriteStalled), "{a:?} {b:?}");
    };
    W::within(Duration::from_secs(1000), both).await.expect("a deadlock");
}
