//! An inflater that is as simple as can be, checks everything, and says how far back a stream refers.

use std::vec;
use std::vec::Vec;

/// What a stream of blocks is.
#[derive(Debug)]
pub(super) struct Inflated {
    pub(super) text: Vec<u8>,
    /// The largest distance.
    pub(super) farthest: usize,
    /// The last block was a final one.
    pub(super) ended: bool,
    /// The last block was a stored one without content, as a flush makes it.
    pub(super) empty_last: bool,
    /// Where the current stream begins: what precedes can't be referred to.
    start: usize,
}

struct Bits<'s> {
    stream: &'s [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<usize> {
        let mut value = 0;
        for n in 0..count {
            let byte = self.stream.get(self.at / 8)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << n;
            self.at += 1;
        }
        Some(value)
    }
}

/// Codes in canonical order: how many of each length, and their symbols.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    /// `None` if the lengths are more than there are codes, or fewer, except for one code of length 1 or none at all.
    fn new(lengths: &[usize]) -> Option<Self> {
        let mut counts = [0; 16];
        let mut symbols = Vec::new();
        for (length, count) in counts.iter_mut().enumerate().skip(1) {
            symbols.extend((0..lengths.len()).filter(|&symbol| lengths[symbol] == length));
            *count = lengths.iter().filter(|&&l| l == length).count();
        }
        let used: usize = (1..16).map(|length| counts[length] << (15 - length)).sum();
        let few = symbols.is_empty() || (symbols.len() == 1 && counts[1] == 1);
        (used == 1 << 15 || few).then_some(Self { counts, symbols })
    }

    fn read(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for length in 1..16 {
            code |= bits.take(1)?;
            let count = self.counts[length];
            if code < first + count {
                return self.symbols.get(index + code - first).copied();
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }
}

/// Inflates whole blocks until the input ends at a byte border. `history` is what may be referred to besides.
pub(super) fn inflate(history: &[u8], stream: &[u8]) -> Option<Inflated> {
    let mut bits = Bits { stream, at: 0 };
    let mut made = Inflated { text: history.to_vec(), farthest: 0, ended: false, empty_last: false, start: 0 };
    while bits.at < stream.len() * 8 {
        made.ended = bits.take(1)? == 1;
        made.empty_last = false;
        match bits.take(2)? {
            0 => {
                bits.at = bits.at.next_multiple_of(8);
                let length = bits.take(16)?;
                if bits.take(16)? != length ^ 0xffff {
                    return None;
                }
                let start = bits.at / 8;
                made.text.extend_from_slice(stream.get(start..start + length)?);
                bits.at += length * 8;
                made.empty_last = length == 0;
            }
            1 => {
                let lengths: Vec<usize> = (0..288)
                    .map(|n| match n {
                        0..144 => 8,
                        144..256 => 9,
                        256..280 => 7,
                        _ => 8,
                    })
                    .collect();
                block(&mut bits, &mut made, &Code::new(&lengths)?, &Code::new(&[5; 32])?)?;
            }
            2 => {
                let (literals, distances) = tables(&mut bits)?;
                block(&mut bits, &mut made, &literals, &distances)?;
            }
            _ => return None,
        }
        if made.ended {
            bits.at = bits.at.next_multiple_of(8);
            made.start = made.text.len();
        }
    }
    made.text.drain(..history.len());
    Some(made)
}

fn tables(bits: &mut Bits<'_>) -> Option<(Code, Code)> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let literals = bits.take(5)? + 257;
    let total = literals + bits.take(5)? + 1;
    if literals > 286 || total - literals > 30 {
        return None;
    }
    let mut lengths = [0; 19];
    for place in ORDER.iter().take(bits.take(4)? + 4) {
        lengths[*place] = bits.take(3)?;
    }
    // Here no lone code will do.
    let code = Code::new(&lengths).filter(|code| code.symbols.len() != 1)?;
    let mut lengths: Vec<usize> = Vec::new();
    while lengths.len() < total {
        let (value, times) = match code.read(bits)? {
            16 => (*lengths.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length, 1),
        };
        lengths.extend(vec![value; times]);
    }
    if lengths.len() != total || lengths[256] == 0 {
        return None;
    }
    Some((Code::new(&lengths[..literals])?, Code::new(&lengths[literals..])?))
}

fn block(bits: &mut Bits<'_>, made: &mut Inflated, literals: &Code, distances: &Code) -> Option<()> {
    loop {
        let symbol = literals.read(bits)?;
        match symbol {
            0..256 => made.text.push(symbol as u8),
            256 => return Some(()),
            _ => {
                let length = match symbol - 257 {
                    n @ 0..8 => n + 3,
                    28 => 258,
                    n @ 8..28 => ((4 + n % 4) << (n / 4 - 1)) + 3 + bits.take(n as u32 / 4 - 1)?,
                    _ => return None,
                };
                let distance = match distances.read(bits)? {
                    n @ 0..4 => n + 1,
                    n @ 4..30 => ((2 + n % 2) << (n / 2 - 1)) + 1 + bits.take(n as u32 / 2 - 1)?,
                    _ => return None,
                };
                made.farthest = made.farthest.max(distance);
                let start = made.text.len().checked_sub(distance).filter(|&start| start >= made.start)?;
                for n in 0..length {
                    made.text.push(made.text[start + n]);
                }
            }
        }
    }
}

#[test]
fn the_examples_of_rfc7692() {
    let inflate = |stream: &[u8]| inflate(b"", stream).map(|made| made.text);
    assert_eq!(inflate(b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff"), Some(b"Hello".to_vec()));
    assert_eq!(inflate(b"\x00\x05\x00\xfa\xffHello\x00\x00\x00\xff\xff"), Some(b"Hello".to_vec()));
    assert_eq!(inflate(b"\xf2\x00\x11\x00\x00\x00\x00\xff\xff"), None, "refers to nothing");
}
