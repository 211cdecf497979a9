//! WebSockets on connections of an HTTP server: [`hyper`], and `axum` which is built on it.
//!
//! The server reads the request; the core judges it, as it judges bytes, and makes the answer. Then the server hands the
//! connection over. The versions are those from hybi-04 on, over HTTP/1.1.
//!
//! What is below the HTTP server stays its business: turn `TCP_NODELAY` on when you accept a socket, and limit how long a
//! request head may take. `Timers::handshake` is not used.

#[cfg(feature = "axum")]
pub mod axum;
pub mod hyper;
