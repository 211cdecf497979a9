//! Whether anything stays behind. Files are counted for the whole process, so this is the only test in it.

mod common;

use std::io::Write;
use std::net::TcpStream as StdStream;

use alloc_meter::Mark;
use common::{echo_server, frame, patiently};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use ws_tokio::{Message, connect};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test]
async fn threat_032_nothing_stays_behind_when_connections_come_and_go() {
    connections_that_come_and_go().await;
    handshakes_that_are_dropped().await;
}

fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

async fn connections_that_come_and_go() {
    patiently(async {
        let (handle, address) = echo_server().await;
        let url = format!("ws://{address}/");
        let cycle = async |n: usize| {
            match n % 5 {
                0 => {
                    let mut ws = connect(&url).await.unwrap();
                    ws.send("x").await.unwrap();
                    assert_eq!(ws.recv().await, Some(Message::from("x")));
                    ws.close(1000, "").await.unwrap();
                }
                1 => drop(connect(&url).await.unwrap()),
                2 => {
                    let (receiver, sender) = connect(&url).await.unwrap().split();
                    sender.send("x").await.unwrap();
                    drop((receiver, sender));
                }
                3 => {
                    // In the middle of the handshake.
                    let mut tcp = StdStream::connect(address).unwrap();
                    tcp.write_all(&REQUEST[..50]).unwrap();
                }
                _ => {
                    // In the middle of a message.
                    let mut tcp = StdStream::connect(address).unwrap();
                    tcp.write_all(&[REQUEST, &frame(0x81, b"half")[..7]].concat()).unwrap();
                }
            }
            while handle.connections() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let tasks = || Handle::current().metrics().num_alive_tasks();
        for n in 0..100 {
            cycle(n).await;
        }
        let (files_before, tasks_before, mark) = (files(), tasks(), Mark::now());
        for n in 0..1000 {
            cycle(n).await;
        }
        assert_eq!((files(), tasks()), (files_before, tasks_before));
        let live = mark.usage().live;
        assert!(live.abs() <= 2048, "{live}");
    })
    .await;
}

async fn handshakes_that_are_dropped() {
    patiently(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let before = files();
        for polls in 0..30 {
            let (client, accepted) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
            let accepting = ws_tokio::accept(accepted.unwrap().0);
            // Dropped after some turns of the runtime.
            tokio::select! {
                biased;
                _ = accepting => panic!("accepted"),
                () = async { for _ in 0..polls { tokio::task::yield_now().await } } => {}
            }
            drop(client);
        }
        assert_eq!(files(), before);
    })
    .await;
}
