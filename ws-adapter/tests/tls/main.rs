//! The settings of TLS, by handshakes in memory.
#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]

mod certificates;
mod handshake;
mod pair;
mod platform_roots;
mod reload;
mod settings;
