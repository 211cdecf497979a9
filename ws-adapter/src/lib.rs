//! What the adapters of [`ws_proto`] share.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "tls")]
pub mod tls;
