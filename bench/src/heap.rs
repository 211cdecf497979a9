//! What a connection that compresses keeps on the heap.

use std::process::Command;

use crate::compression::{Codec, Traffic, Turns, traffic};
use crate::memory::program;
use crate::options::Options;
use crate::peers::{self, Peer};
use crate::table::Table;

/// The rows: what `--rows` matches, and how the connections compress.
const CASES: &[(&str, Codec)] = &[
    ("heap-none", Codec::None),
    ("heap-takeover", Codec::window_15(true)),
    ("heap-takeover-window-12", Codec::window(12)),
    ("heap-takeover-window-9", Codec::window(9)),
    ("heap-takeover-shared", Codec::SHARED),
    ("heap-alone", Codec::window_15(false)),
];

/// When the heap is looked at.
const STAGES: [&str; 3] = ["opened", "1 KiB each way", "64 KiB each way"];

const MESSAGE: usize = 1024;

/// Two numbers of connections: the difference is what one more costs.
const CONNECTIONS: [usize; 2] = [32, 64];

/// Measures and prints.
pub fn run(options: &Options) {
    let cases: Vec<&(&str, Codec)> = CASES.iter().filter(|(name, _)| options.wants_row(name)).collect();
    let wanted = |peer: &&Peer| options.wants_peer(peer.name) && peer.compressed.is_some();
    let peers: Vec<&'static Peer> = peers::ALL.iter().filter(wanted).collect();
    let (mut each, mut common) = (Vec::new(), Vec::new());
    for (name, _) in cases {
        let counted: Vec<Option<[Stages; 2]>> = peers
            .iter()
            .map(|peer| Some([counted(peer, name, CONNECTIONS[0])?, counted(peer, name, CONNECTIONS[1])?]))
            .collect();
        let per_connection = |[few, many]: &[Stages; 2], stage: usize| {
            (many[stage] - few[stage]) / (CONNECTIONS[1] - CONNECTIONS[0]) as f64
        };
        for (stage, when) in STAGES.iter().enumerate() {
            let values = counted.iter().map(|counted| Some(per_connection(counted.as_ref()?, stage)));
            each.push((format!("{name}, {when}"), values.collect()));
        }
        let last = STAGES.len() - 1;
        let rest =
            |counted: &[Stages; 2]| (counted[1][last] - CONNECTIONS[1] as f64 * per_connection(counted, last)) / 1024.0;
        common.push(((*name).to_owned(), counted.iter().map(|counted| counted.as_ref().map(rest)).collect()));
    }
    let table = |title, digits, rows| Table { title, most_is_best: false, digits, peers: &peers, rows }.print();
    table("Compression: heap bytes per connection", 0, each);
    table("Compression: heap of all connections of a thread together, besides (KiB)", 1, common);
}

type Stages = [f64; STAGES.len()];

fn counted(peer: &Peer, case: &str, connections: usize) -> Option<Stages> {
    let arguments = ["heap", "--row", case, "--peer", peer.name, "--connections"];
    let mut command = Command::new(program("-allocations"));
    let output = command.args(arguments).arg(connections.to_string()).output().ok()?;
    if !output.status.success() {
        // A library that can't do this says so with this; anything else is a fault.
        assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    let values: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    values.try_into().ok()
}

/// The library and the traffic of a `heap` command line.
///
/// # Errors
///
/// A line that says what is wrong with it.
pub fn parse(arguments: &[String]) -> Result<(&'static Peer, Traffic), String> {
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)).ok_or(format!("{name} is missing"))
    };
    let peer = peers::named(value("--peer")?).ok_or("no such library")?;
    let row = value("--row")?;
    let (_, codec) = CASES.iter().find(|(name, _)| name == row).ok_or("no such row")?;
    let connections = value("--connections")?.parse().map_err(|_| "connections are a number")?;
    Ok((peer, traffic(*codec, MESSAGE, connections)))
}

/// Opens the connections, lets each receive and send one message, and then as many as there are up to 64 KiB; calls
/// `look` after each of the three. False if the library can't do that.
pub fn stages(peer: &Peer, traffic: Traffic, look: &mut dyn FnMut()) -> bool {
    let Some(mut turns) = Turns::open(peer, traffic) else {
        return false;
    };
    let connections = turns.connections() as u64;
    look();
    for messages in [1, 64 * 1024 / MESSAGE as u64 - 1] {
        for _ in 0..messages {
            turns.receive(connections);
            turns.send(connections);
        }
        look();
    }
    true
}
