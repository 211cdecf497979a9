//! Bytes to frames and back, on slices, without allocation.
//!
//! [`hybi`] has the frame layout of RFC 6455 section 5.2, [`mask`] the masking of section 5.3, and
//! [`utf8`] the incremental check of text that section 8.1 asks for.

pub mod hybi;
mod mask;
pub mod utf8;

pub(crate) use mask::{extend_masked, rotate};
pub use mask::{mask, mask_is_ascii};
