//! WebSockets on threads.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
