//! What a handshake has to write.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

/// Bytes on their way out, and how many of them the transport has taken.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, written: 0 }
    }

    /// More to write, behind what is left.
    #[cfg(feature = "legacy")]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What is left to write.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    pub(super) fn advance(&mut self, n: usize) {
        self.written = self.written.saturating_add(n).min(self.bytes.len());
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Gives the rest away.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let Self { bytes, written } = core::mem::take(self);
        Some(Bytes::from(bytes).slice(written..)).filter(|rest| !rest.is_empty())
    }
}

impl fmt::Debug for Outbox {
    /// Without the bytes, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.rest().len())
    }
}
