//! What the servers with an HTTP library share: the options, the rules of the site, and when they end.

use std::error::Error;
use std::future::Future;
use std::io;
use std::sync::Arc;

use clap::Parser;
use examples_common::{Compression, Limits, at_end};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use ws_tokio::{Acceptor, Request, ServerConfig, SubprotocolPolicy, Versions};

/// The page at `/`.
pub(crate) const PAGE: &str = "There is a WebSocket at /echo.\n";

/// Serves a page at `/`, and at `/echo` a WebSocket that sends every message back.
#[derive(Parser)]
pub(crate) struct Options {
    /// The address and port to listen on; port 0 is any free one
    #[arg(long, value_name = "ADDR")]
    listen: String,
    /// The versions of the protocol to accept; those before hybi-04 can't be served here
    #[arg(long, value_name = "LIST", default_value = "modern")]
    versions: Versions,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    compression: Compression,
}

impl Options {
    /// The settings of the handshakes, with a subprotocol called `echo`.
    pub(crate) fn acceptor(&self) -> Acceptor {
        let mut config = ServerConfig::from(self.limits.config());
        config.versions = self.versions;
        config.extensions = self.compression.extensions();
        config.subprotocols = SubprotocolPolicy::client_order(["echo"]).unwrap_or_default();
        Acceptor::new(config)
    }
}

/// Whether the request comes from a page of this site, or from a program that is no browser and names no page. A browser
/// sends the cookies of the site along with what other pages begin (RFC 6455 section 10.2).
pub(crate) fn is_same_site(request: &Request) -> bool {
    let Some(origin) = request.origin() else { return true };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == request.host().map(|host| host.as_str())
}

/// Serves until the system wants the program to end.
pub(crate) async fn run<S>(serve: impl FnOnce(TcpListener, Acceptor) -> S) -> Result<(), Box<dyn Error>>
where
    S: Future<Output = io::Result<()>>,
{
    let options = Options::parse();
    let listener = TcpListener::bind(&options.listen).await?;
    let end = Arc::new(Notify::new());
    let ended = Arc::clone(&end);
    at_end(move || end.notify_one())?;
    println!("listening on ws://{}/echo", listener.local_addr()?);
    tokio::select! {
        served = serve(listener, options.acceptor()) => served?,
        () = ended.notified() => {}
    }
    Ok(())
}
