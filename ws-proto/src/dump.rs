//! Frames and payloads for people: bounded, escaped, never more than a few lines.

use core::fmt;

use crate::wire::hybi::{Header, MaskRule, Rules};

/// How many payload bytes are shown.
const SHOWN: usize = 64;

/// Payload bytes for `Debug`: the length and the first 64 in hex.
pub(crate) fn bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    write!(f, "{} bytes", bytes.len())?;
    for (i, byte) in bytes.iter().take(SHOWN).enumerate() {
        f.write_str(if i == 0 { ": " } else { " " })?;
        write!(f, "{byte:02x}")?;
    }
    if bytes.len() > SHOWN { f.write_str(" ...") } else { Ok(()) }
}

/// Text for `Debug`: the first 64 bytes, quoted, with everything escaped that is not printable ASCII.
pub(crate) fn text(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    let shown = text.get(..SHOWN).unwrap_or(text);
    write!(f, "\"{}\"", shown.escape_ascii())?;
    if text.len() > SHOWN { write!(f, "... ({} bytes)", text.len()) } else { Ok(()) }
}

/// Prints bytes of the wire as a table of frames, for logs and bug reports.
///
/// At most 16 frames and 64 payload bytes of each are shown; masked payloads are shown unmasked.
/// Bytes that are no frame are said to be so. It never panics.
///
/// ```
/// use ws_proto::FrameDump;
/// let dump = FrameDump::new(b"\x81\x05Hello").to_string();
/// assert_eq!(dump, "fin Text len=5 | 48 65 6c 6c 6f | \"Hello\"\n");
/// ```
#[derive(Clone, Copy)]
pub struct FrameDump<'b>(&'b [u8]);

impl<'b> FrameDump<'b> {
    /// The bytes as they pass on the wire, from the start of a frame.
    #[must_use]
    pub const fn new(wire: &'b [u8]) -> Self {
        Self(wire)
    }
}

impl fmt::Display for FrameDump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = Rules { rsv: 7, long_lengths: true, ..Rules::new(MaskRule::Any) };
        let mut rest = self.0;
        for _ in 0..16 {
            if rest.is_empty() {
                return Ok(());
            }
            let (header, used) = match Header::decode(rest, &rules) {
                Ok(Some(frame)) => frame,
                Ok(None) => return writeln!(f, "incomplete head | {}", Hex(rest)),
                Err(error) => return writeln!(f, "no frame ({error}) | {}", Hex(rest)),
            };
            let body = rest.get(used..).unwrap_or_default();
            let len = usize::try_from(header.len).unwrap_or(usize::MAX).min(body.len());
            let (payload, after) = body.split_at_checked(len).unwrap_or((body, &[]));
            frame(f, &header, payload)?;
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { writeln!(f, "... {} more bytes", rest.len()) }
    }
}

impl fmt::Debug for FrameDump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn frame(f: &mut fmt::Formatter<'_>, header: &Header, payload: &[u8]) -> fmt::Result {
    f.write_str(if header.fin { "fin" } else { "more" })?;
    if header.rsv != 0 {
        write!(f, " rsv={:03b}", header.rsv)?;
    }
    write!(f, " {:?} len={}", header.opcode, header.len)?;
    let mut shown = [0; SHOWN];
    let len = payload.len().min(SHOWN);
    for (to, from) in shown.iter_mut().zip(payload) {
        *to = *from;
    }
    let shown = shown.get_mut(..len).unwrap_or_default();
    if let Some(key) = header.mask {
        write!(f, " mask={}", Hex(&key))?;
        crate::wire::mask(key, 0, shown);
    }
    if !shown.is_empty() {
        write!(f, " | {} | \"{}\"", Hex(shown), shown.escape_ascii())?;
    }
    if payload.len() > SHOWN {
        f.write_str(" ...")?;
    }
    if (payload.len() as u64) < header.len {
        write!(f, " ({} bytes missing)", header.len - payload.len() as u64)?;
    }
    f.write_str("\n")
}

struct Hex<'b>(&'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().take(SHOWN).enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}
