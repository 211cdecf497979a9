//! Name and value pairs: cookies and queries, read on demand.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::syntax;

/// The cookies of one `Cookie` value, tolerant as RFC 6265 section 5.4 asks of servers: pairs without `=` and pairs
/// that are not UTF-8 are left out, spaces in a value are kept.
pub(crate) fn cookies(value: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    value.split(|b| *b == b';').filter_map(|pair| {
        let (name, value) = core::str::from_utf8(pair).ok()?.split_once('=')?;
        Some((syntax::trim_str(name), syntax::trim_str(value)))
    })
}

/// The pairs of a query, decoded as HTML forms encode them.
pub(crate) fn query(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// `+` is a space, `%xx` a byte; what is no UTF-8 then becomes U+FFFD.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| matches!(b, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => break,
            [b'+', rest @ ..] => {
                out.push(b' ');
                rest
            }
            [b'%', a, b, after @ ..] => match (hex(*a), hex(*b)) {
                (Some(a), Some(b)) => {
                    out.push(a * 16 + b);
                    after
                }
                _ => {
                    out.push(b'%');
                    rest.get(1..).unwrap_or_default()
                }
            },
            [b, rest @ ..] => {
                out.push(*b);
                rest
            }
        };
    }
    Cow::Owned(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a20_cookies() {
        let want = [("chocolate", "tasty"), ("cabbage", "not so much")];
        for text in ["chocolate=tasty; cabbage=not so much", "chocolate=tasty;cabbage=not so much;"] {
            assert_eq!(cookies(text.as_bytes()).collect::<Vec<_>>(), want);
        }
        let odd: Vec<_> = cookies(b";;a;=b; c==d=;\xff=1;e=").collect();
        assert_eq!(odd, [("", "b"), ("c", "=d="), ("e", "")]);
    }

    #[test]
    fn queries_are_decoded() {
        let pairs: Vec<_> = query("a=b+c&&d&e=%41%e4%C3%A4%4&%zz=%").collect();
        let want = [("a", "b c"), ("d", ""), ("e", "A\u{fffd}\u{e4}%4"), ("%zz", "%")];
        assert_eq!(pairs.iter().map(|(n, v)| (&**n, &**v)).collect::<Vec<_>>(), want);
    }
}
