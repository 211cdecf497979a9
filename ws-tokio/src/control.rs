//! How a server reaches its connections.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Waker};

/// What a server tells a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Close with 1001.
    GoAway,
    /// Drop the transport.
    Abort,
}

const NONE: u8 = 0;
const GO_AWAY: u8 = 1;
const ABORT: u8 = 2;

/// The server's line to one connection.
#[derive(Debug, Default)]
pub(crate) struct Control {
    order: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Control {
    pub(crate) fn give(&self, order: Order) {
        let number = match order {
            Order::GoAway => GO_AWAY,
            Order::Abort => ABORT,
        };
        self.order.fetch_max(number, Ordering::AcqRel);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The order that was given, if any; `cx` is woken by the next one.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Option<Order> {
        {
            let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        match self.order.load(Ordering::Acquire) {
            NONE => None,
            GO_AWAY => Some(Order::GoAway),
            _ => Some(Order::Abort),
        }
    }
}
