//! The opening handshake of hixie-76 (which is hybi-00) and of hybi-01 to -03, both roles.
//!
//! Beside the head there are bytes that no header announces: eight of the client's, sixteen of the server's, which is
//! the MD5 of two numbers hidden in the head and those eight.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use md5::{Digest as _, Md5};

use super::client::ClientRequest;
use super::error::HandshakeError;
use super::hixie75::{self, Prefix};
use super::request::{Key, Request, Upgrade};
use super::server::ServerConfig;
use super::upgrade::{Field, Fields};
use crate::connection::Negotiated;
use crate::entropy::{Entropy, EntropyError};
use crate::http::ResponseHead;
use crate::version::Version;

/// How many bytes of the client's follow its head.
pub(super) const BODY: usize = 8;
/// How many bytes of the server's follow its head.
pub(super) const REPLY: usize = 16;

/// No legal key has more digits than ten.
const DIGITS_MAX: usize = 20;

/// Whether a version has this handshake.
pub(super) const fn has(version: Version) -> bool {
    matches!(version, Version::Hixie76 | Version::Hybi01 | Version::Hybi02 | Version::Hybi03)
}

/// The number that a key hides: its digits, divided by the number of its spaces.
///
/// `None` if there is none that fits 32 bits without a rest: a client of this protocol does not send such a key.
fn number(key: &[u8]) -> Option<u32> {
    let spaces = key.iter().filter(|b| **b == b' ').count() as u64;
    let digits = || key.iter().filter(|b| b.is_ascii_digit());
    if spaces == 0 || !matches!(digits().count(), 1..=DIGITS_MAX) {
        return None;
    }
    let digit = |sum: u64, b: &u8| sum.checked_mul(10)?.checked_add(u64::from(*b - b'0'));
    let product = digits().try_fold(0, digit)?;
    if product % spaces != 0 {
        return None;
    }
    u32::try_from(product / spaces).ok()
}

/// What proves that both read the key lines and the bytes behind them.
pub(super) fn reply(numbers: &[u8; 8], body: &[u8; BODY]) -> [u8; REPLY] {
    Md5::new().chain_update(numbers).chain_update(body).finalize().into()
}

fn join(first: u32, second: u32) -> [u8; 8] {
    (u64::from(first) << 32 | u64::from(second)).to_be_bytes()
}

/// Server: the rules that only these versions have.
pub(super) fn check_request(
    version: Version,
    fields: &Fields<'_>,
    config: &ServerConfig,
) -> Result<Upgrade, HandshakeError> {
    let read = |field: &Field<'_>| match (field.value, field.count) {
        (None, _) => Err(HandshakeError::KeyMissing),
        (Some(key), 1) => number(key).ok_or(HandshakeError::ChallengeInvalid),
        _ => Err(HandshakeError::KeyRepeated),
    };
    let key = Key::Numbers(join(read(&fields.key1)?, read(&fields.key2)?));
    let subprotocol = hixie75::check_names(fields, &fields.protocol, config)?;
    Ok(Upgrade { version, key, subprotocol })
}

/// Server: the 101 up to the empty line. `extra` are finished header lines.
pub(super) fn make_response(request: &Request, negotiated: &Negotiated, secure: bool, extra: &str) -> Vec<u8> {
    let mut out =
        String::from("HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n");
    hixie75::push_names(&mut out, Prefix::Sec, request, negotiated, secure);
    out.push_str(extra);
    out.push_str("\r\n");
    out.into_bytes()
}

/// Client: the request with the eight bytes, and the answer that it wants.
pub(super) fn make_request(
    version: Version,
    request: &ClientRequest,
    entropy: &mut dyn Entropy,
) -> Result<(Vec<u8>, [u8; REPLY]), EntropyError> {
    let mut dice = Dice { bytes: [0; DICE], at: 0 };
    entropy.fill(&mut dice.bytes)?;
    let (first, key1) = make_key(&mut dice);
    let (second, key2) = make_key(&mut dice);
    let mut lines = ["Sec-WebSocket-Key1: ", &key1, "\r\nSec-WebSocket-Key2: ", &key2, "\r\n"].concat();
    if let Some(draft) = version.draft() {
        lines.push_str(&["Sec-WebSocket-Draft: ", &draft.to_string(), "\r\n"].concat());
    }
    let mut body = [0; BODY];
    entropy.fill(&mut body)?;
    let mut out = hixie75::make_request(request, Prefix::Sec, &lines);
    // In the same write as the head: there are servers that look for them there only.
    out.extend_from_slice(&body);
    Ok((out, reply(&join(first, second), &body)))
}

/// A number, and the key that hides it.
fn make_key(dice: &mut Dice) -> (u32, String) {
    let spaces = 1 + dice.below(12);
    let max = u32::MAX / spaces;
    // Not 0, although the draft allows it: there are servers that refuse it.
    let number = 1 + dice.below(max);
    let mut key = (u64::from(number) * u64::from(spaces)).to_string();
    for _ in 0..=dice.below(12) {
        let at = dice.below(key.len() as u32 + 1);
        // U+0021 to U+002F and U+003A to U+007E: 15 and 69 characters.
        let noise = match dice.below(84) as u8 {
            n @ 0..15 => b'!' + n,
            n => b':' + (n - 15),
        };
        key.insert(at as usize, char::from(noise));
    }
    for _ in 0..spaces {
        // Never at the ends, where they would be taken for white space around the value.
        let at = 1 + dice.below(key.len() as u32 - 1);
        key.insert(at as usize, ' ');
    }
    (number, key)
}

/// Enough for two keys: four bytes for each throw, and no key takes more than 3 + 2 * 12 + 12 of them.
const DICE: usize = 2 * 4 * 39;

/// Unpredictable numbers.
struct Dice {
    bytes: [u8; DICE],
    at: usize,
}

impl Dice {
    /// A number below `n`, which is at least 1. That some come a little more often does not matter here.
    fn below(&mut self, n: u32) -> u32 {
        let four = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        self.at += 4;
        u32::from_le_bytes(four) % n.max(1)
    }
}

/// Client: judges the head of a 101. The sixteen bytes behind it are still to come.
pub(super) fn check_response(
    version: Version,
    head: &ResponseHead,
    request: &ClientRequest,
) -> Result<Negotiated, HandshakeError> {
    // Neither the reason nor the case of names and values is looked at: servers differ there.
    let fields = Fields::of_switch(head)?;
    if fields.connection.count > 1 {
        return Err(HandshakeError::Connection);
    }
    let mut negotiated = Negotiated::new(version);
    negotiated.subprotocol = hixie75::check_answer(head, request, Prefix::Sec)?;
    Ok(negotiated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Target;

    #[test]
    fn samples_of_the_drafts() {
        for (key1, key2, body, numbers, wanted) in [
            (
                "4 @1  46546xW%0l 1 5",
                "12998 5 Y3 1  .P00",
                b"^n:ds[4U",
                (829_309_203, 259_970_620),
                b"8jKS'y:G*Co,Wxa-",
            ),
            (
                "18x 6]8vM;54 *(5:  {   U1]8  z [  8",
                "1_ tx7X d  <  nw  334J702) 7]o}` 0",
                b"Tm[K T2u",
                (155_712_099, 173_347_027),
                b"fQJ,fN/4F4!~K~MH",
            ),
            (
                "3e6b263  4 17 80",
                "17  9 G`ZD9   2 2b 7X 3 /r90",
                b"WjN}|M(6",
                (906_585_445, 179_922_739),
                b"n`9eBk9z$R8pOtVb",
            ),
        ] {
            let (first, second) = numbers;
            assert_eq!((number(key1.as_bytes()), number(key2.as_bytes())), (Some(first), Some(second)));
            assert_eq!(&reply(&join(first, second), body), wanted);
        }
    }

    /// A generator that is good enough to see many keys (xorshift64).
    struct Xorshift(u64);

    impl Entropy for Xorshift {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
            for byte in out {
                self.0 ^= self.0 << 13;
                self.0 ^= self.0 >> 7;
                self.0 ^= self.0 << 17;
                *byte = (self.0 >> 32) as u8;
            }
            Ok(())
        }
    }

    /// A source that gives one byte for ever.
    struct Constant(u8);

    impl Entropy for Constant {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
            out.fill(self.0);
            Ok(())
        }
    }

    fn check_key(entropy: &mut dyn Entropy) {
        let mut dice = Dice { bytes: [0; DICE], at: 0 };
        entropy.fill(&mut dice.bytes).unwrap();
        for _ in 0..2 {
            let (hidden, key) = make_key(&mut dice);
            assert_eq!((number(key.as_bytes()), hidden != 0), (Some(hidden), true), "{key}");
            assert_eq!(key.trim(), key);
            assert!(key.bytes().all(|b| matches!(b, 0x20..=0x7e)), "{key}");
            assert!(matches!(key.matches(' ').count(), 1..=12), "{key}");
            let noise = key.bytes().filter(|b| *b != b' ' && !b.is_ascii_digit()).count();
            assert!(matches!(noise, 1..=12), "{key}");
        }
        assert!(dice.at <= DICE);
    }

    #[test]
    fn keys_are_as_the_draft_says() {
        let mut entropy = Xorshift(1);
        (0..10_000).for_each(|_| check_key(&mut entropy));
        (0..=255).for_each(|b| check_key(&mut Constant(b)));
    }

    #[test]
    fn the_eight_bytes_follow_the_head() {
        let request = ClientRequest::new(Target::new(false, "Example.com", Some(80), "/demo").unwrap());
        let (bytes, wanted) = make_request(Version::Hybi02, &request, &mut Xorshift(7)).unwrap();
        let (head, body) = bytes.split_at(bytes.len() - BODY);
        let head = core::str::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n");
        assert_eq!(lines.next(), Some("GET /demo HTTP/1.1"));
        let mut value = |name: &str| lines.next().unwrap().strip_prefix(name).unwrap();
        assert_eq!(
            (value("Upgrade: "), value("Connection: "), value("Host: ")),
            ("WebSocket", "Upgrade", "example.com")
        );
        assert_eq!(value("Origin: "), "http://example.com");
        let [first, second] = ["Sec-WebSocket-Key1: ", "Sec-WebSocket-Key2: "].map(|n| number(value(n).as_bytes()));
        assert_eq!((value("Sec-WebSocket-Draft: "), value(""), value("")), ("2", "", ""));
        assert_eq!(reply(&join(first.unwrap(), second.unwrap()), body.try_into().unwrap()), wanted);
    }
}
