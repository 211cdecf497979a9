//! Header lines that the application adds to a head, checked when they are added.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use super::syntax;

/// A header that may not be added. Nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is no token (RFC 9110 section 5.1).
    #[error("{0:?} is no header name")]
    Name(Box<str>),
    /// The library sets this header itself: the ones that make the handshake (`Sec-WebSocket-...`,
    /// `WebSocket-...`, `Connection`, `Upgrade`), the ones that frame a body, and those with a setter of their own.
    #[error("the header {0} is set by the library")]
    Reserved(Box<str>),
    /// The value holds CR, LF, NUL or another control character (RFC 9110 section 5.5), or is not what this header takes.
    #[error("the value of the header {0} is not allowed")]
    Value(Box<str>),
}

/// Headers that nobody may set by hand: they make the handshake or frame the body.
const RESERVED: [&str; 7] =
    ["connection", "upgrade", "content-length", "transfer-encoding", "te", "trailer", "http2-settings"];

/// Finished header lines, each with its CRLF.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Lines(String);

impl Lines {
    /// Adds a line. `also` are names reserved in this kind of head.
    pub(crate) fn add(&mut self, name: &str, value: &str, also: &[&str]) -> Result<(), HeaderError> {
        if !syntax::is_token(name.as_bytes()) {
            return Err(HeaderError::Name(name.into()));
        }
        let is = |reserved: &&str| name.eq_ignore_ascii_case(reserved);
        let begins = |with: &[u8]| name.as_bytes().get(..with.len()).is_some_and(|n| n.eq_ignore_ascii_case(with));
        if begins(b"sec-websocket-") || begins(b"websocket-") || RESERVED.iter().any(is) || also.iter().any(is) {
            return Err(HeaderError::Reserved(name.into()));
        }
        self.add_own(name, value)
    }

    /// Adds a line whose name this library chose.
    pub(crate) fn add_own(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        if !value.bytes().all(syntax::is_value_byte) {
            return Err(HeaderError::Value(name.into()));
        }
        for part in [name, ": ", value, "\r\n"] {
            self.0.push_str(part);
        }
        Ok(())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Lines {
    /// The names only; the values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_what_is_allowed() {
        let mut lines = Lines::default();
        lines.add("Set-Cookie", "a=b; Path=/", &[]).unwrap();
        lines.add("X", "\u{e4}\t", &[]).unwrap();
        assert_eq!(lines.as_str(), "Set-Cookie: a=b; Path=/\r\nX: \u{e4}\t\r\n");
    }

    #[test]
    fn refuses_injection_and_reserved_names() {
        let mut lines = Lines::default();
        for value in ["a\r\nb: c", "a\nb", "a\rb", "a\0", "\u{7f}", "\u{1b}[2J", "\u{b}"] {
            assert_eq!(lines.add("X", value, &[]), Err(HeaderError::Value("X".into())));
        }
        for name in ["", "a b", "a:", "a\r\n", "\u{e4}", "a\0"] {
            assert_eq!(lines.add(name, "v", &[]), Err(HeaderError::Name(name.into())));
        }
        for name in [
            "Sec-WebSocket-Key",
            "sec-websocket-accept",
            "WebSocket-Origin",
            "CONNECTION",
            "Upgrade",
            "Content-Length",
            "Host",
        ] {
            assert_eq!(lines.add(name, "v", &["host"]), Err(HeaderError::Reserved(name.into())));
        }
        assert_eq!(lines, Lines::default());
    }
}
