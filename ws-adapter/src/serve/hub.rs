//! All connections of a server: how many there are, and the line to each.

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Report;
use crate::control::{Control, Order};
use crate::runtime::Network;

/// Shared by the server, its handles, and the tasks of its connections.
#[derive(Debug, Default)]
pub(super) struct Hub(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    lines: Vec<Option<Line>>,
    free: Vec<u32>,
    connections: usize,
    pending: usize,
    refusals: usize,
    report: Report,
    /// A shutdown was asked for; how long connections may take.
    patience: Option<Duration>,
    leaving: bool,
    /// The server.
    waker: Option<Waker>,
}

/// The line to a connection.
#[derive(Debug)]
struct Line {
    control: Arc<Control>,
    open: bool,
    aborted: bool,
}

impl State {
    fn line(&mut self, index: u32) -> Option<&mut Line> {
        self.lines.get_mut(index as usize)?.as_mut()
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn wait(&mut self, cx: &Context<'_>) {
        self.waker = Some(cx.waker().clone());
    }
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections, and those of them that are in their handshake.
    pub(super) fn count(&self) -> (usize, usize) {
        let state = self.state();
        (state.connections, state.pending)
    }

    /// Runs a connection in a task.
    ///
    /// # Errors
    /// If there can be no more tasks; the connection is then dropped, and counted as one without room.
    pub(super) fn spawn<R: Network, F>(self: &Arc<Self>, connection: impl FnOnce(Place) -> F) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let control = Arc::new(Control::default());
        let index = {
            let mut state = self.state();
            state.connections += 1;
            state.pending += 1;
            let line = Some(Line { control: control.clone(), open: false, aborted: false });
            match state.free.pop() {
                Some(index) => {
                    if let Some(slot) = state.lines.get_mut(index as usize) {
                        *slot = line;
                    }
                    index
                }
                None => {
                    state.lines.push(line);
                    (state.lines.len() - 1) as u32
                }
            }
        };
        // In a box, because the compiler would keep it twice: as it was given and as it is run.
        let mut connection = Box::pin(connection(Place { hub: self.clone(), index }));
        R::spawn(poll_fn(move |cx| control.poll_task(connection.as_mut(), cx))).inspect_err(|_| {
            // The place is free again, and has counted a handshake that never was.
            let report = &mut self.state().report;
            report.refused = report.refused.saturating_sub(1);
            report.rejected += 1;
        })
    }

    /// Counts a connection for which there is no room. Gives leave to tell it so, if not too many are being told.
    pub(super) fn reject(self: &Arc<Self>, most: usize) -> Option<Refusal> {
        let mut state = self.state();
        state.report.rejected += 1;
        if state.refusals >= most {
            return None;
        }
        state.refusals += 1;
        Some(Refusal(self.clone()))
    }

    pub(super) fn accept_failed(&self) {
        self.state().report.accept_errors += 1;
    }

    pub(super) fn shut_down(&self, patience: Duration) {
        let mut state = self.state();
        state.patience.get_or_insert(patience);
        state.wake();
    }

    pub(super) fn patience(&self) -> Duration {
        self.state().patience.unwrap_or_default()
    }

    /// Whether a shutdown was asked for; `cx` is woken when it is.
    pub(super) fn poll_shutdown(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        state.wait(cx);
        state.patience.is_some()
    }

    /// Tells all connections to close, and drops those that are not open yet.
    pub(super) fn go_away(&self) {
        let mut state = self.state();
        state.leaving = true;
        let lines = state.lines.iter().flatten();
        let orders: Vec<_> =
            lines.map(|line| (line.control.clone(), if line.open { Order::GoAway } else { Order::Withdraw })).collect();
        drop(state);
        orders.iter().for_each(|(control, order)| control.give(*order));
    }

    /// Drops all connections.
    pub(super) fn abort_all(&self) {
        let mut state = self.state();
        let lines = state.lines.iter_mut().flatten();
        let controls: Vec<_> = lines
            .map(|line| {
                line.aborted = true;
                line.control.clone()
            })
            .collect();
        drop(state);
        controls.iter().for_each(|control| control.give(Order::Abort));
    }

    /// Resolves when there are no connections.
    pub(super) async fn all_gone(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.connections == 0 {
                return Poll::Ready(());
            }
            state.wait(cx);
            Poll::Pending
        })
        .await;
    }

    pub(super) fn report(&self) -> Report {
        self.state().report
    }
}

/// A connection's place in the hub; vacated when dropped.
#[derive(Debug)]
pub(super) struct Place {
    hub: Arc<Hub>,
    index: u32,
}

impl Place {
    /// The handshake is done. Gives the end of the line that the connection holds.
    pub(super) fn opened(&mut self) -> Arc<Control> {
        let mut state = self.hub.state();
        state.pending = state.pending.saturating_sub(1);
        state.report.served += 1;
        let leaving = state.leaving;
        let control = state.line(self.index).map(|line| {
            line.open = true;
            line.control.clone()
        });
        drop(state);
        let control = control.unwrap_or_default();
        if leaving {
            control.give(Order::GoAway);
        }
        control
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        let Some(line) = state.lines.get_mut(self.index as usize).and_then(mem::take) else { return };
        let leaving = state.leaving;
        state.free.push(self.index);
        state.connections = state.connections.saturating_sub(1);
        let report = &mut state.report;
        if !line.open {
            report.refused += 1;
        } else if std::thread::panicking() {
            report.panicked += 1;
        } else if line.aborted {
            report.aborted += 1;
        } else if leaving {
            report.graceful += 1;
        }
        if !line.open {
            state.pending = state.pending.saturating_sub(1);
        }
        if state.connections == 0 && state.leaving {
            state.wake();
        }
    }
}

/// Leave to tell a client that there is no room.
#[derive(Debug)]
pub(super) struct Refusal(Arc<Hub>);

impl Drop for Refusal {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.refusals = state.refusals.saturating_sub(1);
    }
}
