//! Between a program and the one who runs it: lines, text that is safe to print, signals.

use std::fmt::Write;
use std::io::{self, BufRead, ErrorKind};

/// The lines of an input. It ends after the first error.
#[derive(Debug)]
pub struct Lines<I> {
    input: Option<I>,
}

impl<I: BufRead> Lines<I> {
    /// Reads from `input`.
    pub fn new(input: I) -> Self {
        Self { input: Some(input) }
    }

    fn read(input: &mut I) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.pop_if(|byte| *byte == b'\n').is_some() {
            line.pop_if(|byte| *byte == b'\r');
        }
        String::from_utf8(line).map(Some).map_err(|_| io::Error::new(ErrorKind::InvalidData, "a line is not UTF-8"))
    }
}

impl<I: BufRead> Iterator for Lines<I> {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = Self::read(self.input.as_mut()?).transpose();
        if !matches!(line, Some(Ok(_))) {
            self.input = None;
        }
        line
    }
}

/// Calls `end`, in a thread of its own, when the system wants the program to end (SIGINT, SIGTERM). That is heard of once
/// this has returned: whoever is told that a server listens may end it at once.
///
/// # Errors
/// If the system does not tell of it.
#[cfg(unix)]
pub fn at_end(end: impl Fn() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let wait = move || signals.forever().for_each(|_| end());
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(())
}

/// Calls `end`, in a thread of its own, when the user wants the program to end (Ctrl-C).
///
/// # Errors
/// If the system does not tell of it.
#[cfg(not(unix))]
pub fn at_end(end: impl Fn() + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(end).map_err(io::Error::other)
}

/// Text of a peer, safe to print on a terminal: one line, without control characters.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => safe.push(c),
            // Also what changes the direction of the text.
            c if c.is_control()
                || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                let _ = write!(safe, "{}", c.escape_unicode());
            }
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Vec<Result<String, ErrorKind>> {
        Lines::new(input).map(|line| line.map_err(|error| error.kind())).collect()
    }

    #[test]
    fn lines_end_with_lf_or_crlf_or_the_input() {
        let lines = ["a", "b", "", "\rc", "d"].map(|line| Ok(line.to_owned()));
        assert_eq!(read(b"a\nb\r\n\n\rc\nd"), lines);
        assert_eq!(read(b""), []);
    }

    #[test]
    fn lines_end_at_what_is_not_text() {
        assert_eq!(read(b"a\n\xff\nb\n"), [Ok("a".to_owned()), Err(ErrorKind::InvalidData)]);
    }

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        assert_eq!(printable("a\tb\u{1b}[2J\r\nc"), "a\tb\\u{1b}[2J\\u{d}\\u{a}c");
        assert_eq!(printable("\u{202e}evil\u{2066}"), "\\u{202e}evil\\u{2066}");
        assert_eq!(printable("Κόσμε 💬 \\"), "Κόσμε 💬 \\");
    }
}
