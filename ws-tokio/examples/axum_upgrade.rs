//! An axum server with a page and a WebSocket that sends every message back.
//!
//! ```sh
//! cargo run --release -p ws-tokio --features axum --example axum_upgrade -- --listen 127.0.0.1:8080
//! ```
//!
//! Pages of other sites may not connect. It ends after SIGINT or SIGTERM.

pub(crate) mod upgrade;

use std::error::Error;
use std::io;

use axum::response::Response;
use axum::routing::{any, get};
use axum::serve::ListenerExt as _;
use axum::{Extension, Router};
use examples_common::echo::echo;
use tokio::net::TcpListener;
use upgrade::{PAGE, is_same_site, run};
use ws_tokio::upgrade::axum::Upgrade;
use ws_tokio::{Acceptor, Reply};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    run(serve).await
}

pub(crate) async fn serve(listener: TcpListener, acceptor: Acceptor) -> io::Result<()> {
    // Without it a short message may wait for the acknowledgement of the one before.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let routes = Router::new().route("/", get(PAGE)).route("/echo", any(open)).layer(Extension(acceptor));
    axum::serve(listener, routes).await
}

async fn open(upgrade: Upgrade) -> Response {
    if is_same_site(upgrade.request()) { upgrade.on_upgrade(echo) } else { upgrade.reject(Reply::new(403)) }
}
