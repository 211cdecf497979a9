//! WebSockets on futures-io.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
