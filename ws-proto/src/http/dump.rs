//! Heads for people: escaped, bounded, without secrets.

use core::fmt;

use super::syntax;

/// How much is printed, in bytes of the head.
const SHOWN: usize = 2048;
/// How much of one value is printed by `Debug`.
const VALUE_SHOWN: usize = 128;
/// Escaping makes four characters of a byte at most; this is where the output stops for good.
const PRINTED: usize = 4096;

/// Prints a request or response head for logs and bug reports.
///
/// Everything that is not printable ASCII is escaped, at most 4 KiB are printed, and the values of `Authorization`,
/// `Proxy-Authorization`, `Cookie` and `Set-Cookie` are left out. It takes any bytes.
///
/// ```
/// use ws_proto::http::HeadDump;
/// let dump = HeadDump::new(b"GET /\x1b HTTP/1.1\r\nCookie: secret\r\n\r\n\x81\x00").to_string();
/// assert_eq!(dump, "GET /\\x1b HTTP/1.1\nCookie: (6 bytes)\n(2 bytes behind the head)\n");
/// ```
#[derive(Clone, Copy)]
pub struct HeadDump<'b>(&'b [u8]);

impl<'b> HeadDump<'b> {
    /// The bytes from the start of the head; there may be fewer or more than the head.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for HeadDump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = PRINTED;
        let mut rest = self.0.get(..SHOWN).unwrap_or(self.0);
        let hidden = self.0.len() - rest.len();
        while !rest.is_empty() {
            let end = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |i| i + 1);
            let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            rest = after;
            let text = line.strip_suffix(b"\r\n").unwrap_or(line);
            if text.is_empty() {
                return match rest.len() + hidden {
                    0 => Ok(()),
                    n => writeln!(f, "({n} bytes behind the head)"),
                };
            }
            if !print_line(f, text, &mut room)? {
                return writeln!(f, "...");
            }
        }
        if hidden > 0 { writeln!(f, "... {hidden} more bytes") } else { Ok(()) }
    }
}

/// One line without its end; false when the room was used up.
fn print_line(f: &mut fmt::Formatter<'_>, line: &[u8], room: &mut usize) -> Result<bool, fmt::Error> {
    if let Some(colon) = line.iter().position(|b| *b == b':') {
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
        if is_secret(name) {
            let value = syntax::trim(value.get(1..).unwrap_or_default());
            let all = escaped(f, name, room)?;
            writeln!(f, ": ({} bytes)", value.len())?;
            *room = room.saturating_sub(24);
            return Ok(all);
        }
    }
    let all = escaped(f, line, room)?;
    writeln!(f)?;
    Ok(all)
}

fn escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8], room: &mut usize) -> Result<bool, fmt::Error> {
    for byte in bytes {
        let shown = byte.escape_ascii();
        if shown.len() + 1 > *room {
            return Ok(false);
        }
        *room -= shown.len();
        write!(f, "{shown}")?;
    }
    *room = room.saturating_sub(1);
    Ok(true)
}

impl fmt::Debug for HeadDump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether values of this name must not get into logs.
fn is_secret(name: &[u8]) -> bool {
    let secret = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
    secret.iter().any(|s| syntax::trim(name).eq_ignore_ascii_case(s.as_bytes()))
}

/// One value for `Debug`.
pub(crate) struct Value<'h> {
    pub(crate) name: &'h str,
    pub(crate) value: &'h [u8],
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_secret(self.name.as_bytes()) {
            return write!(f, "({} bytes)", self.value.len());
        }
        let shown = self.value.get(..VALUE_SHOWN).unwrap_or(self.value);
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if shown.len() < self.value.len() { write!(f, "... ({} bytes)", self.value.len()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn escapes_line_ends_that_are_none() {
        assert_eq!(HeadDump::new(b"GET / HTTP/1.1\nA: \xff\r\n").to_string(), "GET / HTTP/1.1\\n\nA: \\xff\n");
        assert_eq!(HeadDump::new(b"").to_string(), "");
    }

    #[test]
    fn is_bounded() {
        for byte in [b'a', 0, b'\n', b':'] {
            let dump = HeadDump::new(&[byte; 100_000]).to_string();
            assert!(dump.len() <= PRINTED + 64, "{}", dump.len());
        }
        let mut many = Vec::new();
        for _ in 0..10_000 {
            many.extend_from_slice(b"cookie:\r\n");
        }
        assert!(HeadDump::new(&many).to_string().len() <= PRINTED + 2048);
    }
}
