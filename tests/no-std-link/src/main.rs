//! A WebSocket server's side of a conversation, without the standard library and without an operating system's help.
//!
//! The program handshakes, receives a masked text and a Close, and answers both. It ends with 0 if every byte that
//! it would write is right, else with the number of the step that went wrong.
#![no_std]
#![no_main]

extern crate alloc;

mod heap;

use alloc::boxed::Box;
use alloc::vec::Vec;

use ws_proto::connection::{Connection, Event, Negotiated, Shutdown};
use ws_proto::{Config, Input, Instant, NoEntropy, Role, Version};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

// The C library's start files call this; on bare metal it is the entry point.
// SAFETY: no other symbol of the program is called `main`.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    match talk() {
        Ok(()) => 0,
        Err(step) => step,
    }
}

fn talk() -> Result<(), i32> {
    let now = Instant::ZERO;
    let mut connection = Connection::from_upgraded(
        Role::Server,
        Negotiated::new(Version::Rfc6455),
        Config::default(),
        Box::new(NoEntropy),
    );

    // RFC 6455 section 5.7: a masked "Hello", then in the same read a Close with code 1000.
    let mut bytes = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x88\x82\x00\x00\x00\x00\x03\xe8";
    let mut input = Input::new(&mut bytes);
    let mut heard = 0;
    while let Some(event) = connection.poll(now, &mut input) {
        match event {
            Event::Text(text) if text == "Hello" => {
                connection.send(text).map_err(|_| 11)?;
                heard += 1;
            }
            Event::Closing(frame) if frame.code().get() == 1000 => heard += 1,
            _ => return Err(12),
        }
    }
    if heard != 2 {
        return Err(13);
    }
    let written: Vec<u8> = connection.outgoing().flatten().copied().collect();
    if written != b"\x81\x05Hello\x88\x02\x03\xe8" {
        return Err(14);
    }
    connection.advance(now, written.len());
    match connection.poll(now, &mut Input::empty()) {
        Some(Event::Closed(closed)) if closed.is_clean() => {}
        _ => return Err(15),
    }
    if connection.wants_shutdown() != Some(Shutdown::Both) {
        return Err(16);
    }
    Ok(())
}
