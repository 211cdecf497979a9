//! The part in memory: processor time, allocations and instructions per message.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::heap;
use crate::measure::{Runner, has, median};
use crate::options::Options;
use crate::peers::{self, Peer};
use crate::rows::{self, MemoryRow, Work};
use crate::table::Table;

/// Measures and prints.
pub fn run(options: &Options) {
    let rows = rows::memory(|name| options.wants_row(name));
    let peers: Vec<&'static Peer> = peers::ALL
        .iter()
        .filter(|peer| options.wants_peer(peer.name))
        .filter(|peer| rows.iter().any(|row| has(peer, row)))
        .collect();
    let table = |title, digits, measure: &dyn Fn(&MemoryRow) -> Vec<Option<f64>>| {
        let rows = rows.iter().map(|row| (row.name.to_owned(), measure(row)));
        let rows = rows.filter(|(_, values): &(_, Vec<_>)| values.iter().any(Option::is_some)).collect();
        Table { title, most_is_best: false, digits, peers: &peers, rows }.print();
    };
    table("In memory: processor time per message (ns)", 1, &|row| times(row, &peers, options));
    table("In memory: bytes written per compressed message", 1, &|row| written(row, &peers));
    let each = |row: &MemoryRow, count: &dyn Fn(&Peer, &MemoryRow) -> Option<f64>| {
        let counted = peers.iter().map(|peer| has(peer, row).then(|| count(peer, row)).flatten());
        counted.collect()
    };
    table("In memory: allocations per message", 2, &|row| each(row, &allocations));
    if !options.quick && on_path("valgrind") {
        table("In memory: instructions per message", 0, &|row| each(row, &instructions));
    }
    heap::run(options);
}

/// Each library's median over rounds in which all take turns.
fn times(row: &MemoryRow, peers: &[&'static Peer], options: &Options) -> Vec<Option<f64>> {
    let (rounds, time) = options.memory_rounds();
    let ready = |peer: &&'static Peer| {
        has(peer, row).then(|| {
            let mut runner = Runner::new(peer, row);
            let iterations = runner.calibrate(time);
            (runner, iterations)
        })
    };
    let mut runners: Vec<Option<(Runner, u64)>> = peers.iter().map(ready).collect();
    let mut samples = vec![Vec::new(); peers.len()];
    for _ in 0..rounds {
        for (samples, runner) in samples.iter_mut().zip(&mut runners) {
            if let Some((runner, iterations)) = runner {
                samples.push(runner.nanoseconds(*iterations));
            }
        }
    }
    let medians = samples.into_iter().map(median);
    medians.map(|value| value.is_finite().then_some(value)).collect()
}

/// What each library made of the messages.
fn written(row: &MemoryRow, peers: &[&'static Peer]) -> Vec<Option<f64>> {
    let deflate = matches!(row.work, Work::Deflate(_));
    let one = |peer: &&'static Peer| (deflate && has(peer, row)).then(|| Runner::new(peer, row).written()).flatten();
    peers.iter().map(one).collect()
}

/// This program's file, or the one beside it with that ending.
pub fn program(suffix: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("the path of this program").into_os_string();
    path.push(suffix);
    path.into()
}

fn one(mut command: Command, peer: &Peer, row: &MemoryRow, iterations: u64) -> Command {
    command
        .args(["one", "--row", row.name, "--peer", peer.name, "--iterations"])
        .arg(iterations.to_string())
        .stdin(Stdio::null());
    command
}

/// Iterations that take a few milliseconds, so that they can be counted exactly but not for long.
fn counted_iterations(peer: &Peer, row: &MemoryRow) -> u64 {
    Runner::new(peer, row).calibrate(Duration::from_millis(2)).clamp(4, 2000)
}

fn allocations(peer: &Peer, row: &MemoryRow) -> Option<f64> {
    let iterations = counted_iterations(peer, row);
    let count = |iterations| {
        let command = one(Command::new(program("-allocations")), peer, row, iterations);
        let output = { command }.output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse::<f64>().ok()
    };
    Some((count(2 * iterations)? - count(iterations)?) / iterations as f64)
}

/// What callgrind counts for twice the iterations less what it counts for once.
fn instructions(peer: &Peer, row: &MemoryRow) -> Option<f64> {
    let iterations = counted_iterations(peer, row);
    let count = |iterations| {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program(""));
        let output = one(valgrind, peer, row, iterations).output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = text.lines().find_map(|line| line.split_once("Collected :"))?;
        line.1.trim().parse::<f64>().ok()
    };
    Some((count(2 * iterations)? - count(iterations)?) / iterations as f64)
}

/// Whether there is such a program.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The row, library and iterations of a `one` command line.
///
/// # Errors
///
/// A line that says what is wrong with it.
pub fn parse_one(arguments: &[String]) -> Result<(&'static Peer, MemoryRow, u64), String> {
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        let value = at.and_then(|at| arguments.get(at + 1));
        value.ok_or(format!("{name} is missing"))
    };
    let peer = peers::named(value("--peer")?).ok_or("no such library")?;
    let name = value("--row")?;
    let row = rows::memory(|other| other == name).pop().ok_or("no such row")?;
    let iterations = value("--iterations")?.parse().map_err(|_| "iterations are a number")?;
    if !has(peer, &row) {
        return Err("the library doesn't have this row".to_owned());
    }
    Ok((peer, row, iterations))
}
