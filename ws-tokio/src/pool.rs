//! Scratch buffers for reading, shared by all connections that run on a thread.
//!
//! A connection holds one only while it contains bytes that were not parsed yet, so an idle connection holds none.

use std::cell::RefCell;

/// Bytes of a buffer: as much as one read may bring.
pub(crate) const SIZE: usize = 64 * 1024;
/// Buffers that a thread keeps.
const KEEP: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`SIZE`] bytes with anything in it. Only a new one is zeroed, never one that is used again.
pub(crate) fn take() -> Box<[u8]> {
    let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    spare.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
}

/// Gives a buffer back.
pub(crate) fn give(buffer: Box<[u8]>) {
    // A thread that is ending has no pool any more; then the buffer is freed.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < KEEP {
            spare.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_few_are_kept() {
        let first = take();
        let at = first.as_ptr();
        give(first);
        let again = take();
        assert_eq!(again.as_ptr(), at);
        assert_eq!(again.len(), SIZE);
        for _ in 0..2 * KEEP {
            give(vec![0; SIZE].into_boxed_slice());
        }
        assert_eq!(SPARE.with(|spare| spare.borrow().len()), KEEP);
    }
}
