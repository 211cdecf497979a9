//! An extension as it stands in `Sec-WebSocket-Extensions`, and the grammar of that header (RFC 6455 section 9.1).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::http::syntax;

/// An extension with its parameters, as offered or as agreed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Extension {
    /// The name, for example `permessage-deflate`.
    pub name: Box<str>,
    /// The parameters in order; a value that was quoted is given without quotes.
    pub params: Vec<(Box<str>, Option<Box<str>>)>,
}

impl Extension {
    /// An extension without parameters.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self { name: name.into(), params: Vec::new() }
    }

    /// The same with one more parameter.
    #[must_use]
    pub fn with(mut self, name: impl Into<Box<str>>, value: Option<&str>) -> Self {
        self.params.push((name.into(), value.map(Into::into)));
        self
    }

    /// Reads the values of all `Sec-WebSocket-Extensions` lines, which are one list in order (RFC 6455 section 11.3.2).
    /// The handshakes of this library do so by themselves; this is for programs that do theirs with something else.
    ///
    /// Work and memory are linear in the length of the values, but the list takes some dozens of times as many bytes.
    ///
    /// # Errors
    /// [`Malformed`]; the handshake should then fail, on a server with status 400.
    ///
    /// ```
    /// use ws_proto::extension::Extension;
    /// let list = Extension::parse_list([&b"a; b=\"1\", c"[..], b"d"])?;
    /// assert_eq!(list, [Extension::new("a").with("b", Some("1")), Extension::new("c"), Extension::new("d")]);
    /// # Ok::<(), ws_proto::extension::Malformed>(())
    /// ```
    pub fn parse_list<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Result<Vec<Self>, Malformed> {
        let mut list = Vec::new();
        values.into_iter().try_for_each(|value| parse(value, &mut list))?;
        Ok(list)
    }

    /// Whether it can stand in a header: all its words are tokens.
    pub(crate) fn is_valid(&self) -> bool {
        let token = |text: &str| !text.is_empty() && syntax::token_run(text.as_bytes()) == text.len();
        token(&self.name) && self.params.iter().all(|(name, value)| token(name) && value.as_deref().is_none_or(token))
    }
}

impl fmt::Display for Extension {
    /// As it stands in the header; values are tokens, so they need no quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (name, value) in &self.params {
            write!(f, "; {name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

/// A value of `Sec-WebSocket-Extensions` that does not follow the grammar (RFC 6455 section 9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the list of extensions is malformed")]
pub struct Malformed;

/// So many offers of a request are looked at.
const MAX_OFFERS: usize = 32;
/// An offer with more parameters than this is passed over.
const MAX_PARAMS: usize = 32;

/// A piece of the list, in order.
enum Part<'v> {
    Name(&'v str),
    Param(&'v str, Option<Cow<'v, str>>),
}

/// Whether the value follows the grammar. Nothing is allocated.
pub(crate) fn check(value: &[u8]) -> Result<(), Malformed> {
    walk(value, |_| {})
}

/// Reads one header line. Several lines are one list, in order.
pub(crate) fn parse(value: &[u8], list: &mut Vec<Extension>) -> Result<(), Malformed> {
    walk(value, |part| match part {
        Part::Name(name) => list.push(Extension::new(name)),
        Part::Param(name, value) => {
            if let Some(extension) = list.last_mut() {
                extension.params.push((name.into(), value.map(Into::into)));
            }
        }
    })
}

/// Reads what a server looks at of the offers, which is limited, since a list takes more memory than its text.
pub(crate) fn offers<'v>(values: impl Iterator<Item = &'v [u8]>) -> Vec<Extension> {
    let mut list: Vec<Extension> = Vec::new();
    let mut open = false;
    for value in values {
        // The grammar was checked with the request.
        let _ = walk(value, |part| match part {
            Part::Name(name) => {
                open = list.len() < MAX_OFFERS;
                if open {
                    list.push(Extension::new(name));
                }
            }
            Part::Param(name, value) if open => match list.last_mut() {
                Some(extension) if extension.params.len() < MAX_PARAMS => {
                    extension.params.push((name.into(), value.map(Into::into)));
                }
                _ => {
                    list.pop();
                    open = false;
                }
            },
            Part::Param(..) => {}
        });
    }
    list
}

/// Goes through the value once; the work is linear in its length.
fn walk<'v>(value: &'v [u8], mut emit: impl FnMut(Part<'v>)) -> Result<(), Malformed> {
    let mut cursor = Cursor(value);
    loop {
        cursor.skip_space();
        if cursor.take(b',') {
            continue; // an empty element, RFC 9110 section 5.6.1.2
        }
        if cursor.0.is_empty() {
            return Ok(());
        }
        emit(Part::Name(cursor.token()?));
        cursor.skip_space();
        while cursor.take(b';') {
            cursor.skip_space();
            let name = cursor.token()?;
            cursor.skip_space();
            let value = if cursor.take(b'=') {
                cursor.skip_space();
                Some(cursor.value()?)
            } else {
                None
            };
            emit(Part::Param(name, value));
            cursor.skip_space();
        }
        if !cursor.0.is_empty() && !cursor.take(b',') {
            return Err(Malformed);
        }
    }
}

struct Cursor<'v>(&'v [u8]);

impl<'v> Cursor<'v> {
    fn skip_space(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Result<&'v str, Malformed> {
        let (token, rest) = self.0.split_at_checked(syntax::token_run(self.0)).ok_or(Malformed)?;
        self.0 = rest;
        if token.is_empty() { Err(Malformed) } else { core::str::from_utf8(token).map_err(|_| Malformed) }
    }

    /// A token, or a quoted string that is a token when unquoted.
    fn value(&mut self) -> Result<Cow<'v, str>, Malformed> {
        if !self.take(b'"') {
            return self.token().map(Cow::Borrowed);
        }
        let plain = syntax::token_run(self.0);
        if let Some((text, [b'"', rest @ ..])) = self.0.split_at_checked(plain)
            && plain > 0
        {
            self.0 = rest;
            return core::str::from_utf8(text).map(Cow::Borrowed).map_err(|_| Malformed);
        }
        let mut text = String::new();
        loop {
            let (byte, rest) = match self.0 {
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    return if text.is_empty() { Err(Malformed) } else { Ok(Cow::Owned(text)) };
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] => (*byte, rest),
                [] => return Err(Malformed),
            };
            if !syntax::is_token_byte(byte) {
                return Err(Malformed);
            }
            text.push(char::from(byte));
            self.0 = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn read(value: &str) -> Result<Vec<String>, Malformed> {
        let mut list = Vec::new();
        let parsed = parse(value.as_bytes(), &mut list);
        assert_eq!(check(value.as_bytes()), parsed);
        parsed.map(|()| list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn n01_grammar() {
        assert_eq!(
            read("permessage-deflate; client_max_window_bits, permessage-deflate;server_max_window_bits=10"),
            Ok(vec![
                "permessage-deflate; client_max_window_bits".into(),
                "permessage-deflate; server_max_window_bits=10".into()
            ])
        );
        assert_eq!(read("a;b=\"c\";d = e ; f=\"\\g\\h\""), Ok(vec!["a; b=c; d=e; f=gh".into()]));
        for bad in [
            "a b",
            "a;",
            "a;=b",
            "a;b=",
            "a;b=\"\"",
            "a;b=\"c",
            "a;b=\"c d\"",
            "a;b=\"c\"d",
            "a;b=c d",
            "=a",
            ";a",
            "a\"b\"",
            "a;b=\"c\\",
            "a;b=\"\\\"\"",
            "\u{e4}",
            "a;;b",
            "a=b",
            "a;b=\"c,d\"",
        ] {
            assert_eq!(read(bad), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn n02_empty_elements_are_ignored() {
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read(" ,, a ,\t, b,"), Ok(vec!["a".into(), "b".into()]));
    }
}
