//! The server under measurement, on the first processor.

use std::io::{BufRead, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustix::thread::{CpuSet, sched_setaffinity};
use rustls::ServerConfig;

use crate::{peers, tls};

/// The processor of the server.
pub const SERVER_PROCESSOR: usize = 0;
/// The processor of the load.
pub const LOAD_PROCESSOR: usize = 1;

/// What a server is given.
pub struct Listening {
    /// It blocks.
    pub listener: TcpListener,
    /// Set when connections begin with a TLS handshake.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Keeps this thread, and those that it starts, on one processor, where there is more than one.
pub fn pin(processor: usize) {
    if std::thread::available_parallelism().is_ok_and(|n| n.get() > 1) {
        let mut set = CpuSet::new();
        set.set(processor);
        let _ = sched_setaffinity(None, &set);
    }
}

/// Serves as a `serve` command line says, until it is killed. Prints the port it listens on; then, if `heap` is given,
/// what that says for each line of input.
///
/// # Errors
///
/// When there is no such server.
pub fn run(arguments: &[String], heap: Option<fn() -> i64>) -> Result<(), String> {
    pin(SERVER_PROCESSOR);
    let name = arguments.get(1).ok_or("serve needs a library's name")?;
    let peer = peers::named(name).ok_or("no such library")?;
    let serve = peer.serve.as_ref().ok_or("this library has no server here")?;
    let tls = match arguments.get(2).map(String::as_str) {
        None => None,
        Some("tls") => Some(tls::server()?),
        Some(other) => return Err(format!("unknown argument {other}")),
    };
    let listener = listen().map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    say(address.port().into());
    if let Some(heap) = heap {
        std::thread::spawn(move || std::io::stdin().lock().lines().for_each(|_| say(heap())));
    }
    (serve.run)(Listening { listener, tls });
    Ok(())
}

fn say(number: i64) {
    println!("{number}");
    let _ = std::io::stdout().flush();
}

fn listen() -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // Thousands of connections arrive at once.
    rustix::net::listen(&listener, 1024)?;
    Ok(listener)
}
