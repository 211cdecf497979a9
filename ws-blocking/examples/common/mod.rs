//! A server as the command line wants it.

use std::error::Error;

use examples_common::ServerOptions;
use ws_blocking::{Acceptor, Server, ServerConfig};

/// A server that is not serving yet.
pub(crate) fn server(options: &ServerOptions, config: ServerConfig) -> Result<Server, Box<dyn Error>> {
    let tls = options.tls()?;
    let server = match options.unix() {
        Some(path) => Server::bind_unix(path)?,
        None => Server::bind(options.tcp())?,
    };
    let server = server.acceptor(Acceptor::new(options.config(config)));
    Ok(match tls {
        Some(tls) => server.tls(tls),
        None => server,
    })
}
