//! One suite for all adapters.
//!
//! * [`poke`] calls the public verbs of an adapter and interrupts them, over scripted transports: futures are dropped,
//!   calls that block are cancelled.
//! * [`sim`] runs the engine on the transports of an adapter, with a clock that jumps. tokio has one; for the others the
//!   suite brings it.
//! * [`network`] runs servers and clients of each adapter over real sockets.
#![allow(unreachable_pub, missing_docs)]

#[path = "../versions/mod.rs"]
mod versions_kit;

mod cancellation;
mod deflate;
mod endings;
mod flushing;
mod halves;
mod leaks;
mod lies;
mod net;
mod net_blocking;
mod network;
mod poke;
mod sim;
mod slow;
mod timers;
mod transcripts;
mod versions;
mod wire;

use ws_proto::{Config, Negotiated, Timers, Version};

/// A small random number generator: tests print their seed by failing.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

pub fn modern() -> Negotiated {
    Negotiated::new(Version::Rfc6455)
}

/// Without timers: for tests that are not about time.
pub fn quiet() -> Config {
    let mut config = Config::default();
    config.timers = Timers::off();
    config
}

/// Tests of public verbs, for each adapter.
#[macro_export]
macro_rules! with_the_verbs_of_all {
    ($($name:ident),* $(,)?) => {
        $crate::with_the_verbs_of_all!(@ tokio ws_tokio::WebSocket<$crate::wire::Io>; $($name)*);
        $crate::with_the_verbs_of_all!(@ futures_io ws_async_std::WebSocket<$crate::wire::Io>; $($name)*);
        $crate::with_the_verbs_of_all!(@ blocking ws_blocking::WebSocket<$crate::wire::Io>; $($name)*);
    };
    (@ $adapter:ident $socket:ty; $($name:ident)*) => {
        mod $adapter {
            $(#[test] fn $name() { <$socket as $crate::poke::Verbs>::home(super::$name::<$socket>); })*
        }
    };
}

/// Tests of time and tasks, for the transports of each adapter.
#[macro_export]
macro_rules! in_all_worlds {
    ($($name:ident),* $(,)?) => {
        $crate::in_all_worlds!(@ tokio $crate::sim::Paused; $($name)*);
        $crate::in_all_worlds!(@ futures_io $crate::sim::Simulated<ws_async_std::FuturesIo>; $($name)*);
        $crate::in_all_worlds!(@ blocking $crate::sim::Simulated<ws_blocking::Blocking>; $($name)*);
    };
    (@ $adapter:ident $world:ty; $($name:ident)*) => {
        mod $adapter {
            use $crate::sim::World;
            $(#[test] fn $name() { <$world>::new().run(super::$name::<$world>()); })*
        }
    };
}

/// Tests over real sockets, for each adapter and runtime.
#[macro_export]
macro_rules! on_all_networks {
    ($($name:ident),* $(,)?) => {
        $crate::on_all_networks!(@ tokio $crate::net::OnTokio; $($name)*);
        $crate::on_all_networks!(@ async_std $crate::net::OnAsyncStd; $($name)*);
        $crate::on_all_networks!(@ smol $crate::net::OnSmol; $($name)*);
        $crate::on_all_networks!(@ blocking $crate::net_blocking::OnThreads; $($name)*);
    };
    (@ $adapter:ident $net:ty; $($name:ident)*) => {
        mod $adapter {
            $(#[test] fn $name() { super::$name::<$net>(); })*
        }
    };
}
