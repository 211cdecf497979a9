//! The part of HTTP/1.1 that the opening handshake needs: heads, headers, hosts, cookies, queries, URLs.
//!
//! Heads are read incrementally and judged byte by byte; a header is looked up in a plain list. Nothing here
//! decides anything about WebSocket: that is the business of [`handshake`](crate::handshake).

pub(crate) mod body;
mod dump;
pub(crate) mod fields;
pub(crate) mod head;
mod headers;
mod host;
pub(crate) mod pairs;
#[cfg(feature = "http")]
pub(crate) mod parts;
mod response;
pub(crate) mod syntax;
mod target;

pub use dump::HeadDump;
pub use fields::HeaderError;
pub use head::HeadError;
pub use headers::Headers;
pub(crate) use headers::{RequestHead, ResponseHead};
pub use host::Host;
pub use response::Response;
pub use target::{Target, TargetError};
