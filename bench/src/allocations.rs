//! Prints how often a row allocated: `one --row ROW --peer NAME --iterations N`.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use ws_bench::measure::iterate;
use ws_bench::memory::parse_one;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (peer, row, iterations) = parse_one(&arguments).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2);
    });
    let region = Region::new(ALLOCATOR);
    iterate(peer, &row, iterations);
    let change = region.change();
    println!("{}", change.allocations + change.reallocations);
}
