//! The way in: reading, parsing, and all that must happen while a connection waits.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ws_proto::connection::{Event, Receiver as Half, Shutdown};
use ws_proto::{Cause, CloseCode, Closed, Input, Instant};

use crate::clock::{Clock, Timer};
use crate::control::{Control, Order};
use crate::outgoing::{FLUSH_AT, Out};
use crate::pool;
use crate::runtime::{Runtime, Transfer};
use crate::trace;

/// Events after which a task lets others run, if its connection never made it wait.
const BUDGET: u32 = 128;
/// What a read counts against it.
const FILL_COST: u32 = 4;
/// Pings that came in one read and are each answered, if the transport takes it. The core keeps one pong, for the
/// latest ping, and more are not owed (RFC 6455 section 5.5.3); but some peers count.
const PONGS: u32 = 16;
/// After a failed write, how long to wait for what the peer sent before it went away.
const AFTERMATH: Duration = Duration::from_secs(1);

/// Access to the way out: directly, or through the lock of a split connection.
pub(crate) trait Reach<T, R: Runtime> {
    /// Runs `f`; wake-ups of the context that it is given reach `cx`.
    fn reach<U>(&mut self, cx: &mut Context<'_>, f: impl FnOnce(&mut Out<T, R>, &mut Context<'_>) -> U) -> U;

    /// Others that wait for the connection must look again.
    fn changed(&mut self) {}
}

impl<T, R: Runtime> Reach<T, R> for Out<T, R> {
    #[inline]
    fn reach<U>(&mut self, cx: &mut Context<'_>, f: impl FnOnce(&mut Out<T, R>, &mut Context<'_>) -> U) -> U {
        f(self, cx)
    }
}

/// The receiving half, its input, and how the connection ended.
#[derive(Debug)]
pub(crate) struct In<R: Runtime> {
    pub(crate) rx: Half,
    pub(crate) timer: Timer<R>,
    clock: Clock<R>,
    /// When input last arrived.
    now: Instant,
    /// Holds `start..end` unparsed; `None` when everything was parsed.
    buffer: Option<Box<[u8]>>,
    start: u32,
    end: u32,
    /// Pings in the input at hand.
    pings: u32,
    /// Events since the task last waited.
    spent: u32,
    /// The timers were not looked at in the last break.
    overdue: bool,
    eof: bool,
    /// The peer's Close arrived, or this side failed the connection.
    ending: bool,
    pub(crate) closed: Option<Box<Closed>>,
    pub(crate) error: Option<io::Error>,
    /// The `Stream` implementation has ended.
    pub(crate) told: bool,
    pub(crate) control: Option<Arc<Control>>,
}

impl<R: Runtime> In<R> {
    pub(crate) fn new(mut rx: Half, clock: Clock<R>) -> Self {
        let now = clock.now();
        rx.handle_timeout(now, 0);
        Self {
            rx,
            timer: Timer::default(),
            clock,
            now,
            buffer: None,
            start: 0,
            end: 0,
            pings: 0,
            spent: 0,
            overdue: false,
            eof: false,
            ending: false,
            closed: None,
            error: None,
            told: false,
            control: None,
        }
    }

    /// Whether input was received that is not parsed yet.
    #[inline]
    pub(crate) fn has_input(&self) -> bool {
        self.buffer.is_some()
    }

    /// Parses up to the next event that `f` wants; `None` when all input is parsed.
    #[inline]
    fn parse<T, A, U, F>(&mut self, out: &mut A, cx: &mut Context<'_>, f: &mut F) -> Option<U>
    where
        R: Transfer<T>,
        A: Reach<T, R>,
        F: FnMut(Event<'_>) -> Option<U>,
    {
        loop {
            let unparsed =
                self.buffer.as_mut().and_then(|buffer| buffer.get_mut(self.start as usize..self.end as usize));
            let mut input = Input::new(unparsed.unwrap_or_default());
            let event = self.rx.poll(self.now, &mut input);
            self.start = self.end - input.len() as u32;
            let wanted = match event {
                None => None,
                Some(data @ (Event::Text(_) | Event::Binary(_) | Event::Chunk(_))) => {
                    self.spent += 1;
                    match f(data) {
                        None => continue,
                        wanted => wanted,
                    }
                }
                Some(mut control) => {
                    self.spent += 1;
                    let owed = self.rx.take_owed();
                    let closing = matches!(control, Event::Closing(_));
                    self.ending |= closing;
                    let now = self.now;
                    self.pings += u32::from(matches!(control, Event::Ping(_)));
                    let earlier = (2..=PONGS).contains(&self.pings);
                    out.reach(cx, |out, cx| {
                        if earlier {
                            let _ = out.poll_drain(cx);
                        }
                        if let Some(owed) = owed {
                            out.tx.settle(if closing { out.clock.now() } else { now }, owed);
                        }
                        if let Event::Pong(pong) = &mut control {
                            pong.round_trip = out.tx.pong_received(now, &pong.payload);
                        }
                    });
                    match f(control) {
                        None => continue,
                        wanted => wanted,
                    }
                }
            };
            if self.start == self.end
                && let Some(buffer) = self.buffer.take()
            {
                pool::give(buffer);
            }
            return wanted;
        }
    }

    /// Reads once into an empty buffer.
    fn poll_fill<T, A>(&mut self, out: &mut A, cx: &mut Context<'_>) -> Poll<()>
    where
        R: Transfer<T>,
        A: Reach<T, R>,
    {
        let mut buffer = pool::take();
        let ending = self.ending;
        let result = out.reach(cx, |out, cx| {
            let result = out.poll_read(cx, &mut buffer);
            if result.is_ready() {
                out.used = true;
                if out.tx.buffered() > FLUSH_AT || ending {
                    // Errors show again when the connection waits.
                    let _ = out.poll_drain(cx);
                }
                // A Close of ours came before what was read now.
                self.exchange(out);
            }
            result
        });
        match result {
            Poll::Ready(Ok(n)) if n > 0 => {
                self.now = self.clock.now();
                self.make_room();
                self.buffer = Some(buffer);
                self.start = 0;
                self.end = n as u32;
                self.pings = 0;
                return Poll::Ready(());
            }
            Poll::Ready(Ok(_)) => self.stream_ended(out, cx, None),
            Poll::Ready(Err(error)) => self.stream_ended(out, cx, Some(error)),
            Poll::Pending => {}
        }
        pool::give(buffer);
        if self.eof { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Lets a long message go on in memory that another one has left.
    fn make_room(&mut self) {
        if let Some(wanted) = self.rx.room_wanted()
            && let Some(room) = pool::take_large(wanted)
        {
            pool::give_large(self.rx.swap_room(room));
        }
    }

    fn stream_ended<T, A: Reach<T, R>>(&mut self, out: &mut A, cx: &mut Context<'_>, error: Option<io::Error>) {
        self.eof = true;
        self.now = self.clock.now();
        let (gone, broken) = out.reach(cx, |out, _| (out.io.is_none(), out.broken_since().is_some()));
        if gone {
            // A sender has let go of it.
            self.rx.abort(self.now);
            return;
        }
        // After the peer's Close it does not matter how the stream ends; many peers reset it.
        if broken || (error.is_some() && !self.ending) {
            self.rx.transport_failed(self.now);
            self.error = error;
        } else {
            self.rx.eof(self.now);
        }
    }

    /// Lets the two halves know of each other's doings. Says whether the connection is over.
    fn exchange<T>(&mut self, out: &mut Out<T, R>) -> bool {
        loop {
            if let Some(owed) = self.rx.take_owed() {
                out.tx.settle(self.now, owed);
            }
            let Some(receipt) = out.tx.receipt() else { return self.rx.is_over() };
            // The time for a pong begins when the ping has left, the time to close is for a timer to tell.
            let now = if out.tx.is_closing() { self.now } else { self.clock.now() };
            self.rx.note(now, receipt);
        }
    }

    /// What follows from all that was parsed: whether the connection is over.
    fn conclude<T, A>(&mut self, out: &mut A, cx: &mut Context<'_>) -> bool
    where
        R: Transfer<T>,
        A: Reach<T, R>,
    {
        out.reach(cx, |out, _| self.exchange(out));
        if let Some(Event::Closed(closed)) = self.rx.ended(self.now) {
            let politely = closed.cause != Cause::Aborted && closed.cause != Cause::Transport;
            let error = out.reach(cx, |out, cx| {
                self.finish(out, closed);
                out.end(cx, politely)
            });
            if self.error.is_none() {
                self.error = error;
            }
            out.changed();
        }
        self.closed.is_some()
    }

    fn finish<T>(&mut self, out: &mut Out<T, R>, closed: Closed) {
        self.exchange(out);
        trace::closed(&closed);
        self.closed = Some(Box::new(closed));
        self.drop_input();
        self.timer = Timer::default();
        self.control = None;
    }

    fn drop_input(&mut self) {
        self.start = self.end;
        if let Some(buffer) = self.buffer.take() {
            pool::give(buffer);
        }
    }

    /// Ends the connection without a closing handshake.
    pub(crate) fn abort<T>(&mut self, out: &mut Out<T, R>) {
        if self.closed.is_none() {
            self.rx.abort(self.now);
            if let Some(Event::Closed(closed)) = self.rx.ended(self.now) {
                self.finish(out, closed);
            }
            out.io = None;
        }
    }

    /// Does what the server says, if it says something.
    fn obey<T, A: Reach<T, R>>(&mut self, out: &mut A, cx: &mut Context<'_>) {
        if let Some(order) = self.control.as_ref().and_then(|control| control.poll(cx)) {
            out.reach(cx, |out, _| match order {
                // A second time it does nothing.
                Order::GoAway => drop(out.tx.close(out.clock.now(), CloseCode::GOING_AWAY, "going away")),
                Order::Abort => self.rx.abort(self.now),
                Order::Withdraw => {}
            });
        }
    }

    /// The driver of a connection. Parses, reads, and before it waits: writes, shuts down, looks at the clock.
    ///
    /// Gives what `f` makes of the next event that it wants, `None` at the end of the connection.
    #[inline]
    pub(crate) fn poll_next<T, A, U, F>(&mut self, out: &mut A, cx: &mut Context<'_>, f: &mut F) -> Poll<Option<U>>
    where
        R: Transfer<T>,
        A: Reach<T, R>,
        F: FnMut(Event<'_>) -> Option<U>,
    {
        if self.closed.is_some() {
            return Poll::Ready(None);
        }
        if self.spent >= BUDGET {
            return self.take_a_break(out, cx);
        }
        loop {
            if let Some(wanted) = self.parse(out, cx, f) {
                return Poll::Ready(Some(wanted));
            }
            if let Some(owed) = self.rx.take_owed() {
                // Only a failure leaves something here.
                self.ending = true;
                out.reach(cx, |out, _| out.tx.settle(out.clock.now(), owed));
            }
            if (self.ending || self.eof || self.rx.is_over()) && self.conclude(out, cx) {
                return Poll::Ready(None);
            }
            if self.spent >= BUDGET || self.overdue {
                return self.take_a_break(out, cx);
            }
            if self.rx.wants_read() && !self.eof && self.poll_fill(out, cx).is_ready() {
                // A peer that sends nothing worth an event, without end, must not keep the task.
                self.spent += FILL_COST;
                continue;
            }
            if self.poll_wait(out, cx).is_pending() {
                self.spent = 0;
                return Poll::Pending;
            }
        }
    }

    /// Lets other tasks run although there is input; what must not wait for a pause of the peer is done before.
    #[cold]
    fn take_a_break<T, A, U>(&mut self, out: &mut A, cx: &mut Context<'_>) -> Poll<Option<U>>
    where
        R: Transfer<T>,
        A: Reach<T, R>,
    {
        self.spent = 0;
        self.obey(out, cx);
        // What is not parsed yet may be what a timer waits for. And what arrived since the last read is not known,
        // if the program takes its time: so timers are looked at as of then.
        self.overdue = self.has_input();
        out.reach(cx, |out, cx| {
            let _ = out.poll_drain(cx);
            if !self.overdue {
                self.handle_timeout(out);
                let _ = out.poll_drain(cx);
            }
        });
        if self.rx.is_over() && self.conclude(out, cx) {
            return Poll::Ready(None);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nothing can be read now. Ready if something has changed that makes another look worth while.
    fn poll_wait<T, A>(&mut self, out: &mut A, cx: &mut Context<'_>) -> Poll<()>
    where
        R: Transfer<T>,
        A: Reach<T, R>,
    {
        self.obey(out, cx);
        loop {
            let deadline = out.reach(cx, |out, cx| self.poll_out(out, cx));
            if self.rx.is_over() {
                self.conclude(out, cx);
                return Poll::Ready(());
            }
            if !self.timer.poll_due(cx, self.clock, deadline) {
                return Poll::Pending;
            }
            self.now = self.clock.now();
            out.reach(cx, |out, _| self.handle_timeout(out));
        }
    }

    /// Writes what is queued, shuts down if it is time to; gives the next deadline.
    fn poll_out<T>(&mut self, out: &mut Out<T, R>, cx: &mut Context<'_>) -> Option<Instant>
    where
        R: Transfer<T>,
    {
        let mut deadline = None;
        loop {
            self.exchange(out);
            let drained = out.poll_drain(cx);
            self.exchange(out);
            if out.io.is_none() && !self.rx.is_over() {
                // A sender has let go of it.
                self.rx.abort(self.now);
            }
            if self.rx.is_over() {
                return None;
            }
            match drained {
                Poll::Pending => {
                    out.watch_for_stall();
                }
                Poll::Ready(Err(_)) if self.eof => {
                    self.rx.transport_failed(self.now);
                    return None;
                }
                Poll::Ready(Err(_)) => deadline = out.broken_since().map(|since| since.saturating_add(AFTERMATH)),
                Poll::Ready(Ok(())) if out.tx.wants_write() => continue,
                Poll::Ready(Ok(())) => {
                    if self.rx.wants_shutdown() == Some(Shutdown::Write) {
                        let _ = out.poll_shutdown(cx);
                    }
                    self.release(out);
                }
            }
            let all = [deadline, self.rx.poll_timeout(), out.tx.poll_timeout()];
            return all.into_iter().flatten().min();
        }
    }

    /// The connection waits with nothing left to write: gives memory back.
    ///
    /// At once, not after a while: buffers of many connections would otherwise lie between what stays, and the
    /// system would never see their pages again.
    fn release<T>(&mut self, out: &mut Out<T, R>) {
        if !out.used {
            return;
        }
        out.used = false;
        // Messages that passed since the last time count as having passed now, for the idle timer.
        self.now = self.clock.now();
        self.rx.observe(self.now, out.tx.messages_sent());
        out.tx.observe(self.now);
        self.rx.release_memory();
        out.tx.release_memory();
    }

    fn handle_timeout<T>(&mut self, out: &mut Out<T, R>) {
        if out.broken_since().is_some_and(|since| self.now >= since.saturating_add(AFTERMATH)) {
            self.rx.transport_failed(self.now);
        }
        self.rx.handle_timeout(self.now, out.tx.messages_sent());
        out.tx.handle_timeout(self.now);
        self.exchange(out);
    }

    /// Waits until nothing is queued, or `enough` is true. Only the timer of the writing side runs.
    ///
    /// Ready with false if nothing more can be written.
    pub(crate) fn poll_flush<T>(
        &mut self,
        out: &mut Out<T, R>,
        cx: &mut Context<'_>,
        enough: fn(&Out<T, R>) -> bool,
    ) -> Poll<bool>
    where
        R: Transfer<T>,
    {
        loop {
            match out.poll_drain(cx) {
                Poll::Ready(result) => return Poll::Ready(result.is_ok()),
                Poll::Pending if enough(out) => return Poll::Ready(true),
                Poll::Pending => {}
            }
            out.watch_for_stall();
            if !self.timer.poll_due(cx, self.clock, out.tx.poll_timeout()) {
                return Poll::Pending;
            }
            self.now = self.clock.now();
            out.tx.handle_timeout(self.now);
            if self.exchange(out) {
                return Poll::Ready(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ws_proto::{Config, Negotiated, Role, Version};

    use super::*;
    use crate::testing::{Flood, Testing};
    use crate::websocket::WebSocket;

    #[tokio::test]
    async fn threat_120_an_order_reaches_a_connection_that_always_has_input() {
        for order in [Order::GoAway, Order::Abort] {
            let negotiated = Negotiated::new(Version::Rfc6455);
            let mut ws =
                WebSocket::<_, Testing>::from_upgraded(Flood::default(), Role::Server, negotiated, Config::default());
            let control = Arc::new(Control::default());
            ws.set_control(control.clone());
            let mut cx = Context::from_waker(std::task::Waker::noop());
            for _ in 0..3 {
                assert_eq!(ws.poll_recv(&mut cx), Poll::Pending);
            }
            control.give(order);
            let next = ws.poll_recv(&mut cx);
            if order == Order::GoAway {
                assert_eq!(next, Poll::Pending);
                let taken = &ws.get_ref().unwrap().taken;
                assert_eq!((taken[0], &taken[2..4]), (0x88, &1001_u16.to_be_bytes()[..]));
            } else {
                assert_eq!(next, Poll::Ready(None));
                assert_eq!(ws.closed().unwrap().cause, Cause::Aborted);
            }
        }
    }
}
