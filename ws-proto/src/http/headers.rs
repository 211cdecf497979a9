//! Header lines: the bytes of the head kept once, and an index into them.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::mem::MaybeUninit;

use super::head::HeadError;
use super::syntax;

/// Header lines in the order they arrived; names may repeat (RFC 9110 section 5).
///
/// There is no map behind it: a lookup walks at most `Limits::header_lines` lines, so names chosen by a peer can't
/// make it slow. Names are compared without case. Values are bytes, because HTTP allows more than UTF-8; white
/// space around them is cut off.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Line {
    name: Span,
    value: Span,
}

/// A place in the bytes of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Where `part` lies in `whole`; empty if it does not.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        match start.checked_add(part.len()) {
            // A head is never longer than `u32::MAX`, see `HeadReader::new`.
            Some(end) if end <= whole.len() => Self { start: start as u32, end: end as u32 },
            _ => Self::default(),
        }
    }
}

impl Headers {
    /// The first value of that name, if it is UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        core::str::from_utf8(self.get_bytes(name)?).ok()
    }

    /// The first value of that name.
    #[must_use]
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// All values of that name, in order.
    pub fn get_all<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.raw().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// Whether there is a line of that name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get_bytes(name).is_some()
    }

    /// All lines in order: name as received, and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.raw().map(|(name, value)| (ascii(name), value))
    }

    /// The elements of all lines of that name, read as one comma-separated list (RFC 9110 section 5.3).
    ///
    /// For lists of tokens; quoted strings are not looked into.
    pub fn tokens<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.get_all(name).flat_map(syntax::elements)
    }

    /// Whether the list of that name has this element, ignoring case.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.tokens(name).any(|t| t.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    #[inline]
    pub(crate) fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (self.slice(line.name), self.slice(line.value)))
    }

    /// The bytes at `span`.
    #[inline]
    pub(crate) fn slice(&self, span: Span) -> &[u8] {
        self.bytes.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// The text at `span`, which was checked to be ASCII or is shown to people only.
    pub(crate) fn text(&self, span: Span) -> &str {
        ascii(self.slice(span))
    }
}

impl fmt::Debug for Headers {
    /// Escaped and bounded; secrets are left out, see [`HeadDump`](super::HeadDump).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, super::dump::Value { name, value }))).finish()
    }
}

/// The part of a text that is UTF-8 for sure.
fn ascii(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => bytes.get(..error.valid_up_to()).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or_default(),
    }
}

/// A request head in parts.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RequestHead {
    pub(crate) headers: Headers,
    method: Span,
    target: Span,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub(crate) minor: u8,
}

impl RequestHead {
    /// Takes a complete head apart that [`HeadReader`](super::head::HeadReader) has passed.
    pub(crate) fn parse(bytes: Vec<u8>, lines: usize) -> Result<Self, HeadError> {
        let (method, target, minor, lines) = with_lines(lines, |slots| {
            let mut request = httparse::Request::new(&mut []);
            match request.parse_with_uninit_headers(&bytes, slots) {
                Ok(httparse::Status::Complete(_)) => {}
                _ => return Err(HeadError::FirstLine),
            }
            let span = |part: Option<&str>| Span::of(part.unwrap_or_default().as_bytes(), &bytes);
            let minor = request.version.unwrap_or_default();
            Ok((span(request.method), span(request.path), minor, index(request.headers, &bytes)))
        })?;
        Ok(Self { headers: Headers { bytes, lines }, method, target, minor })
    }

    pub(crate) fn method(&self) -> &str {
        self.headers.text(self.method)
    }

    pub(crate) fn target(&self) -> &str {
        self.headers.text(self.target)
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold a token.
        let path = self.target().split('?').next().unwrap_or_default();
        write!(f, "{} {path} {:?}", self.method(), self.headers)
    }
}

/// A response head in parts.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    pub(crate) headers: Headers,
    pub(crate) status: u16,
    reason: Span,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub(crate) minor: u8,
}

impl ResponseHead {
    /// Takes a complete head apart that [`HeadReader`](super::head::HeadReader) has passed.
    pub(crate) fn parse(bytes: Vec<u8>, lines: usize) -> Result<Self, HeadError> {
        let (status, reason, minor, lines) = with_lines(lines, |slots| {
            let mut response = httparse::Response::new(&mut []);
            let config = httparse::ParserConfig::default();
            match config.parse_response_with_uninit_headers(&mut response, &bytes, slots) {
                Ok(httparse::Status::Complete(_)) => {}
                _ => return Err(HeadError::FirstLine),
            }
            let reason = Span::of(response.reason.unwrap_or_default().as_bytes(), &bytes);
            let minor = response.version.unwrap_or_default();
            Ok((response.code.unwrap_or_default(), reason, minor, index(response.headers, &bytes)))
        })?;
        Ok(Self { headers: Headers { bytes, lines }, status, reason, minor })
    }

    pub(crate) fn reason(&self) -> &str {
        self.headers.text(self.reason)
    }

    /// Whether the head begins with these bytes, as they came.
    #[cfg(feature = "legacy")]
    pub(crate) fn starts_with(&self, bytes: &[u8]) -> bool {
        self.headers.bytes.starts_with(bytes)
    }
}

/// Room for this many lines, on the stack for the usual limit.
fn with_lines<'b, T>(lines: usize, parse: impl FnOnce(&mut [MaybeUninit<httparse::Header<'b>>]) -> T) -> T {
    if lines <= 100 {
        parse(&mut [const { MaybeUninit::uninit() }; 100])
    } else {
        parse(&mut vec![const { MaybeUninit::uninit() }; lines])
    }
}

fn index(found: &[httparse::Header<'_>], bytes: &[u8]) -> Vec<Line> {
    let line = |h: &httparse::Header<'_>| Line {
        name: Span::of(h.name.as_bytes(), bytes),
        value: Span::of(syntax::trim(h.value), bytes),
    };
    found.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> RequestHead {
        RequestHead::parse(text.as_bytes().to_vec(), text.matches("\r\n").count()).unwrap()
    }

    #[test]
    fn lines_keep_order_case_and_inner_spaces() {
        let head = request("GET /demo HTTP/1.1\r\nHost: a\r\nX:  b  c \t\r\nCookie:\r\nUser-Agent: \r\nx: d\r\n\r\n");
        assert_eq!((head.method(), head.target(), head.minor), ("GET", "/demo", 1));
        assert_eq!(head.headers.get("hOST"), Some("a"));
        assert_eq!(head.headers.get_all("x").collect::<Vec<_>>(), [&b"b  c"[..], b"d"]);
        assert_eq!((head.headers.get("cookie"), head.headers.get("user-agent")), (Some(""), Some("")));
        assert_eq!(head.headers.get("none"), None);
        let names: Vec<_> = head.headers.iter().map(|(n, _)| n).collect();
        assert_eq!(names, ["Host", "X", "Cookie", "User-Agent", "x"]);
    }

    #[test]
    fn values_may_hold_other_bytes_than_utf8() {
        let head = RequestHead::parse(b"GET / HTTP/1.1\r\nX: \xff\r\n\r\n".to_vec(), 1).unwrap();
        assert_eq!((head.headers.get("x"), head.headers.get_bytes("x")), (None, Some(&b"\xff"[..])));
    }

    #[test]
    fn several_lines_are_one_list() {
        let head = request("GET / HTTP/1.1\r\nA: b, c\r\nA:\r\nA: ,D ,\r\n\r\n");
        assert_eq!(head.headers.tokens("a").collect::<Vec<_>>(), [&b"b"[..], b"c", b"D"]);
        assert!(head.headers.has_token("A", "d") && !head.headers.has_token("A", "e"));
    }

    #[test]
    fn more_lines_than_the_stack_has_room_for() {
        let mut text = alloc::string::String::from("GET / HTTP/1.1\r\n");
        for i in 0..150 {
            text.push_str(&alloc::format!("h{i}: {i}\r\n"));
        }
        text.push_str("\r\n");
        let head = RequestHead::parse(text.into_bytes(), 150).unwrap();
        assert_eq!((head.headers.len(), head.headers.get("h149")), (150, Some("149")));
    }

    #[test]
    fn a_status_line_without_reason() {
        let head = ResponseHead::parse(b"HTTP/1.1 101\r\nA: b:c\r\n\r\n".to_vec(), 1).unwrap();
        assert_eq!((head.status, head.reason(), head.headers.get("a")), (101, "", Some("b:c")));
    }
}
