//! An echo server on a completion queue: every buffer belongs to the queue while it is read into or written from.
//!
//! ```sh
//! cargo run --release -p ws-proto --example completion_echo -- --listen 127.0.0.1:9001 --queue io-uring
//! ```
//!
//! One thread, many connections. The protocol is in `ws-proto`; `server.rs` and `peer.rs` are written against the small
//! trait in `queue.rs`, of which there are two: io_uring in `uring.rs`, and in `simulated.rs` one that runs everywhere.
//! `mio_echo` is the same server for readiness instead of completions.

use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::{env, io};

use ws_proto::Config;

#[path = "completion_echo/peer.rs"]
mod peer;
#[path = "completion_echo/queue.rs"]
mod queue;
#[path = "completion_echo/server.rs"]
mod server;
#[path = "completion_echo/simulated.rs"]
mod simulated;
#[cfg(target_os = "linux")]
#[path = "completion_echo/uring.rs"]
mod uring;

use queue::Queue;
pub(crate) use server::Server;

const USAGE: &str = "usage: completion_echo [--listen ADDRESS:PORT] [--queue io-uring|simulated]";

/// What completes the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The kernel.
    IoUring,
    /// A loop over readiness that takes its time and any order.
    Simulated,
}

/// A queue of the kind that is asked for.
///
/// # Errors
/// If this system has none of the kind, or the listener is of no use.
pub(crate) fn queue(kind: Kind, listener: TcpListener) -> io::Result<Box<dyn Queue>> {
    match kind {
        Kind::Simulated => Ok(Box::new(simulated::Simulated::new(listener, 0x2545_f491_4f6c_dd1d)?)),
        #[cfg(target_os = "linux")]
        Kind::IoUring => Ok(Box::new(uring::Uring::new(listener)?)),
        #[cfg(not(target_os = "linux"))]
        Kind::IoUring => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// What the command line says: where to listen, and on which queue.
fn options(mut args: impl Iterator<Item = String>) -> Result<(SocketAddr, Kind), String> {
    let mut address = SocketAddr::from(([127, 0, 0, 1], 9001));
    let mut kind = Kind::IoUring;
    while let Some(name) = args.next() {
        match (name.as_str(), args.next().as_deref()) {
            ("--listen", Some(value)) => address = value.parse().map_err(|_| USAGE)?,
            ("--queue", Some("io-uring")) => kind = Kind::IoUring,
            ("--queue", Some("simulated")) => kind = Kind::Simulated,
            _ => return Err(USAGE.into()),
        }
    }
    Ok((address, kind))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (address, kind) = options(env::args().skip(1))?;
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    let queue = match queue(kind, listener.try_clone()?) {
        Err(error) if kind == Kind::IoUring => {
            eprintln!("there is no io_uring to be had ({error}): the queue is simulated");
            queue(Kind::Simulated, listener)?
        }
        queue => queue?,
    };
    let server = Server::new(queue, Config::default());
    let stop = server.stop();
    ctrlc::set_handler(move || stop.stop())?;
    println!("listening on ws://{address}");
    Ok(server.run()?)
}
