//! Entropy from a hardware register.

use ws_proto::{Entropy, EntropyError};

/// How often to ask for a word that is not ready.
const PATIENCE: usize = 1000;

/// A hardware generator of random numbers.
pub trait NoiseSource {
    /// The next word; `None` while there is none.
    fn word(&mut self) -> Option<u32>;
}

/// The entropy of the core, from a hardware generator.
///
/// Clients need it for each frame (RFC 6455 section 5.3). A generator that is stuck is found out: after the same word twice
/// in a row this source fails, and the core sends nothing rather than something that can be predicted.
#[derive(Debug)]
pub struct Noise<S> {
    source: S,
    last: Option<u32>,
}

impl<S: NoiseSource> Noise<S> {
    /// Draws from a generator.
    #[must_use]
    pub fn new(source: S) -> Self {
        Self { source, last: None }
    }

    fn word(&mut self) -> Result<u32, EntropyError> {
        let word = (0..PATIENCE).find_map(|_| self.source.word()).ok_or(EntropyError)?;
        // Good generators do this once in four billion words, and then a connection is lost.
        if self.last.replace(word) == Some(word) {
            return Err(EntropyError);
        }
        Ok(word)
    }
}

impl<S: NoiseSource> Entropy for Noise<S> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for part in out.chunks_mut(4) {
            let word = self.word()?.to_le_bytes();
            for (to, from) in part.iter_mut().zip(word) {
                *to = from;
            }
        }
        Ok(())
    }
}
