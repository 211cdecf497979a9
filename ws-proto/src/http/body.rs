//! The body of an HTTP refusal, as far as a client keeps it (RFC 9112 section 6).

use alloc::vec::Vec;

use super::headers::ResponseHead;
use super::syntax;

/// Reads a body and keeps at most a limit of it. All arithmetic is checked, and everything read counts.
#[derive(Debug)]
pub(crate) struct BodyReader {
    framing: Framing,
    /// How much body may still be kept.
    room: usize,
    /// How many bytes may still arrive, framing and trailers included.
    budget: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked(Chunk),
    UntilEof,
}

/// What comes next in a chunked body (RFC 9112 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// The size so far, and how many digits it has.
    Size(u64, u8),
    /// A chunk extension, which is skipped.
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    LineStart,
    Trailer,
    TrailerLf,
    LastLf,
}

/// How a body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More of it is to come.
    Open,
    /// It has ended as promised.
    Complete,
    /// It is malformed, or there is more of it than is kept.
    Cut,
}

impl BodyReader {
    /// The body behind this head; `keep` bounds what is kept, `slack` what else is read.
    /// `None` if there is none, or none whose end is known.
    pub(crate) fn new(head: &ResponseHead, keep: usize, slack: usize) -> (Option<Self>, Progress) {
        let framing = if matches!(head.status, 100..=199 | 204 | 304) { Ok(Framing::Length(0)) } else { framing(head) };
        match framing {
            Ok(Framing::Length(0)) => (None, Progress::Complete),
            Ok(framing) => {
                let reader = Self { framing, room: keep, budget: keep.saturating_add(slack) };
                (Some(reader), Progress::Open)
            }
            Err(()) => (None, Progress::Cut),
        }
    }

    /// Takes what arrived; appends body to `kept`.
    pub(crate) fn push(&mut self, mut input: &[u8], kept: &mut Vec<u8>) -> Progress {
        while !input.is_empty() {
            if self.budget == 0 {
                return Progress::Cut;
            }
            let want = match self.framing {
                Framing::Length(n) | Framing::Chunked(Chunk::Data(n)) => usize::try_from(n).unwrap_or(usize::MAX),
                Framing::UntilEof => usize::MAX,
                Framing::Chunked(state) => {
                    let Some((&byte, rest)) = input.split_first() else { break };
                    input = rest;
                    self.budget -= 1;
                    match step(state, byte) {
                        Some(Some(next)) => self.framing = Framing::Chunked(next),
                        Some(None) => return Progress::Complete,
                        None => return Progress::Cut,
                    }
                    continue;
                }
            };
            // Not past the budget, or what is kept would depend on how the body is cut.
            let n = want.min(input.len()).min(self.budget);
            let (data, rest) = input.split_at_checked(n).unwrap_or((input, &[]));
            input = rest;
            self.budget -= n;
            kept.extend_from_slice(data.get(..self.room).unwrap_or(data));
            if n > self.room {
                return Progress::Cut;
            }
            self.room -= n;
            match &mut self.framing {
                Framing::Length(left) => {
                    *left -= n as u64;
                    if *left == 0 {
                        return Progress::Complete;
                    }
                }
                Framing::Chunked(Chunk::Data(left)) => {
                    *left -= n as u64;
                    if *left == 0 {
                        self.framing = Framing::Chunked(Chunk::DataCr);
                    }
                }
                _ => {}
            }
        }
        Progress::Open
    }

    /// The stream has ended.
    pub(crate) fn eof(&self) -> Progress {
        if self.framing == Framing::UntilEof { Progress::Complete } else { Progress::Cut }
    }
}

/// How the end of the body is told (RFC 9112 section 6.3).
fn framing(head: &ResponseHead) -> Result<Framing, ()> {
    let headers = &head.headers;
    if headers.contains("transfer-encoding") {
        let last = headers.tokens("transfer-encoding").last().unwrap_or_default();
        let chunked = last.eq_ignore_ascii_case(b"chunked");
        return Ok(if chunked { Framing::Chunked(Chunk::Size(0, 0)) } else { Framing::UntilEof });
    }
    let mut length = None;
    for value in headers.get_all("content-length") {
        let n = content_length(value).ok_or(())?;
        if *length.get_or_insert(n) != n {
            return Err(());
        }
    }
    Ok(length.map_or(Framing::UntilEof, Framing::Length))
}

/// Digits and nothing else (RFC 9112 section 6.2).
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    let value = syntax::trim(value);
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(value).ok()?.parse().ok()
}

/// One byte of chunk framing; `Some(None)` at the end of the body, `None` if it is malformed.
fn step(state: Chunk, byte: u8) -> Option<Option<Chunk>> {
    Some(Some(match (state, byte) {
        (Chunk::Size(n, digits), b) if b.is_ascii_hexdigit() => {
            let digit = char::from(b).to_digit(16)?;
            Chunk::Size(n.checked_mul(16)?.checked_add(digit.into())?, digits.checked_add(1).filter(|d| *d <= 16)?)
        }
        (Chunk::Size(n, 1..), b'\r') => Chunk::SizeLf(n),
        (Chunk::Size(n, 1..), b';' | b' ' | b'\t') => Chunk::Extension(n),
        (Chunk::Extension(n), b'\r') => Chunk::SizeLf(n),
        (Chunk::Extension(n), b) if syntax::is_value_byte(b) => Chunk::Extension(n),
        (Chunk::SizeLf(0), b'\n') => Chunk::LineStart,
        (Chunk::SizeLf(n), b'\n') => Chunk::Data(n),
        (Chunk::DataCr, b'\r') => Chunk::DataLf,
        (Chunk::DataLf, b'\n') => Chunk::Size(0, 0),
        (Chunk::LineStart, b'\r') => Chunk::LastLf,
        (Chunk::LineStart | Chunk::Trailer, b) if syntax::is_value_byte(b) => Chunk::Trailer,
        (Chunk::Trailer, b'\r') => Chunk::TrailerLf,
        (Chunk::TrailerLf, b'\n') => Chunk::LineStart,
        (Chunk::LastLf, b'\n') => return Some(None),
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn head(lines: &str) -> ResponseHead {
        ResponseHead::parse(format!("HTTP/1.1 401 No\r\n{lines}\r\n").into_bytes(), lines.matches("\r\n").count())
            .unwrap()
    }

    /// The same whole and byte by byte.
    fn read(lines: &str, body: &[u8]) -> (Progress, Vec<u8>) {
        let run = |size: usize| {
            let (reader, mut progress) = BodyReader::new(&head(lines), 16, 64);
            let mut kept = Vec::new();
            if let Some(mut reader) = reader {
                for piece in body.chunks(size) {
                    progress = reader.push(piece, &mut kept);
                    if progress != Progress::Open {
                        break;
                    }
                }
                if progress == Progress::Open {
                    progress = reader.eof();
                }
            }
            (progress, kept)
        };
        let whole = run(body.len().max(1));
        assert_eq!(run(1), whole, "{lines} {}", body.escape_ascii());
        whole
    }

    #[test]
    fn lengths() {
        assert_eq!(read("Content-Length: 3\r\n", b"abcdef"), (Progress::Complete, b"abc".to_vec()));
        assert_eq!(read("Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"), (Progress::Complete, b"abc".to_vec()));
        assert_eq!(read("Content-Length: 4\r\n", b"abc"), (Progress::Cut, b"abc".to_vec()));
        assert_eq!(read("Content-Length: 0\r\n", b"abc"), (Progress::Complete, b"".to_vec()));
        for bad in ["+3", "-3", "3,3", "0x3", "", "99999999999999999999"] {
            assert_eq!(read(&format!("Content-Length: {bad}\r\n"), b"abc"), (Progress::Cut, b"".to_vec()));
        }
        assert_eq!(read("Content-Length: 3\r\nContent-Length: 4\r\n", b"abc").0, Progress::Cut);
        assert_eq!(read("Content-Length: 18446744073709551615\r\n", &[b'x'; 40]), (Progress::Cut, [b'x'; 16].to_vec()));
        assert_eq!(read("", b"abc"), (Progress::Complete, b"abc".to_vec()));
    }

    #[test]
    fn chunks() {
        let te = "Transfer-Encoding: chunked\r\n";
        assert_eq!(read(te, b"3\r\nabc\r\n2;x=\"y\"\r\nde\r\n0\r\n\r\nxx"), (Progress::Complete, b"abcde".to_vec()));
        assert_eq!(read(te, b"3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\n"), (Progress::Complete, b"abc".to_vec()));
        assert_eq!(
            read("Content-Length: 9\r\nTransfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n").0,
            Progress::Complete
        );
        assert_eq!(read("Transfer-Encoding: gzip\r\n", b"abc"), (Progress::Complete, b"abc".to_vec()));
        for bad in [
            &b"\r\n"[..],
            b"g\r\n",
            b"3\nabc",
            b"3\r\nabcd",
            b"00000000000000003\r\nabc",
            b"3\r\nabc\r\n0\r\nA\n",
            b"0x3\r\n",
        ] {
            assert_eq!(read(te, bad).0, Progress::Cut, "{}", bad.escape_ascii());
        }
        assert_eq!(read(te, b"fffffffffffffffff\r\n").0, Progress::Cut);
        assert_eq!(read(te, b"ffffffffffffffff\r\n0123456789abcdefg"), (Progress::Cut, b"0123456789abcdef".to_vec()));
    }

    #[test]
    fn endless_framing_is_cut() {
        let te = "Transfer-Encoding: chunked\r\n";
        let mut trailers = b"0\r\n".to_vec();
        trailers.extend([b'a'; 200]);
        assert_eq!(read(te, &trailers).0, Progress::Cut);
        let mut late = b"9;".to_vec();
        late.extend([b'a'; 74]);
        late.extend(b"\r\n123456789");
        assert_eq!(read(te, &late), (Progress::Cut, b"12".to_vec()));
        let mut extension = b"1;".to_vec();
        extension.extend([b'a'; 200]);
        assert_eq!(read(te, &extension).0, Progress::Cut);
    }
}
