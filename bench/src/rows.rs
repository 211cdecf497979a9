//! What is measured: the rows in memory and the rows over loopback.

use crate::compression::{Codec, Traffic, traffic};
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
    /// One text of hixie-76 received by a server. Only this library has such rows; beside them stand the rows of the
    /// same text in RFC 6455.
    ReceiveHixie { pattern: &'static [u8], payload: usize },
    /// One binary message sent.
    Send { role: Role, payload: &'static [u8] },
    /// One opening handshake answered by a new server connection.
    Handshake,
    /// One compressed text message received by a server.
    Inflate(Traffic),
    /// One binary message compressed and sent by a server.
    Deflate(Traffic),
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const TAKEOVER: Codec = Codec::window_15(true);
const ALONE: Codec = Codec::window_15(false);

/// The rows in memory whose names are wanted, in the order of the tables. Only their bytes are made.
pub fn memory(wanted: impl Fn(&str) -> bool) -> Vec<MemoryRow> {
    use Kind::{Binary, Text};
    use frames::{ascii, binary, multi_byte};
    let whole = usize::MAX;
    let rows: &[(&'static str, &dyn Fn() -> Work)] = &[
        ("receive-ascii-16", &|| receive(Text, &ascii(16), whole)),
        ("receive-ascii-125", &|| receive(Text, &ascii(125), whole)),
        ("receive-ascii-1k", &|| receive(Text, &ascii(KIB), whole)),
        ("receive-ascii-64k", &|| receive(Text, &ascii(64 * KIB), whole)),
        ("receive-multibyte-1k", &|| receive(Text, &multi_byte(KIB), whole)),
        ("hixie-76-ascii-16", &|| hixie(&ascii(16))),
        ("hixie-76-ascii-1k", &|| hixie(&ascii(KIB))),
        ("hixie-76-multibyte-1k", &|| hixie(&multi_byte(KIB))),
        ("receive-binary-16", &|| receive(Binary, &binary(16), whole)),
        ("receive-binary-1k", &|| receive(Binary, &binary(KIB), whole)),
        ("receive-binary-64k", &|| receive(Binary, &binary(64 * KIB), whole)),
        // So many messages back to back that reads cut them anywhere.
        ("pipelined-16-in-16k", &|| pattern(Text, &ascii(16), 1, 8192, 16 * KIB)),
        ("pipelined-1k-in-64k", &|| pattern(Text, &ascii(KIB), 1, 254, 64 * KIB)),
        ("fragments-64k-in-16", &|| pattern(Text, &ascii(64 * KIB), 16, 1, whole)),
        ("chunks-1k-in-1", &|| receive(Text, &ascii(KIB), 1)),
        ("chunks-16k-in-1460", &|| receive(Text, &ascii(16 * KIB), 1460)),
        ("chunks-1m-in-64k", &|| receive(Text, &ascii(MIB), 64 * KIB)),
        ("send-server-16", &|| send(Role::Server, 16)),
        ("send-server-1k", &|| send(Role::Server, KIB)),
        ("send-server-1m", &|| send(Role::Server, MIB)),
        ("send-client-16", &|| send(Role::Client, 16)),
        ("send-client-1k", &|| send(Role::Client, KIB)),
        ("send-client-16k", &|| send(Role::Client, 16 * KIB)),
        ("handshake-server", &|| Work::Handshake),
        ("inflate-takeover-1k", &|| Work::Inflate(traffic(TAKEOVER, KIB, 1))),
        ("inflate-takeover-16k", &|| Work::Inflate(traffic(TAKEOVER, 16 * KIB, 1))),
        ("inflate-alone-1k", &|| Work::Inflate(traffic(ALONE, KIB, 1))),
        ("inflate-alone-16k", &|| Work::Inflate(traffic(ALONE, 16 * KIB, 1))),
        ("inflate-takeover-1k-over-64", &|| Work::Inflate(traffic(TAKEOVER, KIB, 64))),
        ("deflate-takeover-1k", &|| Work::Deflate(traffic(TAKEOVER, KIB, 1))),
        ("deflate-takeover-16k", &|| Work::Deflate(traffic(TAKEOVER, 16 * KIB, 1))),
        ("deflate-alone-1k", &|| Work::Deflate(traffic(ALONE, KIB, 1))),
        ("deflate-alone-16k", &|| Work::Deflate(traffic(ALONE, 16 * KIB, 1))),
        ("deflate-takeover-1k-over-64", &|| Work::Deflate(traffic(TAKEOVER, KIB, 64))),
        ("deflate-shared-1k", &|| Work::Deflate(traffic(Codec::SHARED, KIB, 1))),
        ("deflate-shared-1k-over-64", &|| Work::Deflate(traffic(Codec::SHARED, KIB, 64))),
    ];
    let wanted = rows.iter().filter(|(name, _)| wanted(name));
    wanted.map(|(name, work)| MemoryRow { name, work: work() }).collect()
}

fn receive(kind: Kind, payload: &[u8], read_size: usize) -> Work {
    pattern(kind, payload, 1, 1, read_size)
}

fn hixie(payload: &[u8]) -> Work {
    let pattern = [b"\0", payload, b"\xff"].concat();
    Work::ReceiveHixie { pattern: pattern.leak(), payload: payload.len() }
}

fn pattern(kind: Kind, payload: &[u8], fragments: usize, messages: usize, read_size: usize) -> Work {
    let mut pattern = Vec::new();
    for _ in 0..messages {
        frames::put_client_message(&mut pattern, kind, payload, fragments);
    }
    Work::Receive { pattern: pattern.leak(), read_size, payload: payload.len() }
}

fn send(role: Role, len: usize) -> Work {
    Work::Send { role, payload: frames::binary(len).leak() }
}

/// One row over loopback: 100 connections, each with `depth` messages under way.
pub struct EchoRow {
    /// What `--rows` matches.
    pub name: &'static str,
    pub payload: usize,
    pub depth: usize,
    pub tls: bool,
}

impl EchoRow {
    const fn plain(name: &'static str, payload: usize, depth: usize) -> Self {
        Self { name, payload, depth, tls: false }
    }

    const fn encrypted(name: &'static str, payload: usize, depth: usize) -> Self {
        Self { name, payload, depth, tls: true }
    }
}

/// All rows over loopback, in the order of the tables.
pub const ECHO: &[EchoRow] = &[
    EchoRow::plain("echo-16", 16, 1),
    EchoRow::plain("echo-16x16", 16, 16),
    EchoRow::plain("echo-1k", KIB, 1),
    EchoRow::plain("echo-16k", 16 * KIB, 1),
    EchoRow::plain("echo-1m", MIB, 1),
    EchoRow::encrypted("tls-16", 16, 1),
    EchoRow::encrypted("tls-16x16", 16, 16),
    EchoRow::encrypted("tls-1k", KIB, 1),
    EchoRow::encrypted("tls-16k", 16 * KIB, 1),
    EchoRow::encrypted("tls-1m", MIB, 1),
];

/// Connections of an echo row.
pub const ECHO_CONNECTIONS: usize = 100;
