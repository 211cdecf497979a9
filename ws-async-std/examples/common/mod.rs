//! Which runtime the examples run on: smol where the features have only that, or else async-std.

#[cfg(feature = "async-std")]
pub(crate) use async_std::task::block_on;
#[cfg(not(feature = "async-std"))]
pub(crate) use smol::block_on;

#[cfg(not(any(feature = "async-std", feature = "smol")))]
compile_error!("the examples need one of the features `async-std` and `smol`");
