//! Settings of TLS.
