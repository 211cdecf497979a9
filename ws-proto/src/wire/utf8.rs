//! UTF-8 that arrives in pieces (RFC 6455 sections 5.6 and 8.1).

/// The bytes are not UTF-8, and no further byte can make them so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("not UTF-8")]
pub struct Utf8Error;

/// Checks text in pieces; a character may be cut by the end of a piece.
///
/// The verdict comes with the first byte that makes the text impossible, not at the end.
///
/// ```
/// use ws_proto::wire::utf8::Utf8;
/// let mut text = Utf8::new();
/// assert!(text.push(b"\xe2\x82").is_ok()); // may still become U+20AC
/// assert!(text.finish().is_err()); // but is not there yet
/// assert!(text.push(b"\xac").is_ok());
/// assert!(text.finish().is_ok());
/// assert!(text.push(b"\xed\xa0").is_err()); // a surrogate, decided by its second byte
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8 {
    /// The bytes of a character that is not complete, `cut_len` of them.
    cut: [u8; 4],
    cut_len: u8,
}

impl Utf8 {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { cut: [0; 4], cut_len: 0 }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// If the text so far can't become UTF-8, whatever follows.
    #[inline]
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Utf8Error> {
        if self.cut_len == 0 && piece.is_ascii() {
            return Ok(());
        }
        self.push_any(piece)
    }

    fn push_any(&mut self, mut piece: &[u8]) -> Result<(), Utf8Error> {
        while self.cut_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            self.push_byte(byte)?;
            piece = rest;
        }
        let whole = piece.len() - cut_at_end(piece);
        let (whole, cut) = piece.split_at_checked(whole).unwrap_or((piece, &[]));
        if !is_utf8(whole) {
            return Err(Utf8Error);
        }
        for &byte in cut {
            self.push_byte(byte)?;
        }
        Ok(())
    }

    /// Whether the text so far ends between characters.
    #[inline]
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.cut_len == 0
    }

    /// The text ends here.
    ///
    /// # Errors
    /// If it ends inside a character.
    pub const fn finish(&self) -> Result<(), Utf8Error> {
        if self.is_complete() { Ok(()) } else { Err(Utf8Error) }
    }

    /// One byte of a character that was or will be cut.
    fn push_byte(&mut self, byte: u8) -> Result<(), Utf8Error> {
        let at = usize::from(self.cut_len);
        let [first, ..] = self.cut;
        let allowed = match (at, first) {
            (0, _) => byte < 0x80 || (0xc2..=0xf4).contains(&byte),
            (1, 0xe0) => (0xa0..=0xbf).contains(&byte),
            (1, 0xed) => (0x80..=0x9f).contains(&byte),
            (1, 0xf0) => (0x90..=0xbf).contains(&byte),
            (1, 0xf4) => (0x80..=0x8f).contains(&byte),
            _ => (0x80..=0xbf).contains(&byte),
        };
        if !allowed {
            return Err(Utf8Error);
        }
        if let Some(slot) = self.cut.get_mut(at) {
            *slot = byte;
        }
        let [first, ..] = self.cut;
        self.cut_len = if at + 1 >= width(first) { 0 } else { self.cut_len + 1 };
        Ok(())
    }
}

/// How many bytes the character has that begins with `first`.
const fn width(first: u8) -> usize {
    match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    }
}

/// How many bytes at the end belong to a character that goes on after it.
fn cut_at_end(piece: &[u8]) -> usize {
    for (back, &byte) in piece.iter().rev().take(3).enumerate() {
        match byte {
            0x80..=0xbf => {}
            _ if width(byte) > back + 1 => return back + 1,
            _ => return 0,
        }
    }
    0
}

/// Whether a whole text is UTF-8.
#[inline]
pub(crate) fn is_utf8(text: &[u8]) -> bool {
    const PAD: usize = 64;
    if text.len() < PAD {
        // The wide validator is slow on what does not fill its block, and ASCII changes no verdict
        // unless the text ends inside a character, which one more byte brings to light.
        let mut padded = [0; PAD];
        if let Some(start) = padded.get_mut(..text.len()) {
            start.copy_from_slice(text);
        }
        return simdutf8::basic::from_utf8(&padded).is_ok();
    }
    simdutf8::basic::from_utf8(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: every prefix of a text that may still become valid is accepted, nothing else.
    fn reference(text: &[u8]) -> Result<(), usize> {
        for end in 1..=text.len() {
            if let Err(error) = core::str::from_utf8(&text[..end])
                && error.error_len().is_some()
            {
                return Err(end);
            }
        }
        Ok(())
    }

    fn check(text: &[u8]) {
        let expected = reference(text);
        let mut bytewise = Utf8::new();
        let mut failed = Ok(());
        for (i, byte) in text.iter().enumerate() {
            if bytewise.push(&[*byte]).is_err() {
                failed = Err(i + 1);
                break;
            }
        }
        assert_eq!(failed, expected, "{text:x?}");
        for cut in 0..=text.len() {
            let mut parts = Utf8::new();
            let got = parts.push(&text[..cut]).and_then(|()| parts.push(&text[cut..]));
            assert_eq!(got.is_ok(), expected.is_ok(), "{text:x?} cut at {cut}");
            if got.is_ok() {
                assert_eq!(parts.finish().is_ok(), core::str::from_utf8(text).is_ok(), "{text:x?}");
            }
        }
    }

    #[test]
    fn threat_018_every_boundary_of_every_form_is_decided_at_its_byte() {
        let edges = [
            0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
            0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
        ];
        for a in edges {
            check(&[a]);
            for b in edges {
                check(&[a, b]);
                for c in edges {
                    check(&[a, b, c]);
                    if !cfg!(miri) {
                        for d in edges {
                            check(&[a, b, c, d]);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn long_texts() {
        let text = "κόσμε, 水, 𝄞 and plain words ".repeat(20);
        check(text.as_bytes());
        let mut broken = text.clone().into_bytes();
        let at = broken.len() / 2;
        broken[at] = 0xff;
        check(&broken);
    }

    #[test]
    fn short_text_is_padded_without_changing_the_verdict() {
        assert!(!is_utf8(b"abc\xe2\x82"));
        assert!(is_utf8("abc\u{20ac}".as_bytes()));
        assert!(!is_utf8(&[0xc3; 63]));
    }
}
