//! A message encoded once for many connections.

#[cfg(feature = "std")]
use std::sync::{Arc, Mutex, PoisonError};

use alloc::vec::Vec;

use bytes::Bytes;

use super::sender::{Start, opcode};
use crate::message::{IntoMessage, Kind};
use crate::wire::hybi::MAX_HEAD;

/// Names an encoding: the algorithm, its parameters, the reserved bits.
type Key = (&'static str, u64, u8);

/// A message that is encoded once and sent on many connections; clones share the bytes.
///
/// Servers send the shared frame as it is; clients must mask each frame with a key of its own
/// (RFC 6455 section 5.3). Where compression was agreed the message is also compressed once for each set of
/// parameters (level, window, memory level), when it is first sent to such a connection, and the result is shared
/// by all of them. For that it is compressed without regard to other messages. On a connection with context takeover the
/// next ordinary message then can't refer to earlier ones either. Without the feature `std` nothing but the plain frame
/// is shared.
#[derive(Clone, Debug)]
pub struct Prepared {
    kind: Kind,
    compression: Option<bool>,
    plain: Encoded,
    #[cfg(feature = "std")]
    others: Arc<Mutex<Vec<(Key, Encoded)>>>,
}

impl Prepared {
    /// Encodes a message.
    pub fn new(message: impl IntoMessage) -> Self {
        let kind = message.kind();
        let start = Start { opcode: opcode(kind), fin: true, reserved: 0 };
        Self {
            kind,
            compression: message.compression(),
            plain: Encoded::new(start, message.bytes()),
            #[cfg(feature = "std")]
            others: Arc::default(),
        }
    }

    /// Text or binary.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes of the message.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.plain.payload()
    }

    pub(super) fn compression(&self) -> Option<bool> {
        self.compression
    }

    pub(super) fn plain(&self) -> &Encoded {
        &self.plain
    }

    /// The message in this encoding, made with `make` unless it was made before.
    pub(super) fn encoded<E>(&self, key: Key, make: impl FnOnce(&[u8]) -> Result<Encoded, E>) -> Result<Encoded, E> {
        #[cfg(feature = "std")]
        {
            let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, encoded)) = others.iter().find(|(known, _)| *known == key) {
                return Ok(encoded.clone());
            }
            let encoded = make(self.payload())?;
            others.push((key, encoded.clone()));
            Ok(encoded)
        }
        #[cfg(not(feature = "std"))]
        {
            let _ = key;
            make(self.payload())
        }
    }
}

/// A frame as a server sends it, and where in it the payload begins.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    head_len: usize,
    frame: Bytes,
}

impl Encoded {
    pub(super) fn new(start: Start, payload: &[u8]) -> Self {
        let mut head = [0; MAX_HEAD];
        let head_len = start.header(None, payload.len()).encode(&mut head);
        let mut frame = Vec::with_capacity(head_len + payload.len());
        frame.extend_from_slice(head.get(..head_len).unwrap_or_default());
        frame.extend_from_slice(payload);
        Self { head_len, frame: frame.into() }
    }

    pub(super) fn payload(&self) -> &[u8] {
        self.frame.get(self.head_len..).unwrap_or_default()
    }

    pub(super) fn server_frame(&self) -> &Bytes {
        &self.frame
    }
}
