//! The incremental reader of a request or response head.
//!
//! One definition of a line for the whole library: it ends in CRLF (a bare LF only if `Leniency::bare_lf` says so).
//! Each byte is judged once, when it arrives, so a head costs the same however it is cut, and what can't become
//! a head is refused at its first impossible byte.

use alloc::vec::Vec;
use core::fmt;

use super::syntax;

/// The longest method name that is read. The longest registered one has 17 bytes.
const METHOD_MAX: u8 = 24;

/// Why bytes are no HTTP head (RFC 9112), or not one that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The first bytes belong to another protocol (TLS, HTTP/2, SOCKS...). Nothing is answered.
    #[error("this is not HTTP/1")]
    NotHttp,
    /// The request line or status line is malformed (RFC 9112 sections 3 and 4). 400.
    #[error("malformed first line")]
    FirstLine,
    /// The HTTP version is not 1.0 or 1.1. 505.
    #[error("unknown HTTP version")]
    Version,
    /// A header name is empty, has white space before the colon, or is no token (RFC 9112 section 5.1). 400.
    #[error("malformed header name")]
    Name,
    /// A control character in a header value or reason (RFC 9110 section 5.5). 400.
    #[error("control character in a header value")]
    Value,
    /// A header line that goes on in the next line (obs-fold, RFC 9112 section 5.2). 400.
    #[error("folded header line")]
    Fold,
    /// A line that does not end in CRLF (RFC 9112 section 2.2). 400.
    #[error("line not ended by CRLF")]
    LineEnd,
    /// The head is longer than `Limits::head`. 431.
    #[error("the head has more than {0} bytes")]
    TooLarge(usize),
    /// The request line alone is longer than `Limits::head`. 414.
    #[error("the request line has more than {0} bytes")]
    FirstLineTooLong(usize),
    /// More header lines than `Limits::header_lines`. 431.
    #[error("more than {0} header lines")]
    TooManyLines(usize),
}

/// Which kind of first line to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
}

/// What comes next. The number is how much of a fixed-length part has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Method(u8),
    TargetStart,
    Target,
    Protocol(u8),
    Status(u8),
    AfterStatus,
    Reason,
    /// After the version of a request line.
    FirstLineEnd,
    /// After the CR of the first line.
    FirstLf,
    LineStart,
    Name,
    Value,
    /// After the CR of a header line.
    Lf,
    /// After the CR of the empty line.
    LastLf,
}

/// The fixed text in front of the version digits.
const PROTOCOL: &[u8; 8] = b"HTTP/1.x";

/// Bounds and rules of a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Bytes, first line and empty line included.
    pub(crate) bytes: usize,
    /// Header lines.
    pub(crate) lines: usize,
    /// Take a bare LF as a line end.
    pub(crate) bare_lf: bool,
}

/// Collects a head and judges each byte on its way in.
pub(crate) struct HeadReader {
    kind: Kind,
    rules: Rules,
    state: State,
    lines: usize,
    bytes: Vec<u8>,
    /// How many bytes were looked at: the work meter of the tests.
    #[cfg(test)]
    looked_at: usize,
}

impl HeadReader {
    pub(crate) fn new(kind: Kind, rules: Rules) -> Self {
        let state = match kind {
            Kind::Request => State::Method(0),
            Kind::Response => State::Protocol(0),
        };
        // Positions in a head are kept as 32-bit numbers.
        let rules = Rules { bytes: rules.bytes.min(u32::MAX as usize), ..rules };
        Self {
            kind,
            rules,
            state,
            lines: 0,
            bytes: Vec::new(),
            #[cfg(test)]
            looked_at: 0,
        }
    }

    /// Takes bytes up to the end of the head. `Some(n)`: it is complete, and `n` of these bytes belonged to it.
    /// `None`: all of them did, and more are needed.
    pub(crate) fn push(&mut self, input: &[u8]) -> Result<Option<usize>, HeadError> {
        let room = self.rules.bytes.saturating_sub(self.bytes.len());
        let view = input.get(..room).unwrap_or(input);
        let mut at = 0;
        let found = self.scan(view, &mut at);
        let used = view.get(..at).unwrap_or(view);
        self.bytes.extend_from_slice(used);
        match found {
            // HTTP/2 begins with a request line that HTTP/1 servers are meant to choke on (RFC 9113 section 3.4).
            Err(HeadError::Version) if self.bytes.starts_with(b"PRI * HTTP/2") => Err(HeadError::NotHttp),
            Err(error) => Err(error),
            Ok(true) => Ok(Some(at)),
            Ok(false) if input.len() > view.len() => Err(self.too_large()),
            Ok(false) => Ok(None),
        }
    }

    /// Whether nothing has been taken yet.
    #[cfg(feature = "legacy")]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Gives away the bytes of the complete head, and tells how many header lines it has.
    pub(crate) fn finish(&mut self) -> (Vec<u8>, usize) {
        (core::mem::take(&mut self.bytes), self.lines)
    }

    fn too_large(&self) -> HeadError {
        let limit = self.rules.bytes;
        let in_first_line = matches!(
            self.state,
            State::Method(_)
                | State::TargetStart
                | State::Target
                | State::Protocol(_)
                | State::FirstLineEnd
                | State::FirstLf
        );
        if self.kind == Kind::Request && in_first_line {
            HeadError::FirstLineTooLong(limit)
        } else {
            HeadError::TooLarge(limit)
        }
    }

    /// Runs over `view` from `at`; true at the end of the head. `at` ends behind the last byte looked at.
    fn scan(&mut self, view: &[u8], at: &mut usize) -> Result<bool, HeadError> {
        loop {
            let rest = view.get(*at..).unwrap_or_default();
            // The long parts go by in one step, then the byte behind them is judged.
            let run = match self.state {
                State::Target => syntax::target_run(rest),
                State::Name => syntax::token_run(rest),
                State::Value | State::Reason => syntax::value_run(rest),
                _ => 0,
            };
            *at += run;
            #[cfg(test)]
            {
                self.looked_at += (run + 3).min(rest.len());
            }
            let behind = rest.get(run..).unwrap_or_default();
            // A short cut from one header line into the next, for what `step` would do byte by byte.
            match (self.state, behind) {
                (State::Name, [b':', ..]) => {
                    *at += 1;
                    self.state = State::Value;
                    continue;
                }
                (State::Value, [b'\r', b'\n', b, ..]) if syntax::is_token_byte(*b) && self.lines < self.rules.lines => {
                    *at += 3;
                    self.lines += 1;
                    self.state = State::Name;
                    continue;
                }
                _ => {}
            }
            let Some(&byte) = behind.first() else { return Ok(false) };
            *at += 1;
            match self.step(byte)? {
                Some(next) => self.state = next,
                None => return Ok(true),
            }
        }
    }

    /// Judges one byte; `None` is the end of the head.
    #[inline]
    fn step(&mut self, byte: u8) -> Result<Option<State>, HeadError> {
        let next = match (self.state, byte) {
            (State::Name, b':') => State::Value,
            (State::Value, b'\r') => State::Lf,
            (State::Lf, b'\n') => State::LineStart,
            (State::Value, b'\n') if self.rules.bare_lf => State::LineStart,
            (State::LineStart, b'\r') => State::LastLf,
            (State::LastLf, b'\n') => return Ok(None),
            (State::LineStart, b'\n') if self.rules.bare_lf => return Ok(None),
            (State::LineStart, b' ' | b'\t') => return Err(HeadError::Fold),
            (State::LineStart, b) if syntax::is_token_byte(b) => {
                self.lines += 1;
                if self.lines > self.rules.lines {
                    return Err(HeadError::TooManyLines(self.rules.lines));
                }
                State::Name
            }
            (State::LineStart | State::Name, _) => return Err(HeadError::Name),
            (State::Lf | State::LastLf | State::FirstLf, b) if b != b'\n' => return Err(HeadError::LineEnd),
            (State::Value | State::Reason, b'\n') if !self.rules.bare_lf => return Err(HeadError::LineEnd),
            (State::Value, _) => return Err(HeadError::Value),
            (state, b) => self.first_line(state, b)?,
        };
        Ok(Some(next))
    }

    /// Judges one byte of the first line.
    fn first_line(&self, state: State, byte: u8) -> Result<State, HeadError> {
        Ok(match (state, byte) {
            (State::Method(0), b) if !syntax::is_token_byte(b) => return Err(HeadError::NotHttp),
            (State::Method(n), b'A'..=b'Z' | b'-') if n < METHOD_MAX => State::Method(n + 1),
            (State::Method(n), b' ') if n > 0 => State::TargetStart,
            (State::TargetStart, b) if syntax::is_target_byte(b) => State::Target,
            (State::Target, b' ') => State::Protocol(0),
            (State::Protocol(n), b) => self.protocol(n, b)?,
            (State::Status(0), b'1'..=b'9') => State::Status(1),
            (State::Status(1), b'0'..=b'9') => State::Status(2),
            (State::Status(2), b'0'..=b'9') => State::AfterStatus,
            (State::AfterStatus, b' ') => State::Reason,
            (State::AfterStatus | State::Reason | State::FirstLineEnd, b'\r') => State::FirstLf,
            (State::AfterStatus | State::Reason | State::FirstLineEnd, b'\n') if self.rules.bare_lf => State::LineStart,
            (State::FirstLf, _) => State::LineStart,
            (State::AfterStatus | State::FirstLineEnd, b'\n') => return Err(HeadError::LineEnd),
            (State::Reason, _) => return Err(HeadError::Value),
            _ => return Err(HeadError::FirstLine),
        })
    }

    /// Judges byte `n` of `HTTP/1.x`, and the space behind it in a response.
    fn protocol(&self, n: u8, byte: u8) -> Result<State, HeadError> {
        match (n, byte) {
            (5, b'0'..=b'9') if byte != b'1' => Err(HeadError::Version),
            (7, b'0' | b'1') if self.kind == Kind::Request => Ok(State::FirstLineEnd),
            (7, b'0' | b'1') => Ok(State::Protocol(8)),
            (7, b'2'..=b'9') => Err(HeadError::Version),
            (8, b' ') => Ok(State::Status(0)),
            (0, b) if self.kind == Kind::Response && b != b'H' => Err(HeadError::NotHttp),
            (0..=6, b) if PROTOCOL.get(usize::from(n)) == Some(&b) => Ok(State::Protocol(n + 1)),
            _ => Err(HeadError::FirstLine),
        }
    }
}

impl fmt::Debug for HeadReader {
    /// Without the bytes, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeadReader({:?}, {:?}, {} bytes)", self.kind, self.state, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { bytes: 16 * 1024, lines: 100, bare_lf: false };

    /// The verdict, and after how many bytes it came; the same at any split.
    fn read(kind: Kind, rules: Rules, bytes: &[u8]) -> (Result<Option<usize>, HeadError>, usize) {
        let whole = HeadReader::new(kind, rules).push(bytes);
        let mut reader = HeadReader::new(kind, rules);
        for (i, b) in bytes.iter().enumerate() {
            match reader.push(&[*b]) {
                Ok(None) => {}
                Ok(Some(_)) => {
                    assert_eq!(whole, Ok(Some(i + 1)));
                    return (whole, i + 1);
                }
                Err(error) => {
                    assert_eq!(whole, Err(error));
                    return (whole, i + 1);
                }
            }
        }
        assert_eq!(whole, Ok(None));
        (whole, bytes.len())
    }

    fn request(bytes: &[u8]) -> (Result<Option<usize>, HeadError>, usize) {
        read(Kind::Request, RULES, bytes)
    }

    fn response(bytes: &[u8]) -> (Result<Option<usize>, HeadError>, usize) {
        read(Kind::Response, RULES, bytes)
    }

    #[test]
    fn stops_behind_the_empty_line() {
        assert_eq!(request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\ntail").0, Ok(Some(27)));
        assert_eq!(request(b"GET / HTTP/1.1\r\n\r\n").0, Ok(Some(18)));
        assert_eq!(response(b"HTTP/1.1 101 Switching Protocols\r\nA:\r\n\r\n\x81").0, Ok(Some(40)));
        assert_eq!(response(b"HTTP/1.1 101\r\n\r\n").0, Ok(Some(16)));
        assert_eq!(response(b"HTTP/1.0 200 \r\n\r\n").0, Ok(Some(17)));
    }

    #[test]
    fn refuses_at_the_first_impossible_byte() {
        use HeadError::*;
        for (bytes, error, at) in [
            (&b"\x16\x03\x01"[..], NotHttp, 1),
            (b"\r\nGET / HTTP/1.1", NotHttp, 1),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NotHttp, 12),
            (b"GET / HTTP/2.0\r\n", Version, 12),
            (b"GET / HTTP/1.2\r\n", Version, 14),
            (b"SSH-2.0-OpenSSH_9.9\r\n", FirstLine, 5),
            (b"get / HTTP/1.1", FirstLine, 1),
            (b"GET  HTTP/1.1", FirstLine, 5),
            (b"GET /\r\n", FirstLine, 6),
            (b"GET /#a HTTP/1.1", FirstLine, 6),
            (b"GET /\xc3\xa4 HTTP/1.1", FirstLine, 6),
            (b"GET / http/1.1", FirstLine, 7),
            (b"GET / HTTP/1.1 \r\n", FirstLine, 15),
            (b"GET / HTTP/1.1\n", LineEnd, 15),
            (b"GET / HTTP/1.1\r\r", LineEnd, 16),
            (b"GET / HTTP/1.1\r\n A: b", Fold, 17),
            (b"GET / HTTP/1.1\r\nA : b", Name, 18),
            (b"GET / HTTP/1.1\r\n: b", Name, 17),
            (b"GET / HTTP/1.1\r\nA\r\n", Name, 18),
            (b"GET / HTTP/1.1\r\nA: b\n", LineEnd, 21),
            (b"GET / HTTP/1.1\r\nA: b\rC", LineEnd, 22),
            (b"GET / HTTP/1.1\r\nA: \0", Value, 20),
            (b"GET / HTTP/1.1\r\nA: b\r\n\tc", Fold, 23),
        ] {
            assert_eq!(request(bytes), (Err(error), at), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn refuses_impossible_status_lines() {
        use HeadError::*;
        for (bytes, error, at) in [
            (&b"SSH"[..], NotHttp, 1),
            (b"HTTPS", FirstLine, 5),
            (b"HTTP/1.1 1010", FirstLine, 13),
            (b"HTTP/1.1  101", FirstLine, 10),
            (b"HTTP/1.1 10\r", FirstLine, 12),
            (b"HTTP/2 101", Version, 6),
            (b"HTTP/1.1\t101", FirstLine, 9),
            (b"HTTP/1.1 101 a\x7fb", Value, 15),
            (b"HTTP/1.1 101 a\nb", LineEnd, 15),
        ] {
            assert_eq!(response(bytes), (Err(error), at), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn bare_lf_only_where_asked_for() {
        let rules = Rules { bare_lf: true, ..RULES };
        assert_eq!(read(Kind::Request, rules, b"GET / HTTP/1.1\nA: b\nC:\r\n\nx").0, Ok(Some(25)));
        assert_eq!(read(Kind::Response, rules, b"HTTP/1.1 200 OK\n\n").0, Ok(Some(17)));
        assert_eq!(read(Kind::Request, rules, b"GET / HTTP/1.1\nA: b\rC").0, Err(HeadError::LineEnd));
    }

    #[test]
    fn threat_053_each_byte_is_looked_at_a_constant_number_of_times() {
        let mut head = b"GET / HTTP/1.1\r\nX: ".to_vec();
        head.resize(RULES.bytes - 4, b'a');
        head.extend_from_slice(b"\r\n\r\n");
        let work = |size: usize| {
            let mut reader = HeadReader::new(Kind::Request, RULES);
            for piece in head.chunks(size) {
                reader.push(piece).unwrap();
            }
            reader.looked_at
        };
        for size in [1, 2, 3, 7, 1000, head.len()] {
            assert!(work(size) <= 2 * head.len(), "reads of {size}: {}", work(size));
        }
    }

    #[test]
    fn limits_hold_at_the_byte() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let exact = Rules { bytes: head.len(), ..RULES };
        assert_eq!(read(Kind::Request, exact, head).0, Ok(Some(27)));
        let short = Rules { bytes: 26, ..RULES };
        assert_eq!(read(Kind::Request, short, head), (Err(HeadError::TooLarge(26)), 27));
        let tiny = Rules { bytes: 10, ..RULES };
        assert_eq!(read(Kind::Request, tiny, head), (Err(HeadError::FirstLineTooLong(10)), 11));
        assert_eq!(read(Kind::Request, Rules { lines: 1, ..RULES }, head).0, Ok(Some(27)));
        assert_eq!(read(Kind::Request, Rules { lines: 0, ..RULES }, head), (Err(HeadError::TooManyLines(0)), 17));
    }
}
