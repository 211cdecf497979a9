//! What is measured: the rows in memory and the rows over loopback.

use crate::frames::{self, Kind};

/// Which side of the connection the measured library plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

/// One row in memory.
pub struct MemoryRow {
    /// What `--rows` matches.
    pub name: &'static str,
    pub work: Work,
}

/// What one iteration of a row does.
pub enum Work {
    /// One message received by a server.
    Receive { pattern: &'static [u8], read_size: usize, payload: usize },
    /// One binary message sent.
    Send { role: Role, payload: &'static [u8] },
    /// One opening handshake answered by a new server connection.
    Handshake,
}

impl MemoryRow {
    /// Iterations that take some hundred thousand instructions: enough to count them exactly.
    pub fn counted_iterations(&self) -> u64 {
        let size = match self.work {
            Work::Receive { payload, .. } => payload,
            Work::Send { payload, .. } => payload.len(),
            Work::Handshake => 1024,
        };
        (4_000_000 / (size as u64 + 1000)).clamp(8, 2000)
    }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// All rows in memory, in the order of the tables.
pub fn memory() -> Vec<MemoryRow> {
    use frames::{ascii, binary, multi_byte};
    let whole = usize::MAX;
    vec![
        receive("receive-ascii-16", Kind::Text, ascii(16), whole),
        receive("receive-ascii-125", Kind::Text, ascii(125), whole),
        receive("receive-ascii-1k", Kind::Text, ascii(KIB), whole),
        receive("receive-ascii-64k", Kind::Text, ascii(64 * KIB), whole),
        receive("receive-multibyte-1k", Kind::Text, multi_byte(KIB), whole),
        receive("receive-binary-16", Kind::Binary, binary(16), whole),
        receive("receive-binary-1k", Kind::Binary, binary(KIB), whole),
        receive("receive-binary-64k", Kind::Binary, binary(64 * KIB), whole),
        pipelined("pipelined-16-in-16k", ascii(16), 8192, 16 * KIB),
        pipelined("pipelined-1k-in-64k", ascii(KIB), 254, 64 * KIB),
        pattern_row("fragments-64k-in-16", &ascii(64 * KIB), Kind::Text, 16, 1, whole),
        receive("chunks-1k-in-1", Kind::Text, ascii(KIB), 1),
        receive("chunks-16k-in-1460", Kind::Text, ascii(16 * KIB), 1460),
        receive("chunks-1m-in-64k", Kind::Text, ascii(MIB), 64 * KIB),
        send("send-server-16", Role::Server, 16),
        send("send-server-1k", Role::Server, KIB),
        send("send-server-1m", Role::Server, MIB),
        send("send-client-16", Role::Client, 16),
        send("send-client-1k", Role::Client, KIB),
        send("send-client-16k", Role::Client, 16 * KIB),
        MemoryRow { name: "handshake-server", work: Work::Handshake },
    ]
}

fn receive(name: &'static str, kind: Kind, payload: Vec<u8>, read_size: usize) -> MemoryRow {
    pattern_row(name, &payload, kind, 1, 1, read_size)
}

/// Many messages back to back, so that reads cut them anywhere.
fn pipelined(name: &'static str, payload: Vec<u8>, messages: usize, read_size: usize) -> MemoryRow {
    pattern_row(name, &payload, Kind::Text, 1, messages, read_size)
}

fn pattern_row(
    name: &'static str,
    payload: &[u8],
    kind: Kind,
    fragments: usize,
    messages: usize,
    read_size: usize,
) -> MemoryRow {
    let mut pattern = Vec::new();
    for _ in 0..messages {
        frames::put_client_message(&mut pattern, kind, payload, fragments);
    }
    MemoryRow { name, work: Work::Receive { pattern: pattern.leak(), read_size, payload: payload.len() } }
}

fn send(name: &'static str, role: Role, len: usize) -> MemoryRow {
    MemoryRow { name, work: Work::Send { role, payload: frames::binary(len).leak() } }
}

/// One row over loopback: 100 connections, each with `depth` messages under way.
pub struct EchoRow {
    /// What `--rows` matches.
    pub name: &'static str,
    pub payload: usize,
    pub depth: usize,
}

/// All rows over loopback, in the order of the tables.
pub const ECHO: &[EchoRow] = &[
    EchoRow { name: "echo-16", payload: 16, depth: 1 },
    EchoRow { name: "echo-16x16", payload: 16, depth: 16 },
    EchoRow { name: "echo-1k", payload: KIB, depth: 1 },
    EchoRow { name: "echo-16k", payload: 16 * KIB, depth: 1 },
    EchoRow { name: "echo-1m", payload: MIB, depth: 1 },
];

/// Connections of an echo row.
pub const ECHO_CONNECTIONS: usize = 100;
