//! What the tests and the fuzz targets of this repository share.
//!
//! [`transcript`] reads the scripts of `tests/vectors`, [`run`] plays them against anything that is a
//! [`run::Subject`], and [`endpoint`] makes subjects of the core: of a whole connection and of its two halves.
#![forbid(unsafe_code)]

pub mod bodies;
pub mod choices;
pub mod compression;
pub mod deflate;
pub mod dialect;
pub mod endpoint;
pub mod entropy;
pub mod extensions;
pub mod heads;
pub mod hex;
pub mod pair;
pub mod reference;
pub mod run;
pub mod transcript;
pub mod wire;
