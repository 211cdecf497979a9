//! Runs one row for one library and reads the clock of the thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::compression::Turns;
use crate::frames::{ACCEPT, frame_len};
use crate::peers::{self, Peer};
use crate::rows::{MemoryRow, Role, Work};
use crate::stream::{self, MemStream};

/// The processor time that this thread has used.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Whether the library has this row.
pub fn has(peer: &Peer, row: &MemoryRow) -> bool {
    match row.work {
        Work::Receive { .. } => peer.receive.is_some(),
        Work::ReceiveHixie { .. } => peer.name == peers::ws_proto::PEER.name,
        Work::Send { .. } => peer.send.is_some(),
        Work::Handshake => peer.handshake.is_some(),
        Work::Inflate(traffic) | Work::Deflate(traffic) => Turns::open(peer, traffic).is_some(),
    }
}

/// A row and a library, with the connections that are kept from one turn to the next if the row has such.
pub struct Runner<'a> {
    peer: &'a Peer,
    row: &'a MemoryRow,
    turns: Option<Turns>,
    written: Option<f64>,
}

impl<'a> Runner<'a> {
    /// Makes ready; in rows about compression this compares every byte with what it should be.
    ///
    /// # Panics
    ///
    /// When the library didn't do what the row asks for.
    pub fn new(peer: &'a Peer, row: &'a MemoryRow) -> Self {
        let (mut turns, mut written) = (None, None);
        match row.work {
            Work::Inflate(traffic) => {
                let turns = turns.insert(Turns::open(peer, traffic).expect("checked by the caller"));
                turns.check_receive();
            }
            Work::Deflate(traffic) => {
                let turns = turns.insert(Turns::open(peer, traffic).expect("checked by the caller"));
                written = Some(turns.check_send());
            }
            _ => {}
        }
        Self { peer, row, turns, written }
    }

    /// Bytes written per message, where that is of interest.
    pub fn written(&self) -> Option<f64> {
        self.written
    }

    /// Runs the row so many times.
    ///
    /// # Panics
    ///
    /// When the library doesn't have the row, or didn't do what the row asks for.
    pub fn run(&mut self, iterations: u64) {
        match (&mut self.turns, &self.row.work) {
            (Some(turns), Work::Inflate(_)) => turns.receive(iterations),
            (Some(turns), _) => turns.send(iterations),
            (None, _) => iterate(self.peer, self.row, iterations),
        }
    }

    /// The iterations that take about `time`.
    pub fn calibrate(&mut self, time: Duration) -> u64 {
        let mut iterations = 1;
        loop {
            let before = thread_time();
            self.run(iterations);
            let took = thread_time() - before;
            if took >= time / 4 {
                let scale = time.as_secs_f64() / took.as_secs_f64();
                return (iterations as f64 * scale).ceil() as u64;
            }
            iterations *= 2;
        }
    }

    /// Nanoseconds of processor time per iteration.
    pub fn nanoseconds(&mut self, iterations: u64) -> f64 {
        let before = thread_time();
        self.run(iterations);
        (thread_time() - before).as_nanos() as f64 / iterations as f64
    }
}

/// Makes ready and runs the row so many times.
///
/// # Panics
///
/// When the library doesn't have the row, or didn't do what the row asks for.
pub fn once(peer: &Peer, row: &MemoryRow, iterations: u64) {
    Runner::new(peer, row).run(iterations);
}

fn iterate(peer: &Peer, row: &MemoryRow, iterations: u64) {
    stream::take_written();
    let wrong = |what: &str| -> ! { panic!("{} in {}: {what}", peer.name, row.name) };
    match row.work {
        Work::Receive { pattern, read_size, payload } => {
            let receive = peer.receive.expect("checked by the caller");
            let bytes = receive(MemStream::repeating(pattern, read_size), iterations);
            if bytes != iterations * payload as u64 {
                wrong("received something else");
            }
        }
        Work::ReceiveHixie { pattern, payload } => {
            let stream = MemStream::repeating(pattern, usize::MAX);
            if peers::ws_proto::receive_hixie(stream, iterations) != iterations * payload as u64 {
                wrong("received something else");
            }
        }
        Work::Send { role, payload } => {
            let send = peer.send.expect("checked by the caller");
            let stream = MemStream::repeating(&[], usize::MAX);
            send(stream, role, payload, iterations);
            let frame = frame_len(payload.len(), role == Role::Client) as u64;
            if stream::take_written() != iterations * frame {
                wrong("sent something else");
            }
        }
        Work::Handshake => {
            let handshake = peer.handshake.expect("checked by the caller");
            handshake(crate::frames::BROWSER_REQUEST, iterations);
            if !stream::last_write_contains(ACCEPT.as_bytes()) {
                wrong("answered something else");
            }
        }
        Work::Inflate(_) | Work::Deflate(_) => wrong("connections are kept"),
    }
}

/// The middle of the values; not a number when there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}
