//! The example server on hyper, and what else holds for upgrades of hyper's.

#[allow(dead_code)]
#[path = "../examples/hyper_upgrade.rs"]
mod example;
mod upgrade;

use std::cell::Cell;
use std::convert::Infallible;

use clap::Parser as _;
use example::upgrade::Options;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::sync::oneshot;
use tokio::time::timeout;
use upgrade::{HEAD, OPTIONS, PATIENCE, Running};
use ws_tokio::handshake::AcceptError as NotAccepted;
use ws_tokio::upgrade::hyper::{Upgrade, answer};
use ws_tokio::{Accept, AcceptError, Config, Decision, HandshakeError, Reply, ServerConfig};

async fn start() -> Running {
    Running::start(|listener| example::serve(listener, Options::parse_from(OPTIONS).acceptor())).await
}

#[tokio::test]
async fn every_version_of_a_head_alone_with_subprotocol_and_deflate() {
    upgrade::versions(&start().await).await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_closed_with_1009() {
    upgrade::limit(&start().await).await;
}

#[tokio::test]
async fn what_comes_with_the_request_is_not_lost() {
    upgrade::early(&start().await).await;
}

#[tokio::test]
async fn the_101_has_the_headers_of_the_core() {
    upgrade::headers(&start().await).await;
}

#[tokio::test]
async fn refusals_by_status() {
    upgrade::refusals(&start().await).await;
}

fn request() -> Request<()> {
    let mut request = Request::get("/echo");
    for line in HEAD.lines().skip(1) {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    request.body(()).unwrap()
}

#[tokio::test]
async fn the_second_part_tells_why_there_is_no_websocket() {
    let of = |request: &mut Request<()>, decision: Decision| {
        let (response, opening) = answer(request, ServerConfig::default(), |_| decision);
        (response.status().as_u16(), opening.err())
    };
    let (status, error) = of(&mut request(), Reply::new(403).into());
    assert!(matches!((status, error), (403, Some(AcceptError::Replied(403)))));
    let (status, error) = of(&mut request(), Accept::new().subprotocol("none").into());
    assert!(matches!((status, error), (500, Some(AcceptError::Decision(NotAccepted::SubprotocolNotOffered)))));
    let mut wrong = request();
    wrong.headers_mut().remove("connection");
    let (status, error) = of(&mut wrong, Accept::new().into());
    assert!(matches!((status, error), (400, Some(AcceptError::Handshake(HandshakeError::Connection)))));
}

#[tokio::test]
async fn a_request_from_elsewhere_opens_nothing() {
    let (response, opening) = answer(&mut request(), ServerConfig::default(), |_| Accept::new().into());
    let mut opening = opening.unwrap();
    assert_eq!((response.status().as_u16(), opening.negotiated().is_some()), (101, true));
    assert!(matches!((&mut opening).await, Err(AcceptError::Io(_))));
}

/// One connection of hyper's with this client input; tells what became of the WebSocket.
async fn serve_once(upgrades: bool) -> Result<(), AcceptError> {
    let (mut client, server) = duplex(4096);
    client.write_all(format!("{HEAD}\r\n").as_bytes()).await.unwrap();
    let (tell, told) = oneshot::channel();
    let tell = Cell::new(Some(tell));
    let service = service_fn(|mut request: Request<Incoming>| {
        let upgrade = Upgrade::new(&mut request, ServerConfig::default()).unwrap();
        let (response, opening) = upgrade.config(Config::default()).decide(Accept::new());
        let tell = tell.take().unwrap();
        tokio::spawn(async move {
            let opened = opening.unwrap().await.map(|_| ());
            let _ = tell.send(opened);
        });
        async { Ok::<_, Infallible>(response.map(Full::new)) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let client = tokio::spawn(async move {
        let mut first = [0; 12];
        client.read_exact(&mut first).await.unwrap();
        client.shutdown().await.unwrap();
        client
    });
    let _ = timeout(PATIENCE, async { if upgrades { connection.with_upgrades().await } else { connection.await } })
        .await
        .unwrap();
    let told = timeout(PATIENCE, told).await.unwrap().unwrap();
    client.await.unwrap();
    told
}

#[tokio::test]
async fn it_opens_only_if_the_server_hands_the_connection_over() {
    assert!(serve_once(true).await.is_ok());
    assert!(matches!(serve_once(false).await, Err(AcceptError::Io(_))));
}
