//! An echo device: a microcontroller that speaks WebSocket over a serial line, without the standard library.
//!
//! There is no socket, no operating system and no clock but a counter of milliseconds. The firmware brings a [`Line`]
//! (a UART with flow control, behind it a modem or a bridge to TCP), a heap, and where the device calls somebody, a
//! [`NoiseSource`]. Its main loop is
//!
//! ```no_run
//! # use no_std_echo::{Device, Hangup, Line, Next};
//! # struct Uart;
//! # impl Line for Uart {
//! #     fn receive(&mut self, _: &mut [u8]) -> Result<usize, Hangup> { Err(Hangup) }
//! #     fn transmit(&mut self, _: &[u8]) -> Result<usize, Hangup> { Err(Hangup) }
//! #     fn hang_up(&mut self) {}
//! # }
//! # fn millis() -> u32 { 0 }
//! # fn sleep_until_interrupt(_: Option<u32>) {}
//! # let mut uart = Uart;
//! loop {
//!     let mut device = Device::answer(millis());
//!     loop {
//!         match device.turn(&mut uart, millis()) {
//!             Next::Again => {}
//!             Next::Sleep(most) => sleep_until_interrupt(most),
//!             Next::Over => break,
//!         }
//!     }
//! }
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;

mod clock;
mod device;
mod noise;

pub use device::{Device, Hangup, Line, Next, config};
pub use noise::{Noise, NoiseSource};
