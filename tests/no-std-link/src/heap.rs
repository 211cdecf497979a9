//! The smallest allocator there is: memory is handed out once and never taken back.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

const SIZE: usize = 64 * 1024;

#[repr(align(64))]
struct Memory(UnsafeCell<[u8; SIZE]>);

// SAFETY: `Heap` hands each byte out at most once, so no two owners share any.
unsafe impl Sync for Memory {}

static MEMORY: Memory = Memory(UnsafeCell::new([0; SIZE]));

struct Heap {
    used: AtomicUsize,
}

#[global_allocator]
static HEAP: Heap = Heap { used: AtomicUsize::new(0) };

// SAFETY: the block given out lies inside of `MEMORY`, is aligned, because the start of `MEMORY` is aligned to 64 and
// larger alignments are refused, and is not given out again, because `used` only grows.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > 64 {
            return null_mut();
        }
        let take = |used: usize| {
            let end = used.checked_next_multiple_of(layout.align())?.checked_add(layout.size())?;
            (end <= SIZE).then_some(end)
        };
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(used) => MEMORY.0.get().cast::<u8>().wrapping_add(used.next_multiple_of(layout.align())),
            Err(_) => null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
