//! The `Host` header: `host[:port]` and nothing else (RFC 9110 section 7.2).

use core::fmt;
use core::net::Ipv6Addr;

/// The longest name that is taken; names of the DNS are shorter.
const NAME_MAX: usize = 255;

/// A host and perhaps a port, as in the `Host` header.
///
/// Nothing else passes: no user info, path, query, zone id, or white space (RFC 9112 section 3.2).
///
/// ```
/// use ws_proto::http::Host;
/// let host = Host::parse("[::1]:8080").unwrap();
/// assert_eq!((host.name(), host.port()), ("::1", Some(8080)));
/// assert!(Host::parse("a/b").is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Host<'h> {
    text: &'h str,
    name: &'h str,
    port: Option<u16>,
}

impl<'h> Host<'h> {
    /// Reads `host[:port]`; `None` if it is anything else. A name has at most 255 bytes, a port is 1 to 65535.
    #[must_use]
    pub fn parse(text: &'h str) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, after) = rest.split_once(']')?;
                name.parse::<Ipv6Addr>().ok()?;
                (name, after)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                let (name, after) = text.split_at_checked(end)?;
                if !is_name(name.as_bytes()) {
                    return None;
                }
                (name, after)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return None,
            Some(digits) => parse_port(digits)?,
        };
        Some(Self { text, name, port })
    }

    /// The name or address; an IPv6 address without its brackets. Case is kept.
    #[must_use]
    pub fn name(&self) -> &'h str {
        self.name
    }

    /// The port, if there is one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// All of it, as received.
    #[must_use]
    pub fn as_str(&self) -> &'h str {
        self.text
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// Digits only; an empty port counts as none (RFC 3986 section 3.2.3).
fn parse_port(digits: &str) -> Option<Option<u16>> {
    if digits.is_empty() {
        return Some(None);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|p| *p != 0).map(Some)
}

/// `reg-name` of RFC 3986 section 3.2.2, but not empty and not endless.
fn is_name(name: &[u8]) -> bool {
    if name.len() > NAME_MAX {
        return false;
    }
    let mut rest = name;
    loop {
        rest = match rest {
            [] => return !name.is_empty(),
            [b'%', a, b, rest @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => rest,
            [b, rest @ ..] if b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(b) => rest,
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_hosts() {
        for (text, name, port) in [
            ("example.com", "example.com", None),
            ("Example.COM:8443", "Example.COM", Some(8443)),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("[::1]:65535", "::1", Some(65535)),
            ("a_b.test.", "a_b.test.", None),
            ("h%41:", "h%41", None),
        ] {
            let host = Host::parse(text).unwrap();
            assert_eq!((host.name(), host.port(), host.as_str()), (name, port, text));
        }
    }

    #[test]
    fn takes_nothing_else() {
        for text in [
            "",
            ":",
            ":80",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "u@a",
            "a:99999",
            "a:0",
            "a:+1",
            "a:1:2",
            "::1",
            "[::1",
            "::1]",
            "[::1%eth0]",
            "[::1]x",
            "[::1]:x",
            "[]",
            "[1.2.3.4]",
            "a%4",
            "a%zz",
            "\u{e4}.de",
            "a,b@c",
            "a\\b",
            "<a>",
            "a:8\t",
        ] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
    }
}
