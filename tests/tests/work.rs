//! The work for a stream grows no faster than the stream, however it is cut: counted in instructions.
//!
//! Valgrind counts; where it is not installed this says so and passes. The other measures of work (polls, and bytes
//! asked of the allocator) are asserted by the fuzz bodies and need no tool.

use std::process::Command;

const SHAPES: [&str; 24] = [
    "text-in-bytes",
    "text-in-sevens",
    "ascii-in-bytes",
    "binary-to-a-client-in-bytes",
    "hixie-text-in-bytes",
    "hixie-texts",
    "hixie-reserved-in-bytes",
    "hybi-04-text-in-bytes",
    "hybi-04-texts-in-bytes",
    "one-byte-fragments",
    "empty-fragments",
    "small-messages",
    "pings-that-wait",
    "pings-in-bytes",
    "after-a-failure",
    "a-promise-in-bytes",
    "sending-and-writing-bytes",
    "finished-streams",
    "empty-stored-blocks",
    "empty-fixed-blocks",
    "inflating-in-bytes",
    "a-bomb",
    "small-messages-with-a-small-window",
    "deflating-pieces",
];

/// The instructions of a run; `None` without Valgrind.
fn instructions(shape: &str, n: usize) -> Option<u64> {
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", env!("CARGO_BIN_EXE_work"), shape])
        .arg(n.to_string())
        .output()
        .ok()?;
    let report = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{report}");
    let count = report.lines().find_map(|line| line.split_once("Collected : "))?.1;
    Some(count.trim().parse().expect("a number of instructions"))
}

#[test]
fn the_work_is_linear_in_instructions() {
    let n = 2000;
    for shape in SHAPES {
        let Some(none) = instructions(shape, 0) else {
            println!("skipped: there is no valgrind on this machine");
            return;
        };
        let of = |n| instructions(shape, n).expect("it ran before") - none;
        let (one, two, four) = (of(n), of(2 * n), of(4 * n));
        println!("{shape}: {one} {two} {four}, {} for each byte", four / (4 * n as u64));
        for (less, more) in [(one, two), (two, four)] {
            assert!(more as f64 <= 2.2 * less as f64, "{shape}: {one} {two} {four}");
        }
        // Unoptimised code takes some hundred instructions for a byte that comes alone.
        assert!(four / (4 * n as u64) < 20_000, "{shape}: {four} for {}", 4 * n);
    }
}
