//! The last bytes of a direction: what the next message may refer to.

use std::collections::{TryReserveError, VecDeque};

/// The last 2^bits bytes that were decoded or sent. Grows with what was, from nothing.
#[derive(Debug)]
pub(super) struct History {
    ring: VecDeque<u8>,
    /// How many bytes it keeps.
    most: usize,
}

impl History {
    /// Nothing yet; `bits` is from 8 to 15.
    pub(super) fn new(bits: u8) -> Self {
        Self { ring: VecDeque::new(), most: 1 << bits.clamp(8, 15) }
    }

    /// Appends, and forgets what is then too old.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), TryReserveError> {
        let (_, bytes) = bytes.split_at(bytes.len().saturating_sub(self.most));
        let old = (self.ring.len() + bytes.len()).saturating_sub(self.most);
        self.ring.drain(..old);
        let need = self.ring.len() + bytes.len();
        if need > self.ring.capacity() {
            // Doubling, but by hand: the ring must not become larger than the window.
            let capacity = need.max(self.ring.capacity() * 2).min(self.most);
            self.ring.try_reserve_exact(capacity - self.ring.len())?;
        }
        self.ring.extend(bytes);
        Ok(())
    }

    /// Forgets everything; the memory stays.
    pub(super) fn clear(&mut self) {
        self.ring.clear();
    }

    /// Forgets everything, and gives the memory back.
    pub(super) fn release(&mut self) {
        self.ring = VecDeque::new();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// The bytes in order, in two parts.
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        let (first, second) = self.ring.as_slices();
        [first, second]
    }

    /// The bytes in order, moved into one part.
    pub(super) fn whole(&mut self) -> &[u8] {
        self.ring.make_contiguous()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn keeps_the_last_bytes_and_never_more_than_its_window() {
        for (bits, step) in
            [(8, 1), (8, 7), (8, 255), (8, 256), (8, 257), (8, 1000), (10, 300), (15, 16_384), (15, 100)]
        {
            let most = 1 << bits;
            let mut history = History::new(bits);
            assert_eq!(history.ring.capacity(), 0);
            let mut all = Vec::new();
            for turn in 0..(3 * most / step).max(3) {
                let bytes: Vec<u8> = (0..step).map(|i| (turn * 31 + i) as u8).collect();
                all.extend_from_slice(&bytes);
                history.push(&bytes).unwrap();
                let expect = &all[all.len().saturating_sub(most)..];
                assert_eq!(history.parts().concat(), expect);
                assert!(history.ring.capacity() <= most && history.ring.capacity() <= 2 * all.len());
            }
            let expect = &all[all.len().saturating_sub(most)..];
            assert_eq!(history.whole(), expect);
            history.clear();
            assert_eq!(history.parts().concat(), b"");
        }
    }
}
