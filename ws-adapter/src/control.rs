//! How a server reaches its connections.

use std::pin::Pin;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

/// What a server tells a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Give up the handshake; no order for a connection that is open.
    Withdraw,
    /// Close with 1001.
    GoAway,
    /// Drop the transport.
    Abort,
}

/// The higher one holds. A connection that opened just before a [`Order::Withdraw`] came was given the next one.
const NONE: u8 = 0;
const WITHDRAW: u8 = 1;
const GO_AWAY: u8 = 2;
const ABORT: u8 = 3;

/// The server's line to one connection, and to the task that it runs in.
#[derive(Debug, Default)]
pub(crate) struct Control {
    order: AtomicU8,
    connection: Slot,
    task: Slot,
}

impl Control {
    pub(crate) fn give(&self, order: Order) {
        let number = match order {
            Order::Withdraw => WITHDRAW,
            Order::GoAway => GO_AWAY,
            Order::Abort => ABORT,
        };
        self.order.fetch_max(number, Ordering::AcqRel);
        self.connection.wake();
        if order != Order::GoAway {
            self.task.wake();
        }
    }

    /// The order that was given, if any; `cx` is woken by the next one.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Option<Order> {
        self.connection.wait(cx);
        match self.order.load(Ordering::Acquire) {
            NONE | WITHDRAW => None,
            GO_AWAY => Some(Order::GoAway),
            _ => Some(Order::Abort),
        }
    }

    /// Runs a task until it is over or the order comes to give it up.
    pub(crate) fn poll_task(&self, task: Pin<&mut impl Future<Output = ()>>, cx: &mut Context<'_>) -> Poll<()> {
        self.task.wait(cx);
        if matches!(self.order.load(Ordering::Acquire), WITHDRAW | ABORT) {
            return Poll::Ready(());
        }
        task.poll(cx)
    }
}

/// The waker of whoever waits for an order.
#[derive(Debug, Default)]
struct Slot(Mutex<Option<Waker>>);

impl Slot {
    fn wait(&self, cx: &Context<'_>) {
        let mut waker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    fn wake(&self) {
        let waker = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use super::*;

    #[test]
    fn a_connection_that_opens_during_a_shutdown_gets_its_close() {
        let cx = &mut Context::from_waker(Waker::noop());
        // The handshake is going on.
        let control = Control::default();
        control.give(Order::Withdraw);
        assert!(control.poll_task(pin!(pending()), cx).is_ready());
        // It was done when the order was on its way.
        let control = Control::default();
        control.give(Order::GoAway);
        control.give(Order::Withdraw);
        assert!(control.poll_task(pin!(pending()), cx).is_pending());
        assert_eq!(control.poll(cx), Some(Order::GoAway));
        // And its time is up.
        control.give(Order::Abort);
        assert!(control.poll_task(pin!(pending()), cx).is_ready());
        assert_eq!(control.poll(cx), Some(Order::Abort));
    }
}
