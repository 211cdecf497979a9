//! Plays a [`Transcript`] against anything that behaves like a connection.

use std::collections::VecDeque;
use std::time::Duration;

use crate::hex;
use crate::transcript::{Call, Seen, Step, Transcript};

/// What a script can be played against: the core, its halves, an adapter over an in-memory pipe.
pub trait Subject {
    /// The peer's bytes arrive, in one read.
    fn receive(&mut self, bytes: &[u8]);
    /// The peer's stream ends.
    fn eof(&mut self);
    /// The transport fails.
    fn transport_failed(&mut self);
    /// Time passes; what falls due on the way is done at its time.
    fn advance_clock(&mut self, by: Duration);
    /// The application asks for something.
    ///
    /// # Errors
    /// The name of the error in lower case: `closed`, `full`, `code` and so on.
    fn call(&mut self, call: &Call) -> Result<(), String>;
    /// The events since the last time.
    fn events(&mut self) -> Vec<Seen>;
    /// The next bytes on the wire, at most `n`; they count as written.
    fn take(&mut self, n: usize) -> Vec<u8>;
    /// The answer to a question that scripts ask: `state`, `shutdown`, `timeout`, `buffered`.
    /// `None` if this subject can't know.
    fn fact(&mut self, question: &str) -> Option<String>;
    /// Whether this subject reports such events at all.
    fn reports(&self, _: &Seen) -> bool {
        true
    }
}

/// How the peer's bytes are cut into reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Each `>` line is one read.
    Whole,
    /// Each byte is a read.
    Bytewise,
    /// As `Whole`, but with one more cut at this position of the whole stream.
    At(usize),
    /// Reads of this many bytes.
    Every(usize),
}

impl Cut {
    /// `bytes`, which begin at `offset` of the stream, in pieces.
    #[must_use]
    pub fn pieces(self, offset: usize, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::At(at) if at > offset && at < offset + bytes.len() => {
                let (a, b) = bytes.split_at(at - offset);
                vec![a, b]
            }
            Self::Bytewise => bytes.chunks(1).collect(),
            Self::Every(n) => bytes.chunks(n.max(1)).collect(),
            Self::Whole | Self::At(_) => vec![bytes],
        }
    }
}

/// Plays one script with the reads cut in one way.
///
/// # Errors
/// The line, what was expected and what came.
pub fn play<S: Subject>(script: &Transcript, cut: Cut, subject: &mut S) -> Result<(), String> {
    let mut player = Player { subject, seen: VecDeque::new() };
    let mut offset = 0;
    player.collect();
    for (line, step) in &script.steps {
        let result = match step {
            Step::Receive(bytes) => {
                let pieces = cut.pieces(offset, bytes);
                offset += bytes.len();
                player.receive(&pieces)
            }
            step => player.step(step),
        };
        result.map_err(|error| format!("{} (line {line}, {cut:?}): {error}", script.name))?;
    }
    player.finish().map_err(|error| format!("{} (at the end, {cut:?}): {error}", script.name))
}

struct Player<'s, S> {
    subject: &'s mut S,
    seen: VecDeque<Seen>,
}

impl<S: Subject> Player<'_, S> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Event(expected) => return self.event(expected),
            Step::Written(expected) => {
                let got = self.subject.take(expected.len());
                if got != *expected {
                    let (want, got) = (hex::show(expected), hex::show(&got));
                    return Err(format!("to be written\n  want {want}\n  got  {got}"));
                }
                self.collect();
                return Ok(());
            }
            Step::NothingWritten => {
                let got = self.subject.take(64);
                return if got.is_empty() { Ok(()) } else { Err(format!("written: {}", hex::show(&got))) };
            }
            Step::Fact(question, expected) => {
                let got = self.subject.fact(question);
                return match got {
                    Some(got) if got != *expected => Err(format!("{question} is {got}, not {expected}")),
                    _ => Ok(()),
                };
            }
            _ => self.nothing_unseen()?,
        }
        match step {
            Step::Call(call, expected) => {
                let got = self.subject.call(call).err();
                if got != *expected {
                    return Err(format!("gave {got:?}, not {expected:?}"));
                }
            }
            Step::Eof => self.subject.eof(),
            Step::TransportFailed => self.subject.transport_failed(),
            Step::Advance(by) => self.subject.advance_clock(*by),
            _ => {}
        }
        self.collect();
        Ok(())
    }

    fn receive(&mut self, pieces: &[&[u8]]) -> Result<(), String> {
        self.nothing_unseen()?;
        for piece in pieces {
            self.subject.receive(piece);
            self.collect();
        }
        Ok(())
    }

    fn event(&mut self, expected: &Seen) -> Result<(), String> {
        if !self.subject.reports(expected) {
            return Ok(());
        }
        match self.seen.pop_front() {
            Some(got) if got == *expected => Ok(()),
            got => Err(format!("event\n  want {expected:?}\n  got  {got:?}")),
        }
    }

    fn nothing_unseen(&self) -> Result<(), String> {
        if self.seen.is_empty() { Ok(()) } else { Err(format!("events not in the script: {:?}", self.seen)) }
    }

    fn collect(&mut self) {
        for event in self.subject.events() {
            push_merged(&mut self.seen, event);
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        self.collect();
        self.nothing_unseen()?;
        let left = self.subject.take(64);
        if left.is_empty() { Ok(()) } else { Err(format!("left to write: {}", hex::show(&left))) }
    }
}

/// Appends an event; chunks of one message that follow each other become one.
pub fn push_merged(seen: &mut VecDeque<Seen>, event: Seen) {
    if let (Some(Seen::Chunk { last: ended @ false, data: all, .. }), Seen::Chunk { first: false, last, data, .. }) =
        (seen.back_mut(), &event)
    {
        *ended = *last;
        all.extend_from_slice(data);
    } else {
        seen.push_back(event);
    }
}

/// All the ways a script is played: whole, byte by byte, in small reads, and with one cut at every position.
///
/// Of streams over 4 KiB only the first 64 positions, every 997th and the last 64 are cut.
#[must_use]
pub fn cuts(script: &Transcript) -> Vec<Cut> {
    let total = script.steps.iter().map(|(_, step)| if let Step::Receive(b) = step { b.len() } else { 0 }).sum();
    every_cut(total)
}

/// [`cuts`] for a stream of `total` bytes.
#[must_use]
pub fn every_cut(total: usize) -> Vec<Cut> {
    let long = total > 4096;
    let mut all = vec![Cut::Whole, Cut::Bytewise, Cut::Every(3), Cut::Every(7)];
    all.extend((1..total).filter(|at| !long || *at < 64 || at % 997 == 0 || *at + 64 > total).map(Cut::At));
    all
}
