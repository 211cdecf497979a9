//! The frames of hixie-75 and -76.
//!
//! ```text
//! 00 text FF        a message
//! 01..7F .. FF      reserved, delimited
//! 80..FE length ..  reserved, with a length
//! FF 00             Close, since hixie-76
//! ```
//!
//! A length is a row of bytes with seven bits each, the first bits first; the high bit says that another byte follows.

use alloc::vec::Vec;

use crate::error::ProtocolError;

/// Begins text.
pub const TEXT: u8 = 0x00;
/// Ends text; UTF-8 never contains it.
pub const END: u8 = 0xff;
/// Begins what some programs send for binary messages. The drafts reserve it.
pub const BINARY: u8 = 0x80;
/// The closing handshake of hixie-76.
pub const CLOSE: [u8; 2] = [0xff, 0x00];
/// More bytes than any length needs; leading zeros are legal.
const MAX_LENGTH: u8 = 16;

/// A length that is being read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Length {
    value: u64,
    bytes: u8,
}

impl Length {
    /// Reads a byte; gives the length if it was the last.
    ///
    /// # Errors
    /// [`ProtocolError::FrameTooBig`] with the byte that takes it over `most`; [`ProtocolError::LengthNotMinimal`] if it
    /// has more than 16 bytes.
    pub fn push(&mut self, byte: u8, most: u64) -> Result<Option<u64>, ProtocolError> {
        if self.bytes == MAX_LENGTH {
            return Err(ProtocolError::LengthNotMinimal);
        }
        self.bytes += 1;
        let value = self.value.checked_mul(128).and_then(|value| value.checked_add(u64::from(byte & 0x7f)));
        self.value = value.filter(|value| *value <= most).ok_or(ProtocolError::FrameTooBig)?;
        Ok((byte & 0x80 == 0).then_some(self.value))
    }

    /// Appends a length in its shortest form.
    #[expect(clippy::cast_possible_truncation, reason = "seven bits")]
    pub fn encode(len: u64, out: &mut Vec<u8>) {
        for shift in (1..10).rev().map(|group| 7 * group) {
            if len >> shift > 0 {
                out.push(0x80 | (len >> shift & 0x7f) as u8);
            }
        }
        out.push((len & 0x7f) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], most: u64) -> Result<Option<u64>, ProtocolError> {
        let mut length = Length::default();
        for (i, byte) in bytes.iter().enumerate() {
            if let Some(value) = length.push(*byte, most)? {
                assert_eq!(i + 1, bytes.len());
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    #[test]
    fn lengths_are_read_as_they_were_written() {
        for len in [0, 1, 127, 128, 300, 16383, 16384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            Length::encode(len, &mut out);
            assert_eq!(read(&out, u64::MAX), Ok(Some(len)));
            if len > 0 {
                assert_eq!(read(&out, len - 1), Err(ProtocolError::FrameTooBig));
            }
        }
        assert_eq!(read(&[0x80, 0x80, 5], 10), Ok(Some(5)));
        assert_eq!(read(&[0x80; 16], 10), Ok(None));
        assert_eq!(read(&[0x80; 17], 10), Err(ProtocolError::LengthNotMinimal));
        assert_eq!(read(&[0xff; 10], u64::MAX), Err(ProtocolError::FrameTooBig));
    }
}
