//! When output is written: in batches, before the connection waits, and never later.

mod common;

use common::io::{Log, Scripted, Step, frames};
use common::{frame, patiently, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use ws_tokio::{Config, Message, Role, WebSocket};

fn hello(n: usize) -> Vec<u8> {
    frame(0x81, b"Hello").repeat(n)
}

async fn echo(transport: Scripted) -> Log {
    let log = transport.log.clone();
    let mut ws = server(transport);
    while let Some(message) = ws.recv().await {
        ws.send(message).await.unwrap();
    }
    log
}

#[tokio::test]
async fn answers_to_the_messages_of_one_read_go_out_in_one_write() {
    patiently(async {
        for deep in [1, 2, 16, 100] {
            let reads = vec![Step::Move(11 * deep), Step::Wait, Step::Move(11 * deep), Step::Wait];
            let log = echo(Scripted::new(hello(2 * deep)).reads(reads)).await;
            assert_eq!(log.get(|log| (log.reads, log.writes)), (2, 2), "{deep}");
            assert_eq!(log.get(|log| frames(&log.written)), vec![(0x81, b"Hello".to_vec()); 2 * deep]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_cut_by_the_end_of_a_read_holds_nothing_back() {
    patiently(async {
        // Two messages and a half, then the rest.
        let reads = vec![Step::Move(27), Step::Wait, Step::Move(100), Step::Wait];
        let log = echo(Scripted::new(hello(4)).reads(reads)).await;
        assert_eq!(log.get(|log| (log.reads, log.writes)), (2, 2));
        assert_eq!(log.get(|log| frames(&log.written)).len(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_large_batch_is_written_in_parts() {
    patiently(async {
        // 60 KB in one read; the answers do not wait for all of them.
        let message = vec![7; 1000];
        let input = frame(0x82, &message).repeat(60);
        let log = echo(Scripted::new(input)).await;
        let writes = log.get(|log| log.writes);
        assert!((2..=3).contains(&writes), "{writes}");
        assert_eq!(log.get(|log| frames(&log.written)), vec![(0x82, message); 60]);
    })
    .await;
}

#[tokio::test]
async fn a_transport_without_vectored_writes_works_too() {
    patiently(async {
        let mut transport = Scripted::new(frame(0x82, &vec![7; 10_000]).repeat(5));
        transport.vectored = false;
        let log = echo(transport).await;
        assert_eq!(log.get(|log| frames(&log.written)).len(), 5);
        assert!(log.get(|log| log.flushes) >= 1);
    })
    .await;
}

#[tokio::test]
async fn send_writes_at_once_when_no_input_waits() {
    patiently(async {
        let transport = Scripted::new("").reads([Step::Stuck]);
        let log = transport.log.clone();
        let mut ws = server(transport);
        ws.send("one").await.unwrap();
        assert_eq!(log.get(|log| log.written.clone()), b"\x81\x03one");
        ws.feed("two").await.unwrap();
        ws.try_send("three").unwrap();
        assert_eq!(log.get(|log| log.writes), 1);
        ws.flush().await.unwrap();
        assert_eq!(log.get(|log| (log.writes, frames(&log.written).len())), (2, 3));
        // Past a size, even `feed` writes.
        for _ in 0..40 {
            ws.feed(vec![0; 1000]).await.unwrap();
        }
        assert_eq!(log.get(|log| log.writes), 3);
    })
    .await;
}

#[tokio::test]
async fn what_was_fed_goes_out_before_recv_waits() {
    patiently(async {
        let (mut peer, transport) = duplex(1000);
        let mut ws = server(transport);
        ws.feed("fed").await.unwrap();
        let waiting = tokio::spawn(async move { ws.recv().await });
        let mut bytes = [0; 5];
        peer.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"\x81\x03fed");
        peer.write_all(&hello(1)).await.unwrap();
        assert_eq!(waiting.await.unwrap(), Some(Message::from("Hello")));
    })
    .await;
}

#[tokio::test]
async fn the_high_water_mark_is_waited_for() {
    patiently(async {
        let mut config = Config::default();
        config.limits.outgoing = 100;
        let transport = Scripted::new("").reads([Step::Stuck]).writes([Step::Wait, Step::Move(10), Step::Wait]);
        let log = transport.log.clone();
        let mut ws = WebSocket::from_upgraded(transport, Role::Server, common::modern(), config);
        ws.try_send(vec![1; 200]).unwrap();
        ws.try_send("full").unwrap_err();
        ws.send("then").await.unwrap();
        let frames = log.get(|log| frames(&log.written));
        assert_eq!(frames, [(0x82, vec![1; 200]), (0x81, b"then".to_vec())]);
    })
    .await;
}

#[tokio::test]
async fn the_first_messages_may_come_with_the_request() {
    patiently(async {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let transport = Scripted::new([head.as_bytes(), &hello(3)].concat());
        let log = transport.log.clone();
        let mut ws = ws_tokio::accept(transport).await.unwrap();
        let mut count = 0;
        while let Some(message) = ws.recv().await {
            assert_eq!(message, Message::from("Hello"));
            count += 1;
        }
        assert_eq!(count, 3);
        assert!(log.get(|log| log.written.starts_with(b"HTTP/1.1 101 ")));
    })
    .await;
}
