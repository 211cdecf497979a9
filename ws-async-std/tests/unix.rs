//! Unix sockets.
#![cfg(all(unix, any(feature = "async-std", feature = "smol")))]

mod common;

use std::os::unix::net::UnixListener;

use async_io::Async;
use common::{both, echo, folder, says};
use ws_async_std::{Address, ConnectError, Connector, Server, accept};

#[test]
fn a_client_and_a_server() {
    both(async |rt| {
        let folder = folder("a_client_and_a_server");
        let path = folder.join("socket");
        let connector = Connector::new("ws://somewhere/chat?a=b").unwrap().connect_to(path.clone());
        let Err(ConnectError::Io(error)) = connector.connect().await else { panic!("connected") };
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        let server = Server::bind_unix(&path).await.unwrap();
        assert!(Server::bind_unix(&path).await.is_err());
        assert_eq!(server.local_addr().unwrap(), Address::Unix(Some(path.clone())));
        let handle = server.handle();
        let report = rt.spawn(server.serve(|ws, incoming| async move {
            assert_eq!(incoming.peer, Address::Unix(None));
            assert_eq!(incoming.request.header("Host"), Some("somewhere"));
            echo(ws).await;
        }));
        let (mut ws, _) = connector.connect().await.unwrap();
        says(&mut ws, "in the machine").await;
        let stream = ws.get_ref().unwrap();
        assert_eq!(stream.peer_addr().unwrap().path(), Some(&*path));
        assert_eq!(stream.local_addr().unwrap(), Address::Unix(None));
        assert!(stream.tcp().is_none() && stream.unix().is_some());
        // More than the socket takes at once, both ways.
        ws.send(vec![7; 3_000_000]).await.unwrap();
        assert_eq!(ws.recv().await.unwrap().len(), 3_000_000);
        assert!(ws.close(1000, "").await.unwrap().is_clean());
        handle.shutdown(common::PATIENCE);
        let report = report.join().await;
        assert_eq!((report.served, report.panicked), (1, 0));
        let Err(ConnectError::Io(error)) = connector.connect().await else { panic!("connected") };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        std::fs::remove_dir_all(folder).unwrap();
    });
}

#[test]
fn a_socket_from_elsewhere() {
    both(async |rt| {
        let folder = folder("a_socket_from_elsewhere");
        let path = folder.join("socket");
        let listener = Async::<UnixListener>::bind(&path).unwrap();
        let server = rt.spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            echo(accept(ws_async_std::NetStream::from(stream)).await.unwrap()).await;
            Server::new(listener).local_addr().unwrap()
        });
        let (mut ws, _) = Connector::new("ws://a/").unwrap().connect_to(path.clone()).connect().await.unwrap();
        says(&mut ws, "in the machine").await;
        drop(ws);
        assert_eq!(server.join().await.path(), Some(&*path));
        std::fs::remove_dir_all(folder).unwrap();
    });
}

#[cfg(feature = "tls")]
#[test]
fn tls_on_a_unix_socket() {
    both(async |rt| {
        let folder = folder("tls_on_a_unix_socket");
        let path = folder.join("socket");
        let ca = common::certificates::Ca::new("the tests");
        let tls = ca.server(&["inside.example"]).serving().build().unwrap();
        let server = Server::bind_unix(&path).await.unwrap().tls(tls);
        let handle = server.handle();
        let report = rt.spawn(server.serve(|ws, _| echo(ws)));
        let connector = Connector::new("wss://inside.example/").unwrap().tls(ca.trusting().build().unwrap());
        let (mut ws, _) = connector.connect_to(path).connect().await.unwrap();
        says(&mut ws, "in secret").await;
        let stream = ws.get_ref().unwrap();
        assert!(stream.tls().is_some() && stream.unix().is_some());
        ws.send(vec![7; 1_000_000]).await.unwrap();
        assert_eq!(ws.recv().await.unwrap().len(), 1_000_000);
        assert!(ws.close(1000, "").await.unwrap().is_clean());
        handle.shutdown(common::PATIENCE);
        assert_eq!(report.join().await.served, 1);
        std::fs::remove_dir_all(folder).unwrap();
    });
}
