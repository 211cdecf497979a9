//! Unix sockets.
#![cfg(unix)]

#[cfg(feature = "tls")]
#[path = "../../ws-async-std/tests/common/certificates.rs"]
mod certificates;
#[path = "common/runtimes.rs"]
mod runtimes;

use runtimes::{PATIENCE, both, echo, folder, says};
use tokio::net::UnixListener;
use ws_tokio::{Address, ConnectError, Connector, Server, accept};

#[test]
fn a_client_and_a_server() {
    both(async || {
        let folder = folder("a_client_and_a_server");
        let path = folder.join("socket");
        let connector = Connector::new("ws://somewhere/chat?a=b").unwrap().connect_to(path.clone());
        let Err(ConnectError::Io(error)) = connector.connect().await else { panic!("connected") };
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        let server = Server::bind_unix(&path).await.unwrap();
        assert!(Server::bind_unix(&path).await.is_err());
        assert_eq!(server.local_addr().unwrap(), Address::Unix(Some(path.clone())));
        let handle = server.handle();
        let report = tokio::spawn(server.serve(|ws, incoming| async move {
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
        handle.shutdown(PATIENCE);
        let report = report.await.unwrap();
        assert_eq!((report.served, report.panicked), (1, 0));
        let Err(ConnectError::Io(error)) = connector.connect().await else { panic!("connected") };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        std::fs::remove_dir_all(folder).unwrap();
    });
}

#[test]
fn a_socket_from_elsewhere() {
    both(async || {
        let folder = folder("a_socket_from_elsewhere");
        let path = folder.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            echo(accept(ws_tokio::NetStream::from(stream)).await.unwrap()).await;
            Server::new(listener).local_addr().unwrap()
        });
        let (mut ws, _) = Connector::new("ws://a/").unwrap().connect_to(path.clone()).connect().await.unwrap();
        says(&mut ws, "in the machine").await;
        drop(ws);
        assert_eq!(server.await.unwrap().path(), Some(&*path));
        std::fs::remove_dir_all(folder).unwrap();
    });
}

#[cfg(feature = "tls")]
#[test]
fn tls_on_a_unix_socket() {
    both(async || {
        let folder = folder("tls_on_a_unix_socket");
        let path = folder.join("socket");
        let ca = certificates::Ca::new("the tests");
        let tls = ca.server(&["inside.example"]).serving().build().unwrap();
        let server = Server::bind_unix(&path).await.unwrap().tls(tls);
        let handle = server.handle();
        let report = tokio::spawn(server.serve(|ws, _| echo(ws)));
        let connector = Connector::new("wss://inside.example/").unwrap().tls(ca.trusting().build().unwrap());
        let (mut ws, _) = connector.connect_to(path).connect().await.unwrap();
        says(&mut ws, "in secret").await;
        let stream = ws.get_ref().unwrap();
        assert!(stream.tls().is_some() && stream.unix().is_some());
        ws.send(vec![7; 1_000_000]).await.unwrap();
        assert_eq!(ws.recv().await.unwrap().len(), 1_000_000);
        assert!(ws.close(1000, "").await.unwrap().is_clean());
        handle.shutdown(PATIENCE);
        assert_eq!(report.await.unwrap().served, 1);
        std::fs::remove_dir_all(folder).unwrap();
    });
}
