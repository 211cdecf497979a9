//! Memory that is shared by all connections that run on a thread.
//!
//! *Scratch buffers* for reading: a connection holds one only while it contains bytes that were not parsed yet, so an
//! idle connection holds none.
//!
//! *Large vectors*, in which long messages are put together. They come back once a message that was sent on has been
//! written; to get fresh memory from the system for each message costs more than to copy it.

use std::cell::RefCell;

use ws_proto::bytes::Bytes;

/// Bytes of a buffer: as much as one read may bring.
pub(crate) const SIZE: usize = 64 * 1024;
/// Buffers that are kept.
const KEEP: usize = 8;

/// A vector is large from here on.
const LARGE: usize = 128 * 1024;
/// Bytes in large vectors that are kept.
const KEEP_LARGE: usize = 4 * 1024 * 1024;

#[derive(Debug)]
struct Pool {
    buffers: Vec<Box<[u8]>>,
    large: Vec<Vec<u8>>,
}

impl Pool {
    const EMPTY: Self = Self { buffers: Vec::new(), large: Vec::new() };
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::EMPTY) };
}

/// `None` if the thread is ending, and has no pool any more.
fn with<U>(work: impl FnOnce(&mut Pool) -> U) -> Option<U> {
    POOL.try_with(|pool| work(&mut pool.borrow_mut())).ok()
}

/// Frees what connections keep for this thread to use again: buffers to read into, memory for long messages, and what
/// compression keeps.
///
/// Says whether there was anything. It is made again when it is needed. For adapters that give each connection a
/// thread: one that waits should hold nothing.
pub fn release_thread_memory() -> bool {
    #[cfg(feature = "deflate")]
    ws_proto::deflate::release_thread_memory();
    let kept = with(|pool| std::mem::replace(pool, Pool::EMPTY));
    kept.is_some_and(|pool| !pool.buffers.is_empty() || !pool.large.is_empty())
}

/// A buffer of [`SIZE`] bytes with anything in it. Only a new one is zeroed, never one that is used again.
pub(crate) fn take() -> Box<[u8]> {
    let spare = with(|pool| pool.buffers.pop()).flatten();
    spare.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
}

/// Gives a buffer back.
pub(crate) fn give(buffer: Box<[u8]>) {
    with(|pool| {
        if pool.buffers.len() < KEEP {
            pool.buffers.push(buffer);
        }
    });
}

/// The smallest large vector with at least this capacity that is kept.
pub(crate) fn take_large(capacity: usize) -> Option<Vec<u8>> {
    with(|pool| {
        let fitting = pool.large.iter().enumerate().filter(|(_, vector)| vector.capacity() >= capacity);
        let (best, _) = fitting.min_by_key(|(_, vector)| vector.capacity())?;
        Some(pool.large.swap_remove(best))
    })
    .flatten()
}

/// Keeps a vector if it is large and there is room for it.
pub(crate) fn give_large(vector: Vec<u8>) {
    if vector.capacity() < LARGE {
        return;
    }
    with(|pool| {
        let kept: usize = pool.large.iter().map(Vec::capacity).sum();
        if kept + vector.capacity() <= KEEP_LARGE {
            pool.large.push(vector);
        }
    });
}

/// Keeps the memory of a payload that was written, if nobody else holds it.
pub(crate) fn reclaim(payload: Bytes) {
    if payload.len() >= LARGE
        && let Ok(mut payload) = payload.try_into_mut()
    {
        // Emptied first, or turning it into a vector would move the bytes.
        payload.clear();
        give_large(payload.into());
    }
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
        assert_eq!(POOL.with(|pool| pool.borrow().buffers.len()), KEEP);
    }

    #[test]
    fn the_memory_of_a_long_message_is_used_again() {
        let message = vec![1; LARGE];
        let at = message.as_ptr();
        let payload = Bytes::from(message);
        let held = payload.clone();
        reclaim(payload);
        assert!(take_large(LARGE).is_none(), "somebody still holds it");
        reclaim(held);
        assert!(take_large(2 * LARGE).is_none());
        let again = take_large(LARGE).unwrap();
        assert_eq!(again.as_ptr(), at);
        assert!(again.is_empty());
        for _ in 0..100 {
            give_large(Vec::with_capacity(LARGE));
        }
        let kept: usize = POOL.with(|pool| pool.borrow().large.iter().map(Vec::capacity).sum());
        assert_eq!(kept, KEEP_LARGE);
        assert!(release_thread_memory());
        assert!(take_large(LARGE).is_none());
        assert!(!release_thread_memory());
    }
}
