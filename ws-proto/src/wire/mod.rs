//! Bytes to frames and back, on slices, without allocation.
//!
//! [`hybi`] has the frame layout of RFC 6455 section 5.2, `early` and `hixie` those before it, [`mask`] the masking of section 5.3, and
//! [`utf8`] the incremental check of text that section 8.1 asks for.
//!
//! Lengths are 64 bits wide until they are compared with a limit, so no cast may cut one.
#![cfg_attr(not(test), deny(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss))]

#[cfg(feature = "legacy")]
pub mod early;
#[cfg(feature = "legacy")]
pub mod hixie;
pub mod hybi;
mod mask;
pub mod utf8;

pub(crate) use mask::{extend_masked, rotate};
pub use mask::{mask, mask_is_ascii};
