//! The part with nothing to do: what an open connection costs in memory.

use std::io;
use std::time::Duration;

use crate::echo::{protocol, servers};
use crate::link::Link;
use crate::load::{Load, Target, Until, connect};
use crate::options::Options;
use crate::peers::{Family, Peer};
use crate::process::Server;
use crate::serve::{LOAD_PROCESSOR, pin};
use crate::table::{Table, print_by_family};

/// The rows: what `--rows` matches, and whether they are about TLS.
const CASES: [(&str, bool); 2] = [("idle", false), ("idle-tls", true)];

const MESSAGE: usize = 1024;

/// How many connections are opened.
fn connections(peer: &Peer) -> usize {
    match peer.serve.map(|serve| serve.family) {
        Some(Family::Threads) => 1000,
        _ => 5000,
    }
}

/// Measures and prints.
///
/// # Errors
///
/// When a server can't be started or fails.
pub fn run(options: &Options) -> io::Result<()> {
    let cases: Vec<(&str, bool)> = CASES.into_iter().filter(|(name, _)| options.wants_row(name)).collect();
    if cases.is_empty() {
        return Ok(());
    }
    pin(LOAD_PROCESSOR);
    let peers = servers(options);
    let (mut resident, mut heap) = (Vec::new(), Vec::new());
    for (name, tls) in cases {
        let mut rows: [Vec<Option<f64>>; 4] = Default::default();
        for peer in &peers {
            let context = |error| io::Error::other(format!("{} in {name}: {error}", peer.name));
            let able = peer.serve.is_some_and(|serve| serve.tls || !tls);
            let values = if able { measure(peer, tls).map_err(context)?.map(Some) } else { [None; 4] };
            rows.iter_mut().zip(values).for_each(|(row, value)| row.push(value));
        }
        let [fresh, used, fresh_heap, used_heap] = rows;
        let stages = |fresh, used| {
            [(format!("{name}, after the handshake"), fresh), (format!("{name}, after a message of 1 KiB"), used)]
        };
        resident.extend(stages(fresh, used));
        heap.extend(stages(fresh_heap, used_heap));
    }
    let print = |title, rows| {
        print_by_family(&Table { title, most_is_best: false, digits: 0, peers: &peers, rows });
    };
    print("Idle: resident bytes per connection", resident);
    print("Idle: heap bytes per connection", heap);
    Ok(())
}

/// Resident after the handshake and after a message, then the same of the heap.
fn measure(peer: &Peer, tls: bool) -> io::Result<[f64; 4]> {
    let resident = &mut |server: &mut Server| server.resident().map(|bytes| bytes as f64);
    let heap = &mut |server: &mut Server| server.heap().map(|bytes| bytes as f64);
    let plain = || Server::start(peer.name, tls);
    let counting = || Server::start_counting(peer.name, tls);
    Ok([
        after_handshake(peer, tls, plain()?, resident)?,
        after_message(peer, tls, plain()?, resident)?,
        after_handshake(peer, tls, counting()?, heap)?,
        after_message(peer, tls, counting()?, heap)?,
    ])
}

type Memory<'a> = &'a mut dyn FnMut(&mut Server) -> io::Result<f64>;

fn after_handshake(peer: &Peer, tls: bool, mut server: Server, memory: Memory) -> io::Result<f64> {
    let target = Target::new(server.port, protocol(peer), tls)?;
    let before = warm(&target, &mut server, memory)?;
    let opened: Vec<Link> = (0..connections(peer)).map(|_| connect(&target)).collect::<io::Result<_>>()?;
    let now = settled(&mut server, memory)?;
    drop(opened);
    Ok((now - before).max(0.0) / connections(peer) as f64)
}

fn after_message(peer: &Peer, tls: bool, mut server: Server, memory: Memory) -> io::Result<f64> {
    let target = Target::new(server.port, protocol(peer), tls)?;
    let before = warm(&target, &mut server, memory)?;
    let mut load = Load::open(&target, connections(peer), MESSAGE, 1)?;
    load.run(Until::Batches(1))?;
    let now = settled(&mut server, memory)?;
    Ok((now - before).max(0.0) / connections(peer) as f64)
}

/// The memory of a server that has had some connections: what these cost it is not the price of one more.
fn warm(target: &Target, server: &mut Server, memory: Memory) -> io::Result<f64> {
    Load::open(target, 50, MESSAGE, 1)?.check()?;
    settled(server, memory)
}

/// The server's memory once it has seen to everything; a library may wait a little before it gives buffers back.
fn settled(server: &mut Server, memory: Memory) -> io::Result<f64> {
    std::thread::sleep(Duration::from_secs(3));
    memory(server)
}
