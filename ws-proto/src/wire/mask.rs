//! Masking (RFC 6455 section 5.3), in place and while copying, fused with a check for ASCII.
//!
//! Everything works on fixed blocks that the compiler turns into vector code. What is left at the end
//! of a buffer is covered by a block that overlaps the one before: it is read before anything is
//! written, so no byte is masked twice.

use alloc::vec::Vec;

/// Bytes of the widest block; a multiple of the key length, so the key keeps its phase.
const BLOCK: usize = 64;

/// XORs `payload` with `key`; `offset` is the position of its first byte in the frame's payload.
///
/// Masking twice gives the original back. `mask(k, 0, a ++ b)` equals `mask(k, 0, a)` and then
/// `mask(k, a.len(), b)`.
///
/// ```
/// use ws_proto::wire::mask;
/// let mut data = *b"Whoa";
/// mask([0x00, 0x14, 0x81, 0x5a], 0, &mut data);
/// assert_eq!(data, [0x57, 0x7c, 0xee, 0x3b]);
/// ```
#[inline]
pub fn mask(key: [u8; 4], offset: usize, payload: &mut [u8]) {
    mask_is_ascii(key, offset, payload);
}

/// Like [`mask`]; says whether the result is ASCII, for free.
#[inline]
pub fn mask_is_ascii(key: [u8; 4], offset: usize, payload: &mut [u8]) -> bool {
    let key = rotate(key, offset);
    if payload.len() >= BLOCK { wide(key, payload) < 0x80 } else { narrow(key, payload) < 0x80 }
}

/// By how many bits the key turns in `offset` bytes.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "below 4")]
const fn turn(offset: usize) -> u32 {
    8 * (offset % 4) as u32
}

/// The key as seen from `offset` bytes into the payload.
#[inline]
pub(crate) const fn rotate(key: [u8; 4], offset: usize) -> [u8; 4] {
    u32::from_le_bytes(key).rotate_right(turn(offset)).to_le_bytes()
}

/// The key twice.
#[inline]
const fn lane(key: [u8; 4]) -> u64 {
    let word = u32::from_le_bytes(key) as u64;
    word | word << 32
}

/// The key four times.
#[inline]
const fn wide_lane(key: [u8; 4]) -> u128 {
    let lane = lane(key) as u128;
    lane | lane << 64
}

/// The key as often as it fits.
#[inline]
fn spread<const N: usize>(key: [u8; 4]) -> [u8; N] {
    let mut wide = [0; N];
    for lane_of_8 in wide.as_chunks_mut::<8>().0 {
        *lane_of_8 = lane(key).to_le_bytes();
    }
    wide
}

/// XORs a block with the spread key; gathers the OR of the results.
#[inline]
fn block<const N: usize>(key: &[u8; N], data: &mut [u8; N], seen: &mut [u8; N]) {
    for ((data, key), seen) in data.iter_mut().zip(key).zip(seen) {
        *data ^= *key;
        *seen |= *data;
    }
}

/// A byte whose top bit is set if that of any byte is.
#[inline]
fn fold<const N: usize>(seen: &[u8; N]) -> u8 {
    high_bit(seen.as_chunks::<8>().0.iter().fold(0, |all, lane| all | u64::from_le_bytes(*lane)))
}

/// At least one block.
fn wide(key: [u8; 4], payload: &mut [u8]) -> u8 {
    let len = payload.len();
    let Some(&last) = payload.last_chunk::<BLOCK>() else { return narrow(key, payload) };
    let wide_key = spread(key);
    let mut seen = [0; BLOCK];
    let (blocks, rest) = payload.as_chunks_mut::<BLOCK>();
    let aligned = rest.is_empty();
    for data in blocks {
        block(&wide_key, data, &mut seen);
    }
    if !aligned {
        let mut last = last;
        block(&spread(rotate(key, len % BLOCK)), &mut last, &mut seen);
        if let Some(end) = payload.last_chunk_mut::<BLOCK>() {
            *end = last;
        }
    }
    fold(&seen)
}

/// Fewer bytes than a block.
#[inline]
fn narrow(key: [u8; 4], payload: &mut [u8]) -> u8 {
    let len = payload.len();
    if len >= 32 {
        return halves(key, payload);
    }
    if len >= 16 {
        let wide = wide_lane(key);
        let (Some(a), Some(b)) = (payload.first_chunk::<16>(), payload.last_chunk::<16>()) else { return 0 };
        let a = u128::from_le_bytes(*a) ^ wide;
        let b = u128::from_le_bytes(*b) ^ wide_lane(rotate(key, len));
        put(payload, a.to_le_bytes(), b.to_le_bytes());
        return high_bit_wide(a | b);
    }
    let word = u32::from_le_bytes(key);
    if len >= 8 {
        let key = lane(key);
        let (Some(a), Some(b)) = (payload.first_chunk::<8>(), payload.last_chunk::<8>()) else { return 0 };
        let a = u64::from_le_bytes(*a) ^ key;
        let b = u64::from_le_bytes(*b) ^ key.rotate_right(turn(len));
        put(payload, a.to_le_bytes(), b.to_le_bytes());
        return high_bit(a | b);
    }
    if len >= 4 {
        let (Some(a), Some(b)) = (payload.first_chunk::<4>(), payload.last_chunk::<4>()) else { return 0 };
        let a = u32::from_le_bytes(*a) ^ word;
        let b = u32::from_le_bytes(*b) ^ word.rotate_right(turn(len));
        put(payload, a.to_le_bytes(), b.to_le_bytes());
        return high_bit(u64::from(a | b));
    }
    let mut seen = 0;
    for (byte, key) in payload.iter_mut().zip(key) {
        *byte ^= key;
        seen |= *byte;
    }
    seen
}

/// `32 <= len <= 64`: four lanes, the last two counted from the end.
#[inline]
fn halves(key: [u8; 4], payload: &mut [u8]) -> u8 {
    let len = payload.len();
    let (Some(&first), Some(&last)) = (payload.first_chunk::<32>(), payload.last_chunk::<32>()) else { return 0 };
    let (front, back) = (wide_lane(key), wide_lane(rotate(key, len)));
    let ([a, b], [c, d]) = (pair(&first), pair(&last));
    let (a, b, c, d) = (a ^ front, b ^ front, c ^ back, d ^ back);
    put_pair(payload.first_chunk_mut(), a, b);
    put_pair(payload.last_chunk_mut(), c, d);
    high_bit_wide(a | b | c | d)
}

#[inline]
fn pair(bytes: &[u8; 32]) -> [u128; 2] {
    let (lanes, _) = bytes.as_chunks::<16>();
    match lanes {
        [a, b] => [u128::from_le_bytes(*a), u128::from_le_bytes(*b)],
        _ => [0, 0],
    }
}

#[inline]
fn put_pair(to: Option<&mut [u8; 32]>, a: u128, b: u128) {
    if let Some((first, second)) = to.and_then(|to| to.split_first_chunk_mut::<16>()) {
        *first = a.to_le_bytes();
        second.copy_from_slice(&b.to_le_bytes());
    }
}

#[inline]
fn put<const N: usize>(payload: &mut [u8], first: [u8; N], last: [u8; N]) {
    if let Some(start) = payload.first_chunk_mut() {
        *start = first;
    }
    if let Some(end) = payload.last_chunk_mut() {
        *end = last;
    }
}

/// A byte whose top bit is set if the top bit of any byte of `word` is.
#[inline]
const fn high_bit(word: u64) -> u8 {
    if word & 0x8080_8080_8080_8080 != 0 { 0x80 } else { 0 }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the upper half is in the lower one")]
const fn high_bit_wide(word: u128) -> u8 {
    high_bit((word | word >> 64) as u64)
}

/// Appends `payload` XORed with `key` (already rotated), in one pass; says whether the result is ASCII.
///
/// The caller has reserved the room; a vector without room grows all the same.
#[inline(always)]
pub(crate) fn extend_masked(out: &mut Vec<u8>, key: [u8; 4], payload: &[u8]) -> bool {
    let (blocks, rest) = payload.as_chunks::<BLOCK>();
    let seen = if blocks.is_empty() { 0 } else { extend_blocks(out, key, blocks) };
    if rest.len() < 8 {
        // Too little for a call to copy and another to mask.
        let mut seen = seen;
        for (byte, key) in rest.iter().zip(key.into_iter().cycle()) {
            seen |= byte ^ key;
            out.push(byte ^ key);
        }
        return seen < 0x80;
    }
    let start = out.len();
    out.extend_from_slice(rest);
    let tail = out.get_mut(start..).map_or(0, |tail| narrow(key, tail));
    (seen | tail) < 0x80
}

fn extend_blocks(out: &mut Vec<u8>, key: [u8; 4], blocks: &[[u8; BLOCK]]) -> u8 {
    let wide_key = spread::<BLOCK>(key);
    let mut seen = [0; BLOCK];
    for data in blocks {
        let mut data = *data;
        block(&wide_key, &mut data, &mut seen);
        out.extend_from_slice(&data);
    }
    fold(&seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(key: [u8; 4], offset: usize, data: &[u8]) -> Vec<u8> {
        data.iter().enumerate().map(|(i, b)| b ^ key[(i + offset) % 4]).collect()
    }

    fn sample(len: usize, salt: usize) -> Vec<u8> {
        (0..len).map(|i| (i.wrapping_mul(197) + salt.wrapping_mul(31) + (i >> 3)) as u8).collect()
    }

    /// The key rotated by a multiple of four and by anything else, against the one-line definition.
    #[test]
    fn threat_007_masking_is_exact_for_every_length_offset_and_alignment() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let (lens, aligns) = if cfg!(miri) { (0..140, 0..4) } else { (0..1026, 0..64) };
        for len in lens {
            for align in aligns.clone() {
                let offset = (len + align) % 4;
                let mut data = sample(align + len, len);
                let expected = reference(key, offset, &data[align..]);
                let ascii = mask_is_ascii(key, offset, &mut data[align..]);
                assert_eq!(&data[align..], expected, "len {len} offset {offset} align {align}");
                assert_eq!(ascii, expected.is_ascii());
            }
        }
    }

    #[test]
    fn every_offset_and_a_split_anywhere() {
        let key = [1, 0x82, 3, 0x84];
        for len in 0..200 {
            for offset in 0..5 {
                let data = sample(len, offset);
                let expected = reference(key, offset, &data);
                for cut in [0, 1, len / 3, len / 2, len] {
                    let cut = cut.min(len);
                    let mut copy = data.clone();
                    mask(key, offset, &mut copy[..cut]);
                    mask(key, offset + cut, &mut copy[cut..]);
                    assert_eq!(copy, expected);
                }
                let mut out = Vec::from(*b"x");
                let ascii = extend_masked(&mut out, rotate(key, offset), &data);
                assert_eq!(&out[1..], expected);
                assert_eq!(ascii, expected.is_ascii());
            }
        }
    }

    #[test]
    fn one_byte_that_is_not_ascii_is_found_wherever_it_is() {
        for len in [1, 3, 5, 9, 17, 33, 63, 64, 65, 127, 128, 200] {
            for at in 0..len {
                let mut data = reference([9, 8, 7, 6], 0, &sample(len, 0).iter().map(|b| b & 0x7f).collect::<Vec<_>>());
                assert!(mask_is_ascii([9, 8, 7, 6], 0, &mut data.clone()));
                data[at] ^= 0x80;
                assert!(!mask_is_ascii([9, 8, 7, 6], 0, &mut data));
            }
        }
    }
}
