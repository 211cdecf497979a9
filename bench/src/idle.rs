//! The part with nothing to do: what an open connection costs in memory.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use crate::echo::{protocol, servers};
use crate::load::{Load, Until, connect};
use crate::options::Options;
use crate::peers::Peer;
use crate::process::Server;
use crate::serve::{LOAD_PROCESSOR, pin};
use crate::table::Table;

const CONNECTIONS: usize = 5000;
const MESSAGE: usize = 1024;

/// Measures and prints.
///
/// # Errors
///
/// When a server can't be started or fails.
pub fn run(options: &Options) -> io::Result<()> {
    if !options.wants_row("idle") {
        return Ok(());
    }
    pin(LOAD_PROCESSOR);
    let peers = servers(options);
    let (mut fresh, mut used) = (Vec::new(), Vec::new());
    for peer in &peers {
        let context = |error| io::Error::other(format!("{} idle: {error}", peer.name));
        fresh.push(after_handshake(peer).map_err(context).map(Some)?);
        used.push(after_message(peer).map_err(context).map(Some)?);
    }
    Table {
        title: "Idle: resident bytes per connection (5,000 connections)",
        most_is_best: false,
        digits: 0,
        peers: &peers,
        rows: vec![("after the handshake".to_owned(), fresh), ("after a message of 1 KiB".to_owned(), used)],
    }
    .print();
    Ok(())
}

/// A server that has had some connections: what these cost it is not the price of one more.
fn warm(peer: &Peer) -> io::Result<(Server, u64)> {
    let server = Server::start(peer.name)?;
    Load::open(server.port, protocol(peer), 50, MESSAGE, 1)?.check()?;
    let before = settled(&server)?;
    Ok((server, before))
}

/// The server's memory once it has seen to everything; a library may wait a little before it gives buffers back.
fn settled(server: &Server) -> io::Result<u64> {
    std::thread::sleep(Duration::from_secs(3));
    server.resident()
}

fn per_connection(before: u64, now: u64) -> f64 {
    now.saturating_sub(before) as f64 / CONNECTIONS as f64
}

fn after_handshake(peer: &Peer) -> io::Result<f64> {
    let (server, before) = warm(peer)?;
    let connect = |_| connect(server.port, protocol(peer));
    let opened: Vec<TcpStream> = (0..CONNECTIONS).map(connect).collect::<io::Result<_>>()?;
    let now = settled(&server)?;
    drop(opened);
    Ok(per_connection(before, now))
}

fn after_message(peer: &Peer) -> io::Result<f64> {
    let (server, before) = warm(peer)?;
    let mut load = Load::open(server.port, protocol(peer), CONNECTIONS, MESSAGE, 1)?;
    load.run(Until::Batches(1))?;
    Ok(per_connection(before, settled(&server)?))
}
