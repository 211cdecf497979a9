//! The caller's bytes on their way in.

use core::mem;

/// Bytes that arrived from the peer, in the caller's buffer.
///
/// The machine takes from the front and unmasks in place, so payloads that lie whole in the buffer are
/// lent out without a copy. When a `poll` returns nothing more to do, all of it has been consumed.
///
/// ```
/// use ws_proto::Input;
/// let mut scratch = [0x81, 0x00];
/// let input = Input::new(&mut scratch);
/// assert_eq!(input.len(), 2);
/// ```
#[derive(Debug, Default)]
pub struct Input<'i> {
    bytes: &'i mut [u8],
}

impl<'i> Input<'i> {
    /// The bytes just received, in order. They are changed in place.
    #[must_use]
    pub fn new(bytes: &'i mut [u8]) -> Self {
        Self { bytes }
    }

    /// No bytes: to let the machine report what does not depend on input.
    #[must_use]
    pub fn empty() -> Self {
        Self { bytes: &mut [] }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether all bytes have been consumed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes not consumed yet.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes
    }

    /// Takes the first `n` bytes, or all there are.
    #[inline]
    pub(crate) fn take(&mut self, n: usize) -> &'i mut [u8] {
        let bytes = mem::take(&mut self.bytes);
        let (front, rest) = bytes.split_at_mut(n.min(bytes.len()));
        self.bytes = rest;
        front
    }

    /// The first `n` bytes, or all there are, left where they are.
    pub(crate) fn peek_mut(&mut self, n: usize) -> &mut [u8] {
        let n = n.min(self.bytes.len());
        self.bytes.get_mut(..n).unwrap_or_default()
    }

    /// Takes everything.
    pub(crate) fn take_all(&mut self) -> &'i mut [u8] {
        mem::take(&mut self.bytes)
    }
}
