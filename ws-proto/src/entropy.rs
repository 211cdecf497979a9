//! Where unpredictable bytes come from.

use alloc::boxed::Box;
use core::fmt;

/// A source of bytes that nobody else can predict.
///
/// Clients need it for `Sec-WebSocket-Key` (RFC 6455 section 4.1) and for the mask key of every frame
/// (section 5.3, which demands a strong source). With the feature `getrandom` there is
/// `OsEntropy`; without it, hand in what the platform has.
///
/// The core asks for up to 256 bytes at a time and hands them out four at a time, each byte once.
pub trait Entropy {
    /// Fills `out` with fresh bytes.
    ///
    /// # Errors
    /// If the source has failed. Nothing is then sent that would need the bytes: a constant key is never used.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError>;
}

/// The source of randomness failed; nothing was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("the source of randomness failed")]
pub struct EntropyError;

impl<E: Entropy + ?Sized> Entropy for Box<E> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        (**self).fill(out)
    }
}

/// The operating system's source of randomness.
#[cfg(feature = "getrandom")]
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

#[cfg(feature = "getrandom")]
impl Entropy for OsEntropy {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(out).map_err(|_| EntropyError)
    }
}

/// A source for servers, which never mask: it always fails.
///
/// A server connection never asks for entropy, so this is a safe choice there where no source exists.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError)
    }
}

/// What a connection owns: a source without a type parameter.
pub type BoxEntropy = Box<dyn Entropy + Send + Sync>;

const POOL: usize = 256;

/// Mask keys, drawn from the source 64 at a time, because asking the system for each one is slow.
///
/// The pool belongs to one connection, so a process that forks never shares unused keys between
/// connections that it opens later.
pub(crate) struct MaskKeys {
    source: BoxEntropy,
    pool: Option<Box<[u8; POOL]>>,
    used: usize,
}

impl MaskKeys {
    pub(crate) fn new(source: BoxEntropy) -> Self {
        Self { source, pool: None, used: POOL }
    }

    /// The next four bytes.
    #[inline]
    pub(crate) fn next_key(&mut self) -> Result<[u8; 4], EntropyError> {
        if let Some(pool) = &self.pool
            && let Some(Ok(key)) = pool.get(self.used..self.used + 4).map(TryInto::try_into)
        {
            self.used += 4;
            return Ok(key);
        }
        self.refill()
    }

    #[cold]
    fn refill(&mut self) -> Result<[u8; 4], EntropyError> {
        let pool = self.pool.get_or_insert_with(|| Box::new([0; POOL]));
        // A failed source must not leave old bytes to be used again.
        self.used = POOL;
        self.source.fill(&mut pool[..])?;
        self.used = 4;
        let [a, b, c, d, ..] = **pool;
        Ok([a, b, c, d])
    }

    /// Gives the memory of the pool back; the unused keys are forgotten.
    pub(crate) fn release(&mut self) {
        self.pool = None;
        self.used = POOL;
    }
}

impl fmt::Debug for MaskKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKeys")
    }
}
