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
/// The most bytes of a length: 63 bits. Leading zeros are legal, and count.
const MAX_LENGTH: u8 = 9;

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
    /// [`ProtocolError::FrameTooBig`] with the byte that takes it over `most` or 63 bits;
    /// [`ProtocolError::LengthNotMinimal`] with the ninth byte if zeros lead and another byte is to follow.
    pub fn push(&mut self, byte: u8, most: u64) -> Result<Option<u64>, ProtocolError> {
        self.bytes = self.bytes.saturating_add(1);
        let value = self.value.checked_mul(128).and_then(|value| value.checked_add(u64::from(byte & 0x7f)));
        self.value = value.filter(|value| *value <= most).ok_or(ProtocolError::FrameTooBig)?;
        let ends = byte & 0x80 == 0;
        if !ends && self.bytes >= MAX_LENGTH {
            let full = self.value >> (7 * (MAX_LENGTH - 1)) > 0;
            return Err(if full { ProtocolError::FrameTooBig } else { ProtocolError::LengthNotMinimal });
        }
        Ok(ends.then_some(self.value))
    }

    /// Appends a length of at most 63 bits in its shortest form.
    pub fn encode(len: u64, out: &mut Vec<u8>) {
        for shift in (1..u32::from(MAX_LENGTH)).rev().map(|group| 7 * group) {
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
    use alloc::vec;

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
        for len in [0, 1, 127, 128, 300, 16383, 16384, u64::from(u32::MAX), (1 << 63) - 1] {
            let mut out = Vec::new();
            Length::encode(len, &mut out);
            assert_eq!(read(&out, u64::MAX), Ok(Some(len)));
            if len > 0 {
                assert_eq!(read(&out, len - 1), Err(ProtocolError::FrameTooBig));
            }
        }
        assert_eq!(read(&[0x80, 0x80, 5], 10), Ok(Some(5)));
    }

    #[test]
    fn a_length_ends_with_its_ninth_byte() {
        for bytes in 0..20 {
            let zeros = read(&[vec![0x80; bytes], vec![5]].concat(), 10);
            let ones = |most| read(&vec![0xff; bytes], most);
            if bytes < 9 {
                assert_eq!(zeros, Ok(Some(5)));
                assert_eq!(ones(u64::MAX), Ok(None));
            } else {
                assert_eq!(zeros, Err(ProtocolError::LengthNotMinimal));
                assert_eq!(ones(u64::MAX), Err(ProtocolError::FrameTooBig));
            }
            if bytes > 0 {
                assert_eq!(ones(10), Err(ProtocolError::FrameTooBig));
            }
        }
        // Decided by the ninth byte, not the tenth.
        assert_eq!(read(&[0x80; 8], 10), Ok(None));
        assert_eq!(read(&[0x80; 9], 10), Err(ProtocolError::LengthNotMinimal));
    }
}
