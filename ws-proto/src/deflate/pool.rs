//! What the connections of a thread share: inflaters, compressors and a scratch buffer.
//!
//! Inflaters (47 KiB) and compressors (134 to 484 KiB) are needed only while a message is worked on. A few
//! of each stay with the thread; a connection keeps what it can't do without.

use std::boxed::Box;
use std::cell::RefCell;
use std::hint::black_box;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::vec::Vec;

use zlib_rs::{DeflateConfig, Inflate};

/// Bytes that are inflated or compressed at a time.
pub(super) const SCRATCH: usize = 32 * 1024;
/// Inflaters that a thread keeps.
const INFLATERS: usize = 8;
/// Compressors that a thread keeps, of whatever parameters.
const COMPRESSORS: usize = 8;
/// After this many bytes a machine is reset before it goes on: its counters have 32 bits on some systems.
const LONG_RUN: u64 = 1 << 30;

std::thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::EMPTY) };
}

/// There is no memory for a machine.
#[derive(Debug)]
pub(super) struct NoMemory;

/// Whose stream a machine holds, and how far. If it has the tag of a connection it holds just what the connection's
/// history says, and needs no reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// 0 where there are no means to make unique ones: such a tag equals none.
    owner: u64,
    turn: u64,
}

impl Tag {
    /// Different from all others, on all threads.
    pub(super) fn unique() -> Self {
        #[cfg(target_has_atomic = "64")]
        let owner = {
            static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
            NEXT.fetch_add(1, Ordering::Relaxed)
        };
        #[cfg(not(target_has_atomic = "64"))]
        let owner = 0;
        Self { owner, turn: 0 }
    }

    /// The history is about to change, so whatever holds it now, in the pool of whichever thread, no longer matches.
    pub(super) fn advance(&mut self) {
        self.turn += 1;
    }

    fn matches(self, other: Option<Self>) -> bool {
        self.owner != 0 && other == Some(self)
    }
}

/// What a compressor is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    /// 0 to 9.
    pub(super) level: u8,
    /// 9 to 15.
    pub(super) window_bits: u8,
    /// 1 to 9.
    pub(super) memory_level: u8,
}

/// A machine with what it holds.
pub(super) struct Machine<M> {
    pub(super) raw: M,
    tag: Option<Tag>,
}

pub(super) type Inflater = Machine<Inflate>;
pub(super) type Compressor = Machine<(zlib_rs::Deflate, Parameters)>;

impl<M> Machine<M> {
    /// Whether it holds just this.
    pub(super) fn holds(&self, tag: Tag) -> bool {
        tag.matches(self.tag)
    }
}

/// The lists are in order of last use.
#[expect(clippy::vec_box, reason = "who holds a machine must be small, and the box goes to and fro with it")]
struct Pool {
    inflaters: Vec<Box<Inflater>>,
    compressors: Vec<Box<Compressor>>,
    scratch: Vec<u8>,
}

impl Pool {
    const EMPTY: Self = Self { inflaters: Vec::new(), compressors: Vec::new(), scratch: Vec::new() };
}

/// The pool of this thread; `None` if the thread is ending.
fn pool<R>(work: impl FnOnce(&mut Pool) -> R) -> Option<R> {
    POOL.try_with(|pool| pool.try_borrow_mut().ok().map(|mut pool| work(&mut pool))).ok().flatten()
}

/// Frees what the thread keeps for its connections: up to eight machines of either kind, and a buffer.
///
/// They are made again when they are needed. For threads that have one connection each, and wait.
pub fn release_thread_memory() {
    let kept = pool(|pool| std::mem::replace(pool, Pool::EMPTY));
    // Not before the pool can be used again.
    drop(kept);
}

/// How many machines the thread keeps.
#[cfg(test)]
pub(super) fn kept() -> usize {
    pool(|pool| pool.inflaters.len() + pool.compressors.len()).unwrap_or_default()
}

/// A machine from the list, for who can make use of what it holds (`tag`) or for who will reset it.
///
/// With a tag it is the one that has it. If none has, one that holds nothing of use to others; and if there is none of
/// that kind either, a new one is to be made while there may be more of them, so that the few connections that are busy
/// each find theirs again. Without a tag it is the one that was used last, which is still in the processor's caches.
fn take<M>(
    list: &mut Vec<Box<Machine<M>>>,
    tag: Option<Tag>,
    most: usize,
    fits: impl Fn(&M) -> bool,
) -> Option<Box<Machine<M>>> {
    let at = match tag {
        None => list.iter().rposition(|machine| fits(&machine.raw)),
        Some(tag) => list
            .iter()
            .position(|machine| machine.holds(tag))
            .or_else(|| list.iter().rposition(|machine| machine.tag.is_none() && fits(&machine.raw)))
            .or_else(|| if list.len() < most { None } else { list.iter().position(|machine| fits(&machine.raw)) }),
    };
    at.map(|at| list.remove(at))
}

/// Keeps it, and drops the one that was not used for the longest time if that is one too many.
fn keep<M>(list: &mut Vec<Box<Machine<M>>>, machine: Box<Machine<M>>, most: usize) {
    if list.len() >= most {
        list.remove(0);
    }
    list.push(machine);
}

/// An inflater. If it does not hold `tag` it must be reset before it is used.
pub(super) fn inflater(tag: Option<Tag>) -> Result<Box<Inflater>, NoMemory> {
    if let Some(machine) = pool(|pool| take(&mut pool.inflaters, tag, INFLATERS, |_| true)).flatten() {
        return Ok(machine);
    }
    probe(INFLATER_BYTES)?;
    Ok(Box::new(Machine { raw: Inflate::new(false, 15), tag: None }))
}

/// Gives an inflater back, between two blocks if it has a tag.
pub(super) fn give_inflater(mut machine: Box<Inflater>, tag: Option<Tag>) {
    let long = machine.raw.total_in().max(machine.raw.total_out()) >= LONG_RUN;
    machine.tag = tag.filter(|_| !long);
    pool(|pool| keep(&mut pool.inflaters, machine, INFLATERS));
}

/// A compressor with these parameters. If it does not hold `tag` it must be reset before it is used.
pub(super) fn compressor(parameters: Parameters, tag: Option<Tag>) -> Result<Box<Compressor>, NoMemory> {
    let fits = |raw: &(_, Parameters)| raw.1 == parameters;
    if let Some(machine) = pool(|pool| take(&mut pool.compressors, tag, COMPRESSORS, fits)).flatten() {
        return Ok(machine);
    }
    let Parameters { level, window_bits, memory_level } = parameters;
    probe(compressor_bytes(parameters))?;
    let config = DeflateConfig {
        level: level.into(),
        window_bits: -i32::from(window_bits), // negative: without a header
        mem_level: memory_level.into(),
        ..DeflateConfig::default()
    };
    Ok(Box::new(Machine { raw: (zlib_rs::Deflate::new_with_config(config), parameters), tag: None }))
}

/// Gives a compressor back, just flushed if it has a tag.
pub(super) fn give_compressor(mut machine: Box<Compressor>, tag: Option<Tag>) {
    let raw = &machine.raw.0;
    let long = raw.total_in().max(raw.total_out()) >= LONG_RUN;
    machine.tag = tag.filter(|_| !long);
    pool(|pool| keep(&mut pool.compressors, machine, COMPRESSORS));
}

/// What an inflater takes, 47,552 bytes, with some to spare.
const INFLATER_BYTES: usize = 64 * 1024;

/// What a compressor takes, 134,272 bytes and what its parameters say, with some to spare.
fn compressor_bytes(parameters: Parameters) -> usize {
    let Parameters { window_bits, memory_level, .. } = parameters;
    (136 << 10) + (4 << window_bits) + (448 << memory_level)
}

/// Whether so much memory can be had. The library panics if not, so it is asked only then.
fn probe(bytes: usize) -> Result<(), NoMemory> {
    let mut memory = Vec::<u8>::new();
    memory.try_reserve_exact(bytes).map_err(|_| NoMemory)?;
    black_box(&memory); // or else the compiler may leave it out
    Ok(())
}

/// The scratch buffer of the thread, [`SCRATCH`] bytes. Goes back when dropped.
pub(super) struct Scratch(Vec<u8>);

impl Scratch {
    pub(super) fn take() -> Result<Self, NoMemory> {
        let mut buffer = pool(|pool| std::mem::take(&mut pool.scratch)).unwrap_or_default();
        if buffer.is_empty() {
            buffer.try_reserve_exact(SCRATCH).map_err(|_| NoMemory)?;
            buffer.resize(SCRATCH, 0);
        }
        Ok(Self(buffer))
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        pool(|pool| pool.scratch = buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag() -> Option<Tag> {
        Some(Tag::unique())
    }

    #[test]
    fn busy_connections_find_their_machines_again() {
        let tags: Vec<_> = (0..INFLATERS).map(|_| tag()).collect();
        for round in 0..3 {
            for tag in &tags {
                let machine = inflater(*tag).unwrap();
                assert_eq!(machine.tag, tag.filter(|_| round > 0));
                give_inflater(machine, *tag);
            }
        }
        // One more takes the place of the one that has waited longest.
        let last = tag();
        assert_eq!(inflater(last).map(|machine| machine.tag).ok(), Some(tags[0]));
    }

    #[test]
    fn who_has_no_tag_gets_the_machine_that_was_used_last() {
        let tags = [tag(), tag()];
        let machines = tags.map(|tag| inflater(tag).unwrap());
        for (machine, tag) in machines.into_iter().zip(tags) {
            give_inflater(machine, tag);
        }
        let machine = inflater(None).unwrap();
        assert_eq!(machine.tag, tags[1]);
        give_inflater(machine, None);
        // And who has another takes the one that nobody misses.
        assert_eq!(inflater(tag()).unwrap().tag, None);
        assert_eq!(inflater(tags[0]).unwrap().tag, tags[0]);
    }

    #[test]
    fn few_machines_are_kept() {
        let machines: Vec<_> = (0..2 * INFLATERS).map(|_| inflater(None).unwrap()).collect();
        machines.into_iter().for_each(|machine| give_inflater(machine, None));
        assert_eq!(pool(|pool| pool.inflaters.len()), Some(INFLATERS));
    }
}
