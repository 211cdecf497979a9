//! Measures this library beside other WebSocket libraries: in memory, as an echo server over
//! loopback, and idle. `README.md` says how to run it and how to read what it prints.

pub mod compression;
pub mod echo;
pub mod frames;
pub mod heap;
pub mod idle;
pub mod link;
pub mod load;
pub mod measure;
pub mod memory;
pub mod messages;
pub mod options;
pub mod peers;
pub mod process;
pub mod rows;
pub mod runtimes;
pub mod serve;
pub mod stream;
pub mod table;
pub mod tls;
