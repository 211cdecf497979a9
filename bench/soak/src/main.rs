//! Connects and disconnects for a while, politely and not, and looks whether threads, tasks, descriptors and heap
//! return to where they were.
//!
//! ```text
//! ws-soak [--seconds N] [--adapter NAME] [--only VISIT]
//! ```
//!
//! Without `--adapter` each adapter has its turn, in a process of its own. Servers are on loopback: TCP, TLS and a Unix
//! socket. `--only` is for the search of what stays behind: all visits are of that kind. The status is 1 when something stayed behind, or when a polite visitor was not served as it should be.

mod adapter;
mod engine;
#[path = "../../src/frames.rs"]
#[allow(dead_code)]
mod frames;
mod run;
mod state;
mod threads;
mod visits;

use std::alloc::System;
use std::process::{Command, ExitCode};
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

struct Options {
    time: Duration,
    adapter: Option<String>,
    only: Option<String>,
}

fn options() -> Result<Options, String> {
    let mut options = Options { time: Duration::from_secs(60), adapter: None, only: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or(format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--seconds" => {
                let seconds = value.parse().map_err(|_| "--seconds is a number")?;
                options.time = Duration::from_secs(seconds);
            }
            "--only" => options.only = Some(value),
            "--adapter" => options.adapter = Some(value),
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let ok = match &options.adapter {
        Some(name) => one(name, &options),
        None => all(),
    };
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(name: &str, options: &Options) -> bool {
    match adapter::start(name).and_then(|adapter| run::run(name, adapter, options.only.as_deref(), options.time)) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("{name}: {error}");
            false
        }
    }
}

fn all() -> bool {
    let (mut passed, mut failed) = (0, 0);
    for name in adapter::NAMES {
        let child = std::env::current_exe().and_then(|program| {
            Command::new(program).args(std::env::args().skip(1)).args(["--adapter", name]).status()
        });
        if child.is_ok_and(|status| status.success()) { passed += 1 } else { failed += 1 }
    }
    println!("{passed} passed, {failed} failed");
    failed == 0
}
