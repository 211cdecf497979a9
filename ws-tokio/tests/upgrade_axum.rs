//! The example server on axum, and what else holds for its extractor.

#[allow(dead_code)]
#[path = "../examples/axum_upgrade.rs"]
mod example;
mod upgrade;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use axum::{Extension, Router};
use clap::Parser as _;
use example::upgrade::Options;
use examples_common::echo::echo;
use tokio::time::timeout;
use upgrade::{HEAD, OPTIONS, PATIENCE, Running};
use ws_tokio::deflate::Deflate;
use ws_tokio::extension::Extensions;
use ws_tokio::handshake::AcceptError as NotAccepted;
use ws_tokio::upgrade::axum::{Rejection, Upgrade};
use ws_tokio::{
    Accept, AcceptError, Acceptor, CloseCode, Config, ConnectError, Message, ServerConfig, SubprotocolPolicy, Version,
    Versions,
};

async fn start() -> Running {
    Running::start(|listener| example::serve(listener, Options::parse_from(OPTIONS).acceptor())).await
}

async fn start_routes(routes: Router) -> Running {
    Running::start(|listener| async { axum::serve(listener, routes).await }).await
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

#[tokio::test]
async fn a_page_and_a_websocket_on_one_path() {
    async fn both(upgrade: Option<Upgrade>) -> Response {
        match upgrade {
            Some(upgrade) => upgrade.on_upgrade(echo),
            None => "page".into_response(),
        }
    }
    let server = start_routes(Router::new().route("/", any(both))).await;
    let page = server.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.ends_with("page"), "{page}");
    let (mut ws, _) = server.connector("/").connect().await.unwrap();
    ws.send("Hello").await.unwrap();
    assert_eq!(timeout(PATIENCE, ws.recv()).await.unwrap(), Some(Message::from("Hello")));
    // Whatever is plain HTTP passes, for the handler to judge.
    let form = server.ask(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\na=b").await;
    assert!(form.starts_with("HTTP/1.1 200 ") && form.ends_with("page"), "{form}");
    let (mut parts, ()) =
        axum::http::Request::get("https://a/").version(axum::http::Version::HTTP_2).body(()).unwrap().into_parts();
    let page = <Upgrade as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &()).await;
    assert!(matches!(page, Ok(None)), "{page:?}");
    let rejection = <Upgrade as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await.unwrap_err();
    assert_eq!(rejection, Rejection::NotWebSocket);
    // What breaks a rule is not plain HTTP, and WebSockets over HTTP/2 are not spoken.
    parts.headers.insert("sec-websocket-version", axum::http::HeaderValue::from_static("13"));
    let rejection = <Upgrade as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &()).await.unwrap_err();
    assert!(matches!(rejection, Rejection::Refused(_)), "{rejection}");
    let wrong = server.ask(format!("{}\r\n", HEAD.replace("/echo", "/").replace("13", "7")).as_bytes()).await;
    assert!(wrong.starts_with("HTTP/1.1 426 "), "{wrong}");
}

#[tokio::test]
async fn settings_of_the_router_and_of_the_handler() {
    async fn open(upgrade: Upgrade) -> Response {
        let policy = SubprotocolPolicy::server_order(["b", "a"]).unwrap().required();
        let mut config = Config::default();
        config.limits.message = 10;
        upgrade
            .subprotocols(&policy)
            .extensions(Extensions::none().with(Deflate::default()))
            .config(config)
            .on_upgrade(echo)
    }
    let mut config = ServerConfig::default();
    config.versions = Versions::MODERN.with(Version::Hybi08);
    let server = start_routes(Router::new().route("/", any(open)).layer(Extension(Acceptor::new(config)))).await;
    let connector = || server.connector("/").extensions(Extensions::none().with(Deflate::default()));
    let (mut ws, _) = connector().version(Version::Hybi08).subprotocols(["a", "b"]).unwrap().connect().await.unwrap();
    assert_eq!(ws.negotiated().subprotocol.as_deref(), Some("b"));
    assert!(ws.negotiated().extension.is_some());
    ws.send("12345678901").await.unwrap();
    assert_eq!(timeout(PATIENCE, ws.recv()).await.unwrap(), None);
    assert_eq!(ws.closed().unwrap().code(), CloseCode::TOO_BIG);
    for connector in [connector(), connector().subprotocols(["c"]).unwrap()] {
        let refused = connector.connect().await;
        assert!(matches!(refused, Err(ConnectError::Refused(response)) if response.status() == 400));
    }
    let refused = connector().version(Version::Hybi07).connect().await;
    assert!(matches!(refused, Err(ConnectError::VersionRefused { response, .. }) if response.status() == 426));
}

#[tokio::test]
async fn what_can_not_be_opened() {
    async fn open(upgrade: Upgrade) -> Response {
        let (response, opening) = upgrade.accept(Accept::new().subprotocol("none")).open();
        assert!(matches!(opening, Err(AcceptError::Decision(NotAccepted::SubprotocolNotOffered))));
        response
    }
    let server = start_routes(Router::new().route("/", any(open))).await;
    let refused = server.connector("/").connect().await;
    assert!(matches!(refused, Err(ConnectError::Refused(response)) if response.status() == 500));

    let mut request = axum::http::Request::get("/echo");
    for line in HEAD.lines().skip(1) {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let rejection = <Upgrade as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await.unwrap_err();
    assert_eq!((rejection, rejection.into_response().status().as_u16()), (Rejection::NotUpgradable, 500));
}
