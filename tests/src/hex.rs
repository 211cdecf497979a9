//! Bytes as people write them: `81 85 {37 fa 21 3d: "Hello"} 00*5`.

/// Reads bytes: hex pairs, quoted text, `{key: ...}` for what is masked with a key of four bytes (the key is
/// written too), each with `*N` behind it to repeat it.
///
/// # Errors
/// Says what could not be read.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    let mut rest = text.trim();
    let bytes = items(&mut rest)?;
    if rest.is_empty() { Ok(bytes) } else { Err(format!("bytes expected at {rest:?}")) }
}

fn items(rest: &mut &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    loop {
        *rest = rest.trim_start();
        let mut item = if let Some(after) = rest.strip_prefix('"') {
            *rest = after;
            quoted(rest)?
        } else if let Some(after) = rest.strip_prefix('{') {
            *rest = after;
            masked(rest)?
        } else if rest.starts_with(|c: char| c.is_ascii_hexdigit()) {
            let pair = rest.get(..2).ok_or("half a hex pair")?;
            *rest = &rest[2..];
            vec![u8::from_str_radix(pair, 16).map_err(|e| format!("{pair:?}: {e}"))?]
        } else {
            return Ok(out);
        };
        if let Some(after) = rest.strip_prefix('*') {
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let times: usize = after[..digits].parse().map_err(|_| "a number expected behind *")?;
            *rest = &after[digits..];
            item = item.repeat(times);
        }
        out.extend(item);
    }
}

fn quoted(rest: &mut &str) -> Result<Vec<u8>, String> {
    let mut out = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                *rest = &rest[at + 1..];
                return Ok(out.into_bytes());
            }
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 'r')) => out.push('\r'),
                Some((_, c @ ('"' | '\\'))) => out.push(c),
                other => return Err(format!("unknown escape {other:?}")),
            },
            c => out.push(c),
        }
    }
    Err("a quote is not closed".into())
}

fn masked(rest: &mut &str) -> Result<Vec<u8>, String> {
    let key: [u8; 4] = items(rest)?.try_into().map_err(|_| "a key has four bytes")?;
    *rest = rest.strip_prefix(':').ok_or("a : expected behind the key")?;
    let mut body = items(rest)?;
    *rest = rest.strip_prefix('}').ok_or("a } expected")?;
    for (i, byte) in body.iter_mut().enumerate() {
        *byte ^= key[i % 4];
    }
    Ok([&key[..], &body].concat())
}

/// The first bytes as hex pairs, and how many there are if not all are shown.
#[must_use]
pub fn show(bytes: &[u8]) -> String {
    let mut out: Vec<String> = bytes.iter().take(80).map(|b| format!("{b:02x}")).collect();
    if bytes.len() > 80 {
        out.push(format!("... ({} bytes)", bytes.len()));
    }
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_as_people_write_them() {
        assert_eq!(parse("81 05 \"Hello\"").unwrap(), b"\x81\x05Hello");
        assert_eq!(parse("{00 14 81 5a: \"Whoa\"}").unwrap(), b"\x00\x14\x81\x5a\x57\x7c\xee\x3b");
        assert_eq!(parse("\"ab\"*2 00*3 \"\\\"\"").unwrap(), b"abab\0\0\0\"");
        assert!(parse("8").is_err());
        assert!(parse("zz").is_err());
        assert!(parse("{01 02: 03}").is_err());
    }
}
