//! A hyper server with a page and a WebSocket that sends every message back.
//!
//! ```sh
//! cargo run --release -p ws-tokio --features hyper --example hyper_upgrade -- --listen 127.0.0.1:8080
//! ```
//!
//! Pages of other sites may not connect. It ends after SIGINT or SIGTERM.

pub(crate) mod upgrade;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::time::Duration;

use examples_common::echo::echo;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use upgrade::{PAGE, is_same_site, run};
use ws_tokio::upgrade::hyper::answer;
use ws_tokio::{Acceptor, Decision, Reply};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    run(serve).await
}

pub(crate) async fn serve(listener: TcpListener, acceptor: Acceptor) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve_connection(stream, acceptor.clone()))),
            // No descriptors are left, perhaps; that passes.
            Err(error) => {
                eprintln!("{error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, acceptor: Acceptor) {
    // Without it a short message may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let response = respond(request, &acceptor);
        async { Ok::<_, Infallible>(response) }
    });
    // The timer bounds the wait for a head; without `with_upgrades` no WebSocket opens.
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).with_upgrades();
    if let Err(error) = connection.await {
        eprintln!("{error}");
    }
}

fn respond(mut request: Request<Incoming>, acceptor: &Acceptor) -> Response<Full<Bytes>> {
    let (response, opening) = answer(&mut request, acceptor.config().clone(), decide);
    if let Ok(opening) = opening {
        // It opens once the response is written, so in a task of its own.
        tokio::spawn(async {
            match opening.await {
                Ok(ws) => echo(ws).await,
                Err(error) => eprintln!("{error}"),
            }
        });
    }
    response.map(Full::new)
}

fn decide(request: &ws_tokio::Request) -> Decision {
    match request.path() {
        "/" if !request.is_websocket() => Reply::text(200, PAGE).into(),
        "/echo" if request.is_websocket() && !is_same_site(request) => Reply::new(403).into(),
        "/echo" => Decision::default_for(request),
        _ => Reply::new(404).into(),
    }
}
