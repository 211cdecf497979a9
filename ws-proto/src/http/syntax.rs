//! The classes of bytes that HTTP knows (RFC 9110 section 5.6), in one place.

/// Bytes of a token: `tchar` of RFC 9110 section 5.6.2.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        table[i] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        i += 1;
    }
    table
};

/// Whether `b` may stand in a token.
#[inline]
pub(crate) fn is_token_byte(b: u8) -> bool {
    TOKEN[usize::from(b)]
}

/// Whether `bytes` is a token: not empty, only token bytes.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| is_token_byte(*b))
}

/// Whether `b` may stand in a header value: HTAB, SP, VCHAR, obs-text (RFC 9110 section 5.5).
#[inline]
pub(crate) fn is_value_byte(b: u8) -> bool {
    (b >= 0x20) & (b != 0x7f) | (b == b'\t')
}

/// Whether `b` may stand in a request target. Brackets, bars and the like are tolerated because browsers send them
/// in queries; a fragment and bytes above ASCII are not.
#[inline]
pub(crate) fn is_target_byte(b: u8) -> bool {
    matches!(b, 0x21..=0x7e) && b != b'#'
}

/// How many bytes at the front belong to a token.
#[inline]
pub(crate) fn token_run(bytes: &[u8]) -> usize {
    run(bytes, is_token_byte)
}

/// How many bytes at the front may stand in a header value.
///
/// Eight bytes at a time: a byte below 0x20 or equal to 0x7f sets its top bit in `odd`. A borrow can only set bits
/// above the lowest one, so the lowest one is right.
#[inline]
pub(crate) fn value_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    let mut n = 0;
    while let Some(word) = bytes.get(n..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        let delete = word ^ (ONES * 0x7f);
        let low = word.wrapping_sub(ONES * 0x20) & !word;
        let odd = (low | delete.wrapping_sub(ONES) & !delete) & (ONES * 0x80);
        if odd == 0 {
            n += 8;
            continue;
        }
        n += odd.trailing_zeros() as usize / 8;
        match bytes.get(n) {
            Some(b'\t') => n += 1,
            _ => return n,
        }
    }
    n + run(bytes.get(n..).unwrap_or_default(), is_value_byte)
}

/// How many bytes at the front may stand in a request target.
#[inline]
pub(crate) fn target_run(bytes: &[u8]) -> usize {
    run(bytes, is_target_byte)
}

#[inline]
fn run(bytes: &[u8], class: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|b| !class(*b)).unwrap_or(bytes.len())
}

/// Cuts optional white space off both ends (RFC 9110 section 5.6.3).
#[inline]
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Cuts optional white space off both ends of a text.
#[inline]
pub(crate) fn trim_str(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The elements of a comma-separated list without quoted strings; empty ones are left out
/// (RFC 9110 section 5.6.1.2).
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(trim).filter(|e| !e.is_empty())
}

/// Whether the list has this element, ignoring case.
pub(crate) fn has_token(value: &[u8], token: &str) -> bool {
    elements(value).any(|e| e.eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_agree_with_the_grammar() {
        for b in 0..=255u8 {
            let separator = b"()<>@,;:\\\"/[]?={} \t".contains(&b);
            assert_eq!(is_token_byte(b), matches!(b, 0x21..=0x7e) && !separator, "{b:#x}");
            assert_eq!(is_value_byte(b), b == 9 || (b >= 32 && b != 127), "{b:#x}");
        }
    }

    #[test]
    fn runs_stop_at_the_first_other_byte() {
        for n in 0..70 {
            let mut bytes = [b'a'; 70];
            bytes[n] = b'\r';
            assert_eq!(value_run(&bytes), n);
            assert_eq!(token_run(&bytes), n);
            assert_eq!(target_run(&bytes), n);
        }
        assert_eq!(value_run(&[b'x'; 33]), 33);
        for b in 0..=255u8 {
            for at in 0..20 {
                let mut bytes = [b'\t'; 20];
                bytes[at] = b;
                assert_eq!(value_run(&bytes), if is_value_byte(b) { 20 } else { at }, "{b:#x} at {at}");
                bytes = [0xff; 20];
                bytes[at] = b;
                assert_eq!(value_run(&bytes), if is_value_byte(b) { 20 } else { at }, "{b:#x} at {at}");
            }
        }
        assert_eq!(value_run(b""), 0);
    }

    #[test]
    fn tokens_are_compared_whole_and_without_case() {
        assert!(has_token(b"keep-alive, Upgrade", "upgrade"));
        assert!(has_token(b",, \tUPGRADE\t,", "upgrade"));
        assert!(!has_token(b"notupgrade, upgrade2, up grade", "upgrade"));
    }
}
