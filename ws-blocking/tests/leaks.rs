//! Whether anything stays behind, also with a thousand threads. Files and threads are counted for the whole process, so
//! this is the only test in it.

mod common;

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{Running, echo, echo_server, frame, guard, patiently, run};
use ws_blocking::{CancelToken, Interrupted, Message, Server, Transport, Wait, block_on, connect};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn threat_032_nothing_stays_behind_when_connections_come_and_go() {
    patiently(|| {
        connections_that_come_and_go();
        a_thousand_threads();
        threads_that_come_and_go();
        a_thread_that_finds_no_descriptor();
    });
}

fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// A field of this process's status, in KiB.
fn status(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

/// Clock ticks that this process was busy.
fn busy() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Waits until it is so; a thread that has ended is still counted for a moment.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn cycle(running: &Running, n: usize) {
    match n % 5 {
        0 => {
            let mut ws = connect(&running.url()).unwrap();
            ws.send("x").unwrap();
            assert_eq!(ws.recv(), Ok(Some(Message::from("x"))));
            ws.close(1000, "").unwrap();
        }
        1 => drop(connect(&running.url()).unwrap()),
        2 => {
            let (receiver, sender) = connect(&running.url()).unwrap().split();
            sender.send("x").unwrap();
            drop((receiver, sender));
        }
        3 => {
            // In the middle of the handshake.
            let mut tcp = TcpStream::connect(running.address).unwrap();
            tcp.write_all(&REQUEST[..50]).unwrap();
        }
        _ => {
            // In the middle of a message.
            let mut tcp = TcpStream::connect(running.address).unwrap();
            tcp.write_all(&[REQUEST, &frame(0x81, b"half")[..7]].concat()).unwrap();
        }
    }
    eventually("a connection stays", || running.handle.connections() == 0);
}

fn connections_that_come_and_go() {
    let running = echo_server();
    (0..50).for_each(|n| cycle(&running, n));
    eventually("a thread stays", || threads() <= 4);
    let (files_before, threads_before) = (files(), threads());
    (0..500).for_each(|n| cycle(&running, n));
    eventually("files or threads stay", || (files(), threads()) == (files_before, threads_before));
    running.shut_down(Duration::ZERO);
}

/// What a thread needs to be woken goes with it, and does not stay with a connection on which it has sent something.
fn threads_that_come_and_go() {
    let (begin, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let running = run(Server::bind("127.0.0.1:0").unwrap(), move |ws, _| {
        let _ = wait.lock().unwrap().recv();
        echo(ws);
    });
    let (mut receiver, sender) = connect(&running.url()).unwrap().split();
    let files_before = files();
    thread::scope(|scope| {
        for _ in 0..200 {
            // More than the sockets hold: so that they wait.
            scope.spawn(|| sender.send(vec![0; 128 * 1024]).unwrap());
        }
        eventually("they do not wait", || files() >= files_before + 100);
        begin.send(()).unwrap();
        for _ in 0..200 {
            assert_eq!(receiver.recv().unwrap().unwrap().as_bytes().len(), 128 * 1024);
        }
    });
    // The few that live have theirs.
    eventually("files stay", || files() <= files_before + 5);
    drop((receiver, sender));
    running.shut_down(Duration::ZERO);
}

/// As many as the limit of open files allows, up to a thousand: a connection takes three here, for it has both ends.
fn a_thousand_threads() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(4096).min(4096);
    let raised = rustix::process::Rlimit { current: Some(wanted), maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let count = ((wanted as usize - 100) / 3).min(1000);

    eventually("a thread stays", || threads() <= 3);
    let (files_before, threads_before) = (files(), threads());
    let server = Server::bind("127.0.0.1:0").unwrap().stack_size(512 * 1024).max_connections(count + 1);
    let running = run(server, |ws, _| echo(ws));
    let mut idle: Vec<TcpStream> = Vec::with_capacity(count);
    let memory_before = status("VmRSS:");
    for _ in 0..count {
        let mut tcp = TcpStream::connect(running.address).unwrap();
        tcp.write_all(REQUEST).unwrap();
        let mut answer = [0; 1000];
        let n = tcp.read(&mut answer).unwrap();
        assert!(answer[..n].starts_with(b"HTTP/1.1 101 "));
        idle.push(tcp);
    }
    assert_eq!(running.handle.connections(), count);
    assert!(threads() >= count);
    // All of them are alive.
    for (n, tcp) in idle.iter_mut().enumerate() {
        tcp.write_all(&frame(0x82, &n.to_be_bytes())).unwrap();
    }
    for (n, tcp) in idle.iter_mut().enumerate() {
        let mut echo = [0; 10];
        tcp.read_exact(&mut echo).unwrap();
        assert_eq!(echo[2..], n.to_be_bytes());
    }
    // Idle: they hold their stacks, and do nothing.
    thread::sleep(Duration::from_millis(2500));
    let memory = status("VmRSS:") - memory_before;
    println!("{count} idle connections, {} KiB of memory each, all in all", memory / count);
    // Without optimisations it is mostly stack, 50 to 70 KiB. A buffer for reading would add as much again.
    assert!(memory / count <= 100, "{} KiB each", memory / count);
    let before = busy();
    thread::sleep(Duration::from_secs(2));
    let ticks = busy() - before;
    assert!(ticks <= 20, "{ticks} ticks of work in two seconds of silence");
    // One among them is as quick as ever.
    let mut ws = connect(&running.url()).unwrap();
    ws.set_wait(guard());
    ws.send("Hello").unwrap();
    assert_eq!(ws.recv(), Ok(Some("Hello".into())));
    ws.close(1000, "").unwrap();
    let closing = thread::spawn(move || {
        for tcp in &mut idle {
            let mut close = Vec::new();
            tcp.write_all(&frame(0x88, b"\x03\xe9")).unwrap();
            let _ = tcp.read_to_end(&mut close);
            assert_eq!(close[..1], [0x88]);
        }
    });
    let report = running.shut_down(Duration::from_secs(40));
    closing.join().unwrap();
    assert_eq!((report.served, report.panicked, report.refused), (count as u64 + 1, 0, 0), "{report:?}");
    eventually("files or threads stay", || (files(), threads()) == (files_before, threads_before));
}

/// It looks again now and then, and no longer than until there is a descriptor by which it can be woken.
fn a_thread_that_finds_no_descriptor() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    eventually("a thread stays", || threads() <= 3);
    let files_before = files();
    let token = CancelToken::new();
    let (mut waiting, hold) = ws_blocking::pipe();
    // From here on none: that which lists them is the last.
    let none = rustix::process::Rlimit { current: Some(3), maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, none).unwrap();
    let wait = Wait::from(&token);
    let (begun, begin) = mpsc::channel();
    let waiter = thread::spawn(move || {
        begun.send(()).unwrap();
        block_on(poll_fn(|cx| waiting.poll_read(cx, &mut [0; 1])), &wait)
    });
    begin.recv().unwrap();
    thread::sleep(Duration::from_millis(50));
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    // Its own, and that of the token.
    eventually("it goes on without", || files() == files_before + 2);
    token.cancel();
    assert_eq!(waiter.join().unwrap().unwrap_err(), Interrupted::Cancelled);
    drop((hold, token));
    eventually("files stay", || files() == files_before);
}
