//! Whether anything stays behind. Files and threads are counted for a whole process, so each of these tests runs in one of
//! its own: this program, started anew.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::thread;

use ws_proto::{Message, ServerConfig};
use ws_tests::deflate::eager;

use crate::net::{Net, Program, REQUEST, Settings, eventually, raw};
use crate::wire::frame;

crate::on_all_networks!(threat_032_nothing_stays_behind_when_connections_come_and_go);

const ALONE: &str = "WS_TESTS_ALONE";

fn threat_032_nothing_stays_behind_when_connections_come_and_go<N: Net>() {
    if std::env::var_os(ALONE).is_some() {
        return connections_that_come_and_go::<N>();
    }
    let name = thread::current().name().expect("tests have names").to_owned();
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).args([&*name, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

fn files() -> usize {
    count("/proc/self/fd")
}

fn threads() -> usize {
    count("/proc/self/task")
}

/// KiB of memory that this process uses.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
}

fn connections_that_come_and_go<N: Net>() {
    let mut config = ServerConfig::default();
    config.extensions.add(eager());
    let running = N::serve(Settings { config, ..Settings::from(Program::Echo) });
    let url = running.url();
    let cycle = |n: usize| {
        match n % 6 {
            0 => {
                let mut ws = N::open(&url);
                ws.send(Message::text("x")).unwrap();
                assert_eq!(ws.recv(), Some(Message::text("x")));
                assert!(ws.close().is_clean());
            }
            1 => drop(N::open(&url)),
            2 => {
                let (receiver, sender) = N::open(&url).split();
                sender.send(Message::text("x")).unwrap();
                drop((receiver, sender));
            }
            3 => {
                // In the middle of the handshake.
                let mut tcp = TcpStream::connect(running.address).unwrap();
                tcp.write_all(&REQUEST[..50]).unwrap();
            }
            4 => {
                // In the middle of a message.
                let mut tcp = TcpStream::connect(running.address).unwrap();
                tcp.write_all(&[REQUEST, &frame(0x81, b"half")[..7]].concat()).unwrap();
            }
            _ => {
                // In the middle of a compressed one.
                let mut tcp = TcpStream::connect(running.address).unwrap();
                let offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
                let request = [&REQUEST[..REQUEST.len() - 2], offer].concat();
                tcp.write_all(&[&request, &frame(0xc1, &[0xf2, 0x48, 0xcd, 0xc9])[..8]].concat()).unwrap();
            }
        }
        eventually(|| (running.connections)() == 0);
    };
    // What runtimes and the allocator make once is there after this.
    for n in 0..120 {
        cycle(n);
    }
    drop(raw(running.address));
    eventually(|| (running.connections)() == 0);
    thread::sleep(std::time::Duration::from_millis(50));
    let (files_before, threads_before, memory_before) = (files(), threads(), memory());
    for n in 0..900 {
        cycle(n);
    }
    // The last ones may need a moment, as a count falls before a thread ends.
    eventually(|| files() <= files_before && threads() <= threads_before);
    let grown = memory().saturating_sub(memory_before);
    assert!(grown <= 2048, "{grown} KiB more than before");
    running.stop();
}
