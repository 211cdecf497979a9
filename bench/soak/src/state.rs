//! What a process holds.

use std::fs;
use std::io;

use crate::ALLOCATOR;

/// Counted in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub threads: usize,
    pub descriptors: usize,
    /// Bytes on the heap.
    pub heap: i64,
    /// Tasks of the runtime, if it counts them.
    pub tasks: usize,
    /// Connections that a server knows of.
    pub connections: usize,
}

impl State {
    /// The state now. Counting takes a few allocations, which are freed again, and a descriptor, which is not counted.
    pub fn now(tasks: usize, connections: usize) -> io::Result<Self> {
        let threads = fs::read_dir("/proc/self/task")?.count();
        let descriptors = fs::read_dir("/proc/self/fd")?.count() - 1;
        let stats = ALLOCATOR.stats();
        let heap = stats.bytes_allocated as i64 - stats.bytes_deallocated as i64;
        Ok(Self { threads, descriptors, heap, tasks, connections })
    }

    /// Whether there is no more of anything than in `before`, but for so many bytes of heap and so many descriptors.
    pub fn is_within(&self, before: &Self, heap: i64, descriptors: usize) -> bool {
        self.threads <= before.threads
            && self.descriptors <= before.descriptors + descriptors
            && self.heap <= before.heap + heap
            && self.tasks <= before.tasks
            && self.connections <= before.connections
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { threads, descriptors, heap, tasks, connections } = self;
        write!(f, "{threads} threads, {tasks} tasks, {descriptors} descriptors, {heap} B heap, {connections} open")
    }
}
