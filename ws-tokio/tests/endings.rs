//! How connections over real sockets end.

mod common;

use common::{frame, patiently, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use ws_tokio::{Cause, Message};

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
