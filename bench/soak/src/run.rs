//! The run of one adapter.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::adapter::Adapter;
use crate::state::State;
use crate::visits::{self, Random};

/// Visitors at a time.
const VISITORS: u64 = 8;
/// Before anything is counted there are so many visits, for so long: pools and caches fill. TLS remembers 256 sessions.
const WARM_UP: (Duration, u64) = (Duration::from_secs(2), 3000);
/// How long things may take to go away.
const PATIENCE: Duration = Duration::from_secs(30);
/// Heap that may be in use in the end and was not in the beginning: each thread that runs connections keeps up to eight
/// buffers of 64 KiB for the next ones, and there is no telling when it has all of them. There are two such threads.
/// What is left is for the allocations of the runtime.
const SPARE: i64 = (2 * 8 * 64 + 128) * 1024;

/// How often there was which visit.
type Visits = BTreeMap<&'static str, u64>;

/// Visits for so long and compares.
pub fn run(name: &str, adapter: Box<dyn Adapter>, only: Option<&str>, time: Duration) -> Result<(), String> {
    let warm_up = if only.is_some() { (2 * WARM_UP.0, 0) } else { WARM_UP };
    visit_for(&*adapter, only, warm_up, 1)?;
    let before = quiet(&*adapter)?;
    let start = Instant::now();
    let visits = visit_for(&*adapter, only, (time, 0), 1000)?;
    let elapsed = start.elapsed();
    let after = gone(&*adapter, &before);
    let total: u64 = visits.values().sum();
    println!("{name}: {total} visits in {:.0} s", elapsed.as_secs_f64());
    let kinds: Vec<String> = visits.iter().map(|(kind, times)| format!("{kind} {times}")).collect();
    println!("  {}", kinds.join(", "));
    println!("  before: {before}");
    match after {
        Ok(after) => {
            println!("  after:  {after}");
            Ok(())
        }
        Err(after) => {
            println!("  after:  {after}");
            Err("something stayed behind".to_owned())
        }
    }
}

/// Visits from several threads, for so long and at least so often; how often what was done.
fn visit_for(
    adapter: &dyn Adapter,
    only: Option<&str>,
    (time, least): (Duration, u64),
    seed: u64,
) -> Result<Visits, String> {
    let end = Instant::now() + time;
    let visits = Mutex::new(BTreeMap::new());
    let failure = Mutex::new(None);
    let (failed, total) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for visitor in 0..VISITORS {
            let (visits, failure, failed, total) = (&visits, &failure, &failed, &total);
            scope.spawn(move || {
                let mut random = Random::new(seed + visitor);
                let mut mine = BTreeMap::new();
                while (Instant::now() < end || total.load(Relaxed) < least) && !failed.load(Relaxed) {
                    let (kind, result) = visits::one(adapter, only, &mut random);
                    total.fetch_add(1, Relaxed);
                    *mine.entry(kind).or_insert(0) += 1;
                    if let Err(error) = result {
                        failed.store(true, Relaxed);
                        *failure.lock().expect("not poisoned") = Some(format!("{kind}: {error}"));
                    }
                }
                let mut visits = visits.lock().expect("not poisoned");
                mine.into_iter().for_each(|(kind, times)| *visits.entry(kind).or_insert(0) += times);
            });
        }
    });
    match failure.into_inner().expect("not poisoned") {
        Some(error) => Err(error),
        None => Ok(visits.into_inner().expect("not poisoned")),
    }
}

fn state(adapter: &dyn Adapter) -> Result<State, String> {
    State::now(adapter.tasks(), adapter.connections()).map_err(|error| error.to_string())
}

/// The state once nothing changes any more.
fn quiet(adapter: &dyn Adapter) -> Result<State, String> {
    let start = Instant::now();
    let mut last = state(adapter)?;
    while start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_secs(1));
        let now = state(adapter)?;
        if now == last && now.connections == 0 {
            return Ok(now);
        }
        last = now;
    }
    Err(format!("after the warm-up it does not come to rest: {last}"))
}

/// The state once it is no more than `before`; the last one if that never happens.
fn gone(adapter: &dyn Adapter, before: &State) -> Result<State, State> {
    let start = Instant::now();
    loop {
        let now = state(adapter).map_err(|_| *before)?;
        if now.is_within(before, SPARE, adapter.descriptors()) {
            return Ok(now);
        }
        if start.elapsed() > PATIENCE {
            return Err(now);
        }
        thread::sleep(Duration::from_millis(100));
    }
}
