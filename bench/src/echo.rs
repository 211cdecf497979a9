//! The part over loopback: what an echo costs a server.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::load::{Load, Protocol, Target, Until};
use crate::measure::median;
use crate::memory::on_path;
use crate::options::Options;
use crate::peers::{self, Peer, Side};
use crate::process::Server;
use crate::rows::{ECHO, ECHO_CONNECTIONS, EchoRow};
use crate::serve::{LOAD_PROCESSOR, pin};
use crate::table::{self, Table};

/// The servers that are wanted.
pub fn servers(options: &Options) -> Vec<&'static Peer> {
    peers::ALL.iter().filter(|peer| peer.serve.is_some() && options.wants_peer(peer.name)).collect()
}

/// What the bytes of a server's connections are.
pub fn protocol(peer: &Peer) -> Protocol {
    match peer.side {
        Side::Reference => Protocol::Raw,
        Side::Ours | Side::Peer => Protocol::WebSocket,
    }
}

/// Whether the library has this row.
fn has(peer: &Peer, row: &EchoRow) -> bool {
    peer.serve.is_some_and(|serve| serve.tls || !row.tls)
}

/// Measures and prints. A server that fails has no value in its row.
pub fn run(options: &Options) {
    pin(LOAD_PROCESSOR);
    let peers = servers(options);
    let rows: Vec<&EchoRow> = ECHO.iter().filter(|row| options.wants_row(row.name)).collect();
    let (rounds, time) = options.echo_rounds();
    let (mut cpu, mut rates, mut peaks, mut calls) = (vec![], vec![], vec![], vec![]);
    for row in &rows {
        let mut samples: Vec<Vec<Sample>> = peers.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (samples, peer) in samples.iter_mut().zip(&peers).filter(|(_, peer)| has(peer, row)) {
                match sample(peer, row, time) {
                    Ok(sample) => samples.push(sample),
                    Err(error) => eprintln!("{} in {}: {error}", peer.name, row.name),
                }
            }
        }
        let column = |value: &dyn Fn(&Sample) -> f64| {
            let medians = samples.iter().map(|samples| median(samples.iter().map(value).collect()));
            (row.name.to_owned(), medians.map(|value| value.is_finite().then_some(value)).collect())
        };
        cpu.push(column(&|sample| sample.microseconds));
        rates.push(column(&|sample| sample.rate / 1000.0));
        peaks.push(column(&|sample| sample.peak as f64 / 1024.0 / 1024.0));
        let counted = peers.iter().map(|peer| has(peer, row).then(|| system_calls(peer, row)).flatten()).collect();
        calls.push((row.name.to_owned(), counted));
    }
    let between = table::between_adapters(&peers, &cpu);
    let print = |title: &str, digits, rows| {
        let most_is_best = title.contains("per second");
        table::print_by_family(&Table { title, most_is_best, digits, peers: &peers, rows });
    };
    print("Echo: server processor time per message (us)", 2, cpu);
    print("Echo: system calls per message", 2, calls);
    print("Echo: peak resident memory (MiB)", 1, peaks);
    print("Echo: thousand messages per second (of this load; not a limit)", 1, rates);
    table::print_titled("Echo: processor time beside the same on tokio", &between);
}

struct Sample {
    microseconds: f64,
    rate: f64,
    peak: u64,
}

fn start(peer: &Peer, row: &EchoRow) -> io::Result<Server> {
    Server::start(peer.name, row.tls)
}

fn open(server: &Server, peer: &Peer, row: &EchoRow) -> io::Result<Load> {
    let target = Target::new(server.port, protocol(peer), row.tls)?;
    let mut load = Load::open(&target, ECHO_CONNECTIONS, row.payload, row.depth)?;
    load.check()?;
    Ok(load)
}

fn sample(peer: &Peer, row: &EchoRow, time: Duration) -> io::Result<Sample> {
    let server = start(peer, row)?;
    let mut load = open(&server, peer, row)?;
    load.run(Until::Elapsed(time / 5))?;
    let before = server.processor_time()?;
    let start = std::time::Instant::now();
    let messages = load.run(Until::Elapsed(time))? as f64;
    let elapsed = start.elapsed();
    let used = server.processor_time()? - before;
    Ok(Sample {
        microseconds: used.as_nanos() as f64 / 1000.0 / messages,
        rate: messages / elapsed.as_secs_f64(),
        peak: server.peak_resident()?,
    })
}

/// System calls of the server per message, by `perf` or else by `strace`.
fn system_calls(peer: &Peer, row: &EchoRow) -> Option<f64> {
    let server = start(peer, row).ok()?;
    let mut load = open(&server, peer, row).ok()?;
    let batches = (20_000_000 / (row.payload * row.depth + 1000) / ECHO_CONNECTIONS).clamp(2, 200);
    let id = server.id().to_string();
    let with_perf = ["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", &id];
    let with_strace = ["-f", "-c", "-U", "calls,name", "-p", &id];
    let programs: [(&str, &[&str]); 2] = [("perf", &with_perf), ("strace", &with_strace)];
    programs.into_iter().find_map(|(program, arguments)| {
        let calls = counted(program, arguments, || load.run(Until::Batches(batches as u64)).ok())?;
        Some(calls.0 / calls.1 as f64)
    })
}

/// Runs `work` while `program` counts; what it counted and what the work returned.
fn counted(program: &str, arguments: &[&str], work: impl FnOnce() -> Option<u64>) -> Option<(f64, u64)> {
    if !on_path(program) {
        return None;
    }
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    // Neither program says in a form to rely on that it has attached.
    std::thread::sleep(Duration::from_millis(500));
    let done = work();
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).ok()?;
    let output = child.wait_with_output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find(|line| line.contains("raw_syscalls") || line.trim_end().ends_with("total"))?;
    let count = line.trim().split([',', ' ']).next()?.parse().ok()?;
    Some((count, done?))
}
