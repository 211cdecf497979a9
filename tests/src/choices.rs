//! Decisions read from bytes that a fuzzer or a property test made up.

/// Bytes, taken from the front; when they run out, every further choice is 0.
#[derive(Clone, Debug)]
pub struct Choices<'d> {
    data: &'d [u8],
}

impl<'d> Choices<'d> {
    /// Decisions from these bytes.
    #[must_use]
    pub const fn new(data: &'d [u8]) -> Self {
        Self { data }
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        match self.data.split_first() {
            Some((byte, rest)) => {
                self.data = rest;
                *byte
            }
            None => 0,
        }
    }

    /// A number below `n`, from one byte if that is enough and else from two.
    pub fn below(&mut self, n: usize) -> usize {
        let mut number = usize::from(self.byte());
        if n > 256 {
            number = number << 8 | usize::from(self.byte());
        }
        if n == 0 { 0 } else { number % n }
    }

    /// True for about one in `n`.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// At most `n` bytes.
    pub fn take(&mut self, n: usize) -> &'d [u8] {
        let (taken, rest) = self.data.split_at(n.min(self.data.len()));
        self.data = rest;
        taken
    }

    /// Everything that is left.
    #[must_use]
    pub const fn rest(self) -> &'d [u8] {
        self.data
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
}
