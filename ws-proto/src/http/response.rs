//! A response as a client reads it.

use alloc::vec::Vec;
use core::fmt;

use super::headers::{Headers, ResponseHead};

/// What a server answered: status, headers, and of a refusal the body as far as it was kept.
///
/// Everything in it comes from the peer: escape it before you print it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Response {
    pub(crate) head: ResponseHead,
    pub(crate) body: Vec<u8>,
    pub(crate) body_complete: bool,
}

impl Response {
    pub(crate) fn new(head: ResponseHead) -> Self {
        Self { head, body: Vec::new(), body_complete: false }
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The reason text behind the status; free text, often empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.head.reason()
    }

    /// The header lines.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.head.headers
    }

    /// The first value of a header, if it is UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)
    }

    /// The body of a refusal: at most `Limits::refusal_body` bytes of it. Transfer coding `chunked` is undone.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether [`Response::body`] is all there was; false if it was cut at the limit, broken off, or malformed.
    #[must_use]
    pub fn body_complete(&self) -> bool {
        self.body_complete
    }
}

impl fmt::Debug for Response {
    /// Escaped, bounded, without secrets, and of the body only the length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status())
            .field("headers", self.headers())
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}
