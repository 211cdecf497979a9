//! The opening handshake of every version over each adapter.

use futures_util::future::join;
use ws_adapter::{AcceptError, Acceptor, Connector};
use ws_proto::{Accept, HandshakeError, Message, Version};

use crate::sim::World;
use crate::versions_kit::{all_versions, meet, request};
use crate::wire::{Io, pipe};

crate::in_all_worlds!(
    every_version_over_a_pipe,
    every_version_does_what_it_can_and_says_what_it_can_not,
    a_proxy_that_waits_for_the_answer,
    threat_065_a_body_that_never_comes,
);

/// A client and a server that have met, over a pipe of so many bytes.
async fn met<W: World>(version: Version, size: usize) -> (crate::sim::Socket<W>, crate::sim::Socket<W>) {
    let (near, far) = pipe(size);
    let server = async {
        let (ws, request) = Acceptor::<W::Runtime>::new(all_versions()).accept(Io::from(far)).await.unwrap();
        assert_eq!(request.websocket().unwrap().version(), version);
        assert_eq!(ws.negotiated().version, version);
        ws
    };
    let client = async {
        let connector = Connector::<W::Runtime>::new("ws://example.com/chat?x=1").unwrap().version(version);
        let (ws, response) = connector.connect_over(Io::from(near)).await.unwrap();
        assert_eq!((response.status(), ws.negotiated().version), (101, version));
        ws
    };
    join(client, server).await
}

async fn every_version_over_a_pipe<W: World>() {
    assert_eq!(Version::ALL.len(), 11);
    for version in Version::ALL.iter().copied() {
        // So small that head and eight bytes come in many reads.
        let (mut client, mut server) = met::<W>(version, 5).await;
        let serve = async {
            while let Some(message) = server.recv().await {
                server.send(message).await.unwrap();
            }
        };
        let ask = async {
            for text in ["Hello", "", "and \u{20ac} more"] {
                client.send(text).await.unwrap();
                assert_eq!(client.recv().await, Some(Message::text(text)), "{version}");
            }
            client.close(1000, "").await.unwrap()
        };
        let (closed, ()) = join(ask, serve).await;
        assert!(closed.is_clean(), "{version}: {closed:?}");
        // Of the oldest one the end of the stream is all there is.
        let clean = server.closed().unwrap().is_clean();
        assert_eq!(clean, version.has_close(), "{version}: {:?}", server.closed());
    }
}

async fn every_version_does_what_it_can_and_says_what_it_can_not<W: World>() {
    for version in Version::ALL.iter().copied() {
        let (mut client, mut server) = met::<W>(version, 1000).await;
        let binary = client.send(vec![1, 2, 3]).await;
        let ping = client.ping(b"?").await;
        assert_eq!(binary.is_ok(), version.has_binary(), "{version}: {binary:?}");
        assert_eq!(ping.is_ok(), version.has_ping(), "{version}: {ping:?}");
        client.send("last").await.unwrap();
        if binary.is_ok() {
            assert_eq!(server.recv().await, Some(Message::binary(vec![1, 2, 3])), "{version}");
        } else {
            assert_eq!(binary, Err(ws_adapter::Error::Unsupported(version)));
        }
        assert_eq!(server.recv().await, Some(Message::text("last")), "{version}");
    }
}

/// The eight bytes come only when the head of the answer is there, as behind some proxies.
async fn a_proxy_that_waits_for_the_answer<W: World>() {
    let both = meet(&request(Version::Hixie76), &all_versions(), &Accept::new());
    let (head, body) = both.request.split_at(both.request.len() - 8);
    let (mut near, far) = pipe(4096);
    let server = async {
        let (mut ws, _) = Acceptor::<W::Runtime>::new(all_versions()).accept(Io::from(far)).await.unwrap();
        ws.recv().await
    };
    let client = async {
        near.write_all(head).await.unwrap();
        let answer = near.read_exact(both.answer.len() - 16).await;
        assert_eq!(answer, both.answer[..both.answer.len() - 16]);
        near.write_all(&[body, b"\0first\xff"].concat()).await.unwrap();
        assert_eq!(near.read_exact(16).await, both.answer[both.answer.len() - 16..]);
    };
    let (message, ()) = join(server, client).await;
    assert_eq!(message, Some(Message::text("first")));
}

async fn threat_065_a_body_that_never_comes<W: World>() {
    let both = meet(&request(Version::Hixie76), &all_versions(), &Accept::new());
    let (mut near, far) = pipe(4096);
    near.write_all(&both.request[..both.request.len() - 1]).await.unwrap();
    let start = W::now();
    let error = Acceptor::<W::Runtime>::new(all_versions()).accept(Io::from(far)).await.err();
    assert!(matches!(error, Some(AcceptError::Handshake(HandshakeError::Timeout))), "{error:?}");
    assert_eq!((W::now() - start).as_secs(), 10);
    // Nothing but the head that was written before.
    assert_eq!(near.read_to_end().await, both.answer[..both.answer.len() - 16]);
}
