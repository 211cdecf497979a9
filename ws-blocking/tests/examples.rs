//! The example programs, started and watched.
#![cfg(unix)]

#[path = "../../examples-common/tests/suite/mod.rs"]
mod suite;

use ws_blocking::handshake::accept_value;

/// What the names of the programs end with.
const SUFFIX: &str = "_blocking";
