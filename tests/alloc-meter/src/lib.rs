//! Counts the heap allocations of the current thread, and refuses them past a limit.
//!
//! Linking this crate makes [`Meter`] the global allocator. Counters are kept for each thread, so tests
//! that run side by side do not see each other.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with counters.
#[derive(Debug)]
pub struct Meter;

#[global_allocator]
static METER: Meter = Meter;

#[derive(Clone, Copy)]
struct Counters {
    live: i64,
    peak: i64,
    allocations: u64,
    requested: u64,
    /// Bytes that may still be allocated by requests of at least `refuse_from` bytes.
    budget: u64,
    refuse_from: usize,
    refused: u64,
}

thread_local! {
    // Neither a lazy initialiser nor a destructor: both could allocate.
    static COUNTERS: Cell<Counters> = const {
        Cell::new(Counters {
            live: 0, peak: 0, allocations: 0, requested: 0, budget: u64::MAX, refuse_from: usize::MAX, refused: 0,
        })
    };
}

fn counters() -> Counters {
    COUNTERS.with(Cell::get)
}

fn update(change: impl FnOnce(&mut Counters)) {
    // During the end of a thread there may be nothing left to count in.
    let _ = COUNTERS.try_with(|cell| {
        let mut counters = cell.get();
        change(&mut counters);
        cell.set(counters);
    });
}

/// Whether a request of `size` bytes is to be refused; takes it off the budget if not.
fn refuses(size: usize) -> bool {
    let mut refused = false;
    update(|c| {
        if size >= c.refuse_from {
            match c.budget.checked_sub(size as u64) {
                Some(left) => c.budget = left,
                None => {
                    c.refused += 1;
                    refused = true;
                }
            }
        }
    });
    refused
}

fn grown(old: usize, new: usize) {
    update(|c| {
        c.live += new as i64 - old as i64;
        c.peak = c.peak.max(c.live);
        c.allocations += 1;
        c.requested += new as u64;
    });
}

// SAFETY: every request goes to the system's allocator unchanged, or is answered with null, which
// the contract of `GlobalAlloc` allows at any time. Counting touches only a `Cell` of this thread.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if refuses(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises about `layout` are the ones asked for here.
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            grown(0, layout.size());
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if refuses(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as in `alloc`.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            grown(0, layout.size());
        }
        memory
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if refuses(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: `memory` came from `System`, because `alloc` gives nothing else.
        let memory = unsafe { System.realloc(memory, layout, size) };
        if !memory.is_null() {
            grown(layout.size(), size);
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        update(|c| c.live -= layout.size() as i64);
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// The heap of this thread between two points in time.
///
/// Memory that another thread frees or fills is counted by that thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes allocated and not freed; negative if older memory was freed.
    pub live: i64,
    /// The most that `live` has been.
    pub peak: i64,
    /// How often memory was asked for, growing included.
    pub allocations: u64,
    /// The bytes asked for, growing included: what a copy at each growth would have to move at most.
    pub requested: u64,
}

/// A point in time to count from.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    live: i64,
    allocations: u64,
    requested: u64,
}

impl Mark {
    /// Counts from here; the peak of this thread starts again.
    #[must_use]
    pub fn now() -> Self {
        update(|c| c.peak = c.live);
        let c = counters();
        Self { live: c.live, allocations: c.allocations, requested: c.requested }
    }

    /// What happened since.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let c = counters();
        Usage {
            live: c.live - self.live,
            peak: c.peak - self.live,
            allocations: c.allocations - self.allocations,
            requested: c.requested - self.requested,
        }
    }
}

/// Runs `body` with an allocator that, for requests of at least `refuse_from` bytes, gives out `budget` bytes and
/// then refuses. Also gives how many requests were refused.
pub fn with_budget<T>(budget: u64, refuse_from: usize, body: impl FnOnce() -> T) -> (T, u64) {
    struct Lift;
    impl Drop for Lift {
        fn drop(&mut self) {
            update(|c| {
                c.budget = u64::MAX;
                c.refuse_from = usize::MAX;
            });
        }
    }
    update(|c| {
        c.budget = budget;
        c.refuse_from = refuse_from;
        c.refused = 0;
    });
    let lift = Lift;
    let value = body();
    drop(lift);
    (value, counters().refused)
}
