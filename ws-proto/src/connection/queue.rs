//! Encoded frames on their way out.
//!
//! Small frames are copied into a run; a large one is kept whole beside its head. A run or a large frame
//! is a segment, and segments end where frames end, so control frames can go out between any two.
//! The order on the wire is: the segment that was begun, control frames, the latest pong, the other
//! segments, and last the Close.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;

use bytes::Bytes;

use crate::wire::hybi::MAX_HEAD;

/// A run of small frames is ended at this size, so that a control frame never waits for more.
const RUN: usize = 64 * 1024;
/// A run's memory is kept for the next one up to this size.
const KEEP: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Older segments, whole frames each.
    segments: VecDeque<Segment>,
    /// The run that is still open for more frames: the last segment.
    run: Vec<u8>,
    /// Bytes already written of the first segment (of `run`, when there is no other).
    begun: usize,
    /// Unwritten bytes in all segments.
    pending: usize,
    /// Control frames; kept apart because there are hardly ever any.
    controls: Option<Box<Controls>>,
}

#[derive(Debug, Default)]
struct Controls {
    /// Frames that were asked for or begun, encoded, first come first served.
    frames: Vec<u8>,
    frames_begun: usize,
    /// The pong that is owed, encoded: only the latest, replaced until its first byte is written.
    pong: Vec<u8>,
    /// Our Close, encoded; goes out when everything else has.
    close: Vec<u8>,
    close_begun: usize,
}

impl Controls {
    fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.pong.is_empty() && self.close.is_empty()
    }

    /// What goes out between two segments.
    fn slices(&self) -> [&[u8]; 2] {
        [self.frames.get(self.frames_begun..).unwrap_or_default(), &self.pong]
    }

    /// Takes up to `n` bytes off the frames and the pong; gives how many.
    fn advance(&mut self, n: usize) -> usize {
        let mut left = n;
        while left > 0 && !(self.frames.is_empty() && self.pong.is_empty()) {
            if self.frames.is_empty() {
                // Its first byte goes out: from now on it can't be replaced.
                mem::swap(&mut self.frames, &mut self.pong);
            }
            let step = left.min(self.frames.len() - self.frames_begun);
            left -= step;
            self.frames_begun += step;
            if self.frames_begun == self.frames.len() {
                self.frames.clear();
                self.frames_begun = 0;
            }
        }
        n - left
    }

    /// Takes up to `n` bytes off the Close; says whether it is all written.
    fn advance_close(&mut self, n: usize) -> bool {
        self.close_begun += n.min(self.close.len() - self.close_begun);
        let written = !self.close.is_empty() && self.close_begun == self.close.len();
        if written {
            self.close.clear();
            self.close_begun = 0;
        }
        written
    }
}

#[derive(Debug)]
enum Segment {
    Run(Vec<u8>),
    Large { head: [u8; MAX_HEAD], head_len: u8, payload: Bytes },
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Self::Run(bytes) => bytes.len(),
            Self::Large { head_len, payload, .. } => usize::from(*head_len) + payload.len(),
        }
    }

    /// The bytes from `begun` on.
    fn slices(&self, begun: usize) -> [&[u8]; 2] {
        match self {
            Self::Run(bytes) => [bytes.get(begun..).unwrap_or_default(), &[]],
            Self::Large { head, head_len, payload } => {
                let head_len = usize::from(*head_len);
                let head = head.get(begun.min(head_len)..head_len).unwrap_or_default();
                [head, payload.get(begun.saturating_sub(head_len)..).unwrap_or_default()]
            }
        }
    }
}

impl Queue {
    /// Bytes of data frames not yet written.
    #[inline]
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Whether nothing at all is left to write.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.pending == 0 && self.controls.as_ref().is_none_or(|c| c.is_empty())
    }

    /// Bytes of control frames that wait, the pong and the Close not counted.
    pub(super) fn control_pending(&self) -> usize {
        self.controls.as_ref().map_or(0, |c| c.frames.len() - c.frames_begun)
    }

    /// The run to append one whole frame of `len` bytes to.
    #[inline]
    pub(super) fn run(&mut self, len: usize) -> &mut Vec<u8> {
        if self.run.len() >= RUN {
            self.seal();
        }
        self.pending += len;
        self.run.reserve(len);
        &mut self.run
    }

    /// The run to append one whole frame to whose length is not known yet; see [`Queue::appended`].
    pub(super) fn open_run(&mut self) -> &mut Vec<u8> {
        if self.run.len() >= RUN {
            self.seal();
        }
        &mut self.run
    }

    /// So many bytes were appended to [`Queue::open_run`].
    pub(super) fn appended(&mut self, len: usize) {
        self.pending += len;
    }

    #[cold]
    fn seal(&mut self) {
        if !self.run.is_empty() {
            let mut run = mem::take(&mut self.run);
            // Room that growing left behind would count against the limit of what waits, and never be used.
            run.shrink_to_fit();
            self.segments.push_back(Segment::Run(run));
        }
    }

    /// Queues a frame without copying its payload.
    pub(super) fn push_large(&mut self, head: [u8; MAX_HEAD], head_len: usize, payload: Bytes) {
        self.seal();
        self.pending += head_len + payload.len();
        self.segments.push_back(Segment::Large { head, head_len: head_len as u8, payload });
    }

    fn controls(&mut self) -> &mut Controls {
        self.controls.get_or_insert_default()
    }

    /// The buffer to append one whole control frame to.
    pub(super) fn control(&mut self) -> &mut Vec<u8> {
        &mut self.controls().frames
    }

    /// The buffer for the pong that is owed; what it held and was not begun is forgotten.
    pub(super) fn pong(&mut self) -> &mut Vec<u8> {
        let pong = &mut self.controls().pong;
        pong.clear();
        pong
    }

    /// Whether a pong waits that was not begun.
    pub(super) fn has_pong(&self) -> bool {
        self.controls.as_ref().is_some_and(|c| !c.pong.is_empty())
    }

    /// The buffer for our Close; set once.
    pub(super) fn close(&mut self) -> &mut Vec<u8> {
        &mut self.controls().close
    }

    /// What to write next, in order.
    #[inline]
    pub(super) fn slices(&self) -> Slices<'_> {
        Slices { queue: self, place: Place::Start }
    }

    /// Whether there is nothing but the run.
    #[inline]
    fn is_plain(&self) -> bool {
        self.controls.is_none() && self.segments.is_empty()
    }

    /// The unwritten part of the run.
    #[inline]
    fn run_rest(&self) -> &[u8] {
        let begun = if self.segments.is_empty() { self.begun } else { 0 };
        self.run.get(begun..).unwrap_or_default()
    }

    /// The slices of a segment of which a part may have been written.
    fn segment_rest(&self, index: usize) -> Option<[&[u8]; 2]> {
        Some(self.segments.get(index)?.slices(if index == 0 { self.begun } else { 0 }))
    }

    /// `n` bytes of [`Queue::slices`] were written. Says whether the last byte of the Close was among them.
    ///
    /// Payloads that were kept whole and are written now are handed to `spent`.
    #[inline]
    pub(super) fn advance(&mut self, n: usize, spent: &mut dyn FnMut(Bytes)) -> bool {
        if self.is_plain() && n == self.pending {
            self.finish_run();
            return false;
        }
        self.advance_any(n, spent)
    }

    fn advance_any(&mut self, mut n: usize, spent: &mut dyn FnMut(Bytes)) -> bool {
        if self.begun > 0 {
            n -= self.advance_first(n, spent);
        }
        if let Some(controls) = &mut self.controls {
            n -= controls.advance(n);
        }
        while n > 0 && self.pending > 0 {
            n -= self.advance_first(n, spent);
        }
        let Some(controls) = &mut self.controls else { return false };
        let closed = controls.advance_close(n);
        if controls.is_empty() {
            self.controls = None;
        }
        closed
    }

    /// Takes up to `n` bytes off the first segment; gives how many.
    fn advance_first(&mut self, n: usize, spent: &mut dyn FnMut(Bytes)) -> usize {
        let len = self.segments.front().map_or(self.run.len(), Segment::len);
        let step = n.min(len - self.begun);
        self.begun += step;
        self.pending -= step;
        if self.begun == len {
            self.begun = 0;
            match self.segments.pop_front() {
                Some(Segment::Large { payload, .. }) => spent(payload),
                Some(Segment::Run(_)) => {}
                None => self.finish_run(),
            }
        }
        step
    }

    /// The run has been written whole.
    fn finish_run(&mut self) {
        self.pending = 0;
        self.begun = 0;
        self.run.clear();
        if self.run.capacity() > KEEP {
            self.run = Vec::new();
        }
    }

    /// The next bytes to write, given away; they count as written. Also whether they end with the Close.
    pub(super) fn take(&mut self) -> (Option<Bytes>, bool) {
        let controls = self.controls.as_deref().is_some_and(|c| c.slices() != [&[], &[]]);
        if self.pending > 0 && (self.begun > 0 || !controls) {
            return (Some(self.take_first()), false);
        }
        let Some(next) = self.slices().next().map(Bytes::copy_from_slice) else { return (None, false) };
        let closed = self.advance_any(next.len(), &mut drop);
        (Some(next), closed)
    }

    fn take_first(&mut self) -> Bytes {
        let begun = self.begun;
        let run = match self.segments.front_mut() {
            Some(Segment::Large { head, head_len, payload }) => {
                let head_len = usize::from(*head_len);
                let bytes = match head.get(begun..head_len) {
                    Some(rest) if !rest.is_empty() => Bytes::copy_from_slice(rest),
                    _ => payload.slice(begun - head_len..),
                };
                self.advance_first(bytes.len(), &mut drop);
                return bytes;
            }
            Some(Segment::Run(run)) => mem::take(run),
            None => mem::take(&mut self.run),
        };
        self.segments.pop_front();
        self.pending -= run.len() - begun;
        self.begun = 0;
        Bytes::from(run).slice(begun..)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives unused memory back.
    pub(super) fn release(&mut self) {
        if self.pending == 0 {
            self.run = Vec::new();
            self.segments = VecDeque::new();
        }
    }
}

/// Iterator over what is to be written next.
#[derive(Debug)]
pub(super) struct Slices<'q> {
    queue: &'q Queue,
    place: Place,
}

/// Where the iterator is. A number says which of two parts comes next.
#[derive(Clone, Copy, Debug)]
enum Place {
    Start,
    /// The segment that was begun, if there is one: nothing may come in between.
    Begun(usize),
    Controls(usize),
    Segment(usize, usize),
    Run,
    Close,
    End,
}

impl<'q> Iterator for Slices<'q> {
    type Item = &'q [u8];

    #[inline]
    fn next(&mut self) -> Option<&'q [u8]> {
        match self.place {
            Place::End => None,
            Place::Start if self.queue.is_plain() => {
                self.place = Place::End;
                Some(self.queue.run_rest()).filter(|rest| !rest.is_empty())
            }
            _ => self.next_of_many(),
        }
    }
}

impl<'q> Slices<'q> {
    fn next_of_many(&mut self) -> Option<&'q [u8]> {
        loop {
            let slice = self.step()?;
            if !slice.is_empty() {
                return Some(slice);
            }
        }
    }

    /// Moves on by one place; what is found there may be empty.
    fn step(&mut self) -> Option<&'q [u8]> {
        let queue = self.queue;
        // A segment is begun only while no control frame is, and the other way round.
        let begun = queue.begun > 0;
        let (slice, next): (&[u8], Place) = match self.place {
            Place::Start if begun => (&[], Place::Begun(0)),
            Place::Start => (&[], Place::Controls(0)),
            Place::Begun(part) => match queue.segment_rest(0) {
                Some(parts) => (parts[part], if part == 0 { Place::Begun(1) } else { Place::Controls(0) }),
                None => (queue.run_rest(), Place::Controls(0)),
            },
            Place::Controls(part) => {
                let slice = queue.controls.as_ref().map_or(&[][..], |c| c.slices()[part]);
                (slice, if part == 0 { Place::Controls(1) } else { Place::Segment(usize::from(begun), 0) })
            }
            Place::Segment(index, part) => match queue.segment_rest(index) {
                Some(parts) => {
                    (parts[part], if part == 0 { Place::Segment(index, 1) } else { Place::Segment(index + 1, 0) })
                }
                None => (&[], Place::Run),
            },
            Place::Run if begun && queue.segments.is_empty() => (&[], Place::Close),
            Place::Run => (queue.run_rest(), Place::Close),
            Place::Close => {
                let close = queue.controls.as_ref().and_then(|c| c.close.get(c.close_begun..));
                (close.unwrap_or_default(), Place::End)
            }
            Place::End => return None,
        };
        self.place = next;
        Some(slice)
    }
}
