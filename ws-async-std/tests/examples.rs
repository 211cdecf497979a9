//! The example programs, started and watched.
#![cfg(all(unix, any(feature = "async-std", feature = "smol")))]

#[path = "../../examples-common/tests/suite/mod.rs"]
mod suite;

use ws_async_std::handshake::accept_value;

/// What the names of the programs end with.
const SUFFIX: &str = "_async_std";
