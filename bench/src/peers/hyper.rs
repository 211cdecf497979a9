//! The HTTP server that fastwebsockets and yawc leave the opening handshake to.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves one HTTP connection whose request `upgrade` answers, until the stream has become another
/// protocol's; gives what `upgrade` gave beside the response.
pub async fn serve_upgrade<S, T, F>(stream: S, upgrade: F) -> Option<T>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: Send,
    F: Fn(Request<Incoming>) -> Option<(Response<Empty<Bytes>>, T)> + Send + Sync,
{
    let upgraded = Arc::new(Mutex::new(None));
    let service = service_fn(|request| {
        let response = match upgrade(request) {
            Some((response, value)) => {
                *upgraded.lock().expect("not poisoned") = Some(value);
                response
            }
            None => Response::builder().status(400).body(Empty::new()).expect("a response"),
        };
        async { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await.ok()?;
    upgraded.lock().expect("not poisoned").take()
}
