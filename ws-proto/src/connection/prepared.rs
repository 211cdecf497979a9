//! A message encoded once for many connections.

use alloc::vec::Vec;

use bytes::Bytes;

use super::sender::opcode;
use crate::message::{IntoMessage, Kind};
use crate::wire::hybi::{Header, MAX_HEAD};

/// A message that is encoded once and sent on many connections; clones share the bytes.
///
/// Servers send the shared frame as it is; clients must mask each frame with a key of its own
/// (RFC 6455 section 5.3), so for them it saves nothing.
#[derive(Clone, Debug)]
pub struct Prepared {
    kind: Kind,
    head_len: usize,
    frame: Bytes,
}

impl Prepared {
    /// Encodes a message.
    pub fn new(message: impl IntoMessage) -> Self {
        let payload = message.bytes();
        let mut head = [0; MAX_HEAD];
        let header =
            Header { fin: true, rsv: 0, opcode: opcode(message.kind()), mask: None, len: payload.len() as u64 };
        let head_len = header.encode(&mut head);
        let mut frame = Vec::with_capacity(head_len + payload.len());
        frame.extend_from_slice(head.get(..head_len).unwrap_or_default());
        frame.extend_from_slice(payload);
        Self { kind: message.kind(), head_len, frame: frame.into() }
    }

    /// Text or binary.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes of the message.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.frame.get(self.head_len..).unwrap_or_default()
    }

    pub(super) fn server_frame(&self) -> &Bytes {
        &self.frame
    }
}
