//! How the buffer of a message grows: never to much more than twice of what has arrived.

use alloc::vec::Vec;

use crate::error::ProtocolError;

/// Room that may be made beyond what has arrived.
const STEP: usize = 16 * 1024;

/// Makes room for `bytes`, and for more of the `to_come` bytes that follow at most.
#[inline]
pub(crate) fn make(buffer: &mut Vec<u8>, bytes: usize, to_come: u64) -> Result<(), ProtocolError> {
    if bytes > buffer.capacity() - buffer.len() { grow(buffer, bytes, to_come) } else { Ok(()) }
}

#[cold]
fn grow(buffer: &mut Vec<u8>, bytes: usize, to_come: u64) -> Result<(), ProtocolError> {
    let need = buffer.len() + bytes;
    let ahead = usize::try_from(to_come).unwrap_or(usize::MAX).min(need.max(STEP));
    buffer.try_reserve_exact(bytes.saturating_add(ahead)).map_err(|_| ProtocolError::OutOfMemory)
}
