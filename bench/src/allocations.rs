//! Counts what is allocated, with an allocator that does.
//!
//! - `one --row ROW --peer NAME --iterations N` prints how often the row allocated.
//! - `serve NAME [tls]` is a server that says for each line of input how many bytes are on the heap.
//! - `heap --row ROW --peer NAME --connections N` prints the bytes on the heap at each stage of the row.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use ws_bench::memory::parse_one;
use ws_bench::{heap, measure, serve, stream};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("heap") => bytes(&arguments),
        Some("serve") => serve::run(&arguments, Some(held)),
        _ => count(&arguments),
    };
    if let Err(error) = done {
        eprintln!("{error}");
        std::process::exit(2);
    }
}

/// The bytes on the heap.
fn held() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

fn count(arguments: &[String]) -> Result<(), String> {
    let (peer, row, iterations) = parse_one(arguments)?;
    let region = Region::new(ALLOCATOR);
    measure::once(peer, &row, iterations);
    let change = region.change();
    println!("{}", change.allocations + change.reallocations);
    Ok(())
}

fn bytes(arguments: &[String]) -> Result<(), String> {
    let (peer, traffic) = heap::parse(arguments)?;
    stream::prepare();
    let mut held = Vec::with_capacity(8);
    let region = Region::new(ALLOCATOR);
    let able = heap::stages(peer, traffic, &mut || {
        let change = region.change();
        held.push(change.bytes_allocated as i64 - change.bytes_deallocated as i64);
    });
    if !able {
        std::process::exit(3);
    }
    println!("{}", held.iter().map(i64::to_string).collect::<Vec<_>>().join(" "));
    Ok(())
}
