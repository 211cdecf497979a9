//! The server under measurement: one thread on the first processor.

use std::io::Write;

use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::net::TcpListener;

use crate::peers;

/// The processor of the server.
pub const SERVER_PROCESSOR: usize = 0;
/// The processor of the load.
pub const LOAD_PROCESSOR: usize = 1;

/// Keeps this thread on one processor, where there is more than one.
pub fn pin(processor: usize) {
    if std::thread::available_parallelism().is_ok_and(|n| n.get() > 1) {
        let mut set = CpuSet::new();
        set.set(processor);
        let _ = sched_setaffinity(None, &set);
    }
}

/// Serves until it is killed. Prints the port it listens on.
///
/// # Errors
///
/// When there is no such server.
pub fn run(name: &str) -> Result<(), String> {
    pin(SERVER_PROCESSOR);
    let peer = peers::named(name).ok_or("no such library")?;
    let serve = peer.serve.ok_or("this library has no server here")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let listener = listen().map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        println!("{}", address.port());
        let _ = std::io::stdout().flush();
        serve(listener).await;
        Ok(())
    })
}

fn listen() -> std::io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    // Thousands of connections arrive at once.
    rustix::net::listen(&listener, 1024)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
