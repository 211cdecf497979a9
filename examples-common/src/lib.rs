//! What the example programs of the adapters share: their options, what they print, and the chat. An example itself has
//! only what is its adapter's own.
//!
//! What is `async` here is written for any runtime that `ws-adapter` can work with.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod autobahn;
pub mod chat;
mod client;
pub mod connect;
pub mod echo;
mod options;
mod server;
mod terminal;

pub use clap::Parser;
pub use client::ClientOptions;
pub use options::{Compression, Limits};
pub use server::ServerOptions;
pub use terminal::{Lines, at_end, printable};
pub use ws_adapter::ws_proto::http::Target;
