//! What every adapter's example programs do, seen from outside. Each adapter runs it on its own; it says in `SUFFIX` how
//! its programs are named.

mod certificates;
mod peer;
mod program;

use std::path::Path;

use certificates::{Ca, Files};
use peer::{Peer, Talker};
use program::{Ended, Program};

/// Starts an echo server on a free port, with further options.
fn echo_server(options: &[&str]) -> Program {
    Program::serve("echo_server", &[&["--listen", "127.0.0.1:0"], options].concat())
}

/// What `connect` makes of these lines.
fn connect(options: &[&str], input: &[u8]) -> Ended {
    let mut program = Program::start("connect", options);
    program.write(input);
    program.ended(false)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn is_clean_echo(ended: &Ended, lines: &str) {
    assert_eq!((ended.stdout.as_str(), ended.status), (lines, 0), "{}", ended.stderr);
    assert!(ended.stderr.ends_with("closed 1000 \"\" clean\n"), "{}", ended.stderr);
}

#[track_caller]
fn is_no_connection(ended: &Ended) {
    assert_eq!((ended.stdout.as_str(), ended.status), ("", 2), "{}", ended.stderr);
    assert!(!ended.stderr.is_empty() && !ended.stderr.contains("closed"), "{}", ended.stderr);
}

#[test]
fn an_echo() {
    let server = echo_server(&[]);
    assert!(server.url.starts_with("ws://127.0.0.1:"), "{}", server.url);
    is_clean_echo(&connect(&[&server.url], "hi\r\nΚόσμε\n\nlast".as_bytes()), "hi\nΚόσμε\n\nlast\n");
    is_clean_echo(&connect(&[&server.url], b""), "");
    let url = format!("{}/any/path?and=query", server.url);
    is_clean_echo(&connect(&[&url, "--header", "X-A: b", "--origin", "http://example.com"], b"hi\n"), "hi\n");
    server.terminate();
}

#[test]
fn an_echo_with_compression() {
    let server = echo_server(&["--deflate", "--deflate-min", "0"]);
    let ended = connect(&[&server.url, "--deflate", "--deflate-window", "10"], b"hi\n");
    assert!(ended.stderr.starts_with("agreed on permessage-deflate"), "{}", ended.stderr);
    is_clean_echo(&ended, "hi\n");
    is_clean_echo(&connect(&[&server.url], b"hi\n"), "hi\n");
    server.terminate();
}

#[test]
fn an_echo_in_an_old_version() {
    let server = echo_server(&["--versions", "all"]);
    is_clean_echo(&connect(&[&server.url, "--version", "hybi-08"], b"hi\n"), "hi\n");
    let ended = connect(&[&server.url, "--version", "hixie-76"], b"hi\n");
    assert_eq!((ended.stdout.as_str(), ended.status), ("hi\n", 0), "{}", ended.stderr);
    server.terminate();
    let modern = echo_server(&[]);
    is_no_connection(&connect(&[&modern.url, "--version", "hybi-08"], b""));
    modern.terminate();
}

#[test]
fn limits_are_kept() {
    let server = echo_server(&["--max-message", "10"]);
    let ended = connect(&[&server.url], b"0123456789\n0123456789x\n");
    assert_eq!(ended.stdout, "0123456789\n");
    assert!(ended.stderr.contains("closed 1009"), "{}", ended.stderr);
    server.terminate();
}

#[cfg(unix)]
#[test]
fn an_echo_over_a_unix_socket() {
    let folder = certificates::folder("unix");
    let socket = folder.join("echo");
    let server = Program::serve("echo_server", &["--unix", path(&socket)]);
    assert_eq!(server.url, format!("unix:{}", socket.display()));
    is_clean_echo(&connect(&["ws://localhost/", "--unix", path(&socket)], b"hi\n"), "hi\n");
    server.terminate();
    assert!(!socket.exists());
}

#[test]
fn tls_with_a_certificate_that_is_trusted_or_not() {
    let Files { ca, other_ca, server: [cert, key], .. } = Files::new("trust");
    let server = echo_server(&["--tls-cert", path(&cert), "--tls-key", path(&key)]);
    assert!(server.url.starts_with("wss://127.0.0.1:"), "{}", server.url);
    is_clean_echo(&connect(&[&server.url, "--ca", path(&ca)], b"hi\n"), "hi\n");
    let name = server.url.replace("127.0.0.1", "localhost");
    is_clean_echo(&connect(&[&name, "--ca", path(&ca)], b"hi\n"), "hi\n");
    is_clean_echo(&connect(&[&server.url, "--insecure"], b"hi\n"), "hi\n");
    is_no_connection(&connect(&[&server.url, "--ca", path(&other_ca)], b"hi\n"));
    // The system does not know the authority of a test.
    is_no_connection(&connect(&[&server.url], b"hi\n"));
    // Who speaks no TLS gets no answer.
    is_no_connection(&connect(&[&server.url.replace("wss:", "ws:")], b"hi\n"));
    server.terminate();
    // Nor do we take one from such a server.
    let plain = echo_server(&[]);
    is_no_connection(&connect(&[&plain.url.replace("ws:", "wss:"), "--insecure"], b"hi\n"));
    plain.terminate();
}

#[test]
fn tls_for_another_name_is_refused() {
    let folder = certificates::folder("name");
    let authority = Ca::new("The authority");
    let ca = authority.write(&folder, "ca.pem");
    let [cert, key] = authority.server(&["example.com"]).write(&folder, "server");
    let server = echo_server(&["--tls-cert", path(&cert), "--tls-key", path(&key)]);
    is_no_connection(&connect(&[&server.url, "--ca", path(&ca)], b"hi\n"));
    server.terminate();
}

#[test]
fn tls_with_certificates_of_clients() {
    let Files { ca, server: [cert, key], client, other_client, .. } = Files::new("clients");
    let server = echo_server(&["--tls-cert", path(&cert), "--tls-key", path(&key), "--tls-client-ca", path(&ca)]);
    let trust = [server.url.as_str(), "--ca", path(&ca)];
    let with = |[cert, key]: &[std::path::PathBuf; 2]| {
        connect(&[&trust[..], &["--cert", path(cert), "--key", path(key)]].concat(), b"hi\n")
    };
    is_clean_echo(&with(&client), "hi\n");
    is_no_connection(&with(&other_client));
    is_no_connection(&connect(&trust, b"hi\n"));
    server.terminate();
}

#[test]
fn what_can_not_be_done_is_told() {
    let Files { ca, server: [cert, key], client, .. } = Files::new("options");
    let (cert, key) = (path(&cert), path(&key));
    for (program, options) in [
        ("echo_server", &[][..]),
        ("echo_server", &["--listen", "127.0.0.1:0", "--tls-cert", cert]),
        ("echo_server", &["--listen", "127.0.0.1:0", "--tls-key", key]),
        ("echo_server", &["--listen", "127.0.0.1:0", "--tls-client-ca", path(&ca)]),
        ("echo_server", &["--listen", "127.0.0.1:0", "--deflate-window", "9"]),
        ("echo_server", &["--listen", "127.0.0.1:0", "--versions", "14"]),
        ("chat", &["--versions", ""]),
        ("connect", &[]),
        ("connect", &["ws://127.0.0.1/", "--version", "14"]),
        ("connect", &["http://127.0.0.1/"]),
        ("connect", &["wss://127.0.0.1:1/", "--cert", path(&client[0])]),
        ("connect", &["wss://127.0.0.1:1/", "--ca", key]),
        ("connect", &["wss://127.0.0.1:1/", "--ca", "/nowhere"]),
        ("connect", &["wss://127.0.0.1:1/", "--ca", path(&ca), "--insecure"]),
        ("connect", &["ws://127.0.0.1:1/"]),
        ("autobahn_client", &[]),
    ] {
        let ended = Program::start(program, options).ended(false);
        assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{program} {options:?}: {}", ended.stderr);
        assert!(!ended.stderr.is_empty(), "{program} {options:?}");
    }
    for (program, options) in [
        ("echo_server", &["--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", cert][..]),
        ("echo_server", &["--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", path(&client[1])]),
        ("echo_server", &["--listen", "192.0.2.1:0"]),
        ("chat", &["--tls-cert", "/nowhere", "--tls-key", key]),
        ("chat", &["--listen", "nonsense"]),
        ("autobahn_client", &["ws://127.0.0.1:1"]),
    ] {
        let ended = Program::start(program, options).ended(false);
        assert_eq!((ended.status, ended.stdout.as_str()), (1, ""), "{program} {options:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("Error: "), "{program} {options:?}: {}", ended.stderr);
    }
}

#[test]
fn what_is_no_text_ends_the_connection() {
    let server = echo_server(&[]);
    let ended = connect(&[&server.url], b"hi\n\xff\nmore\n");
    assert_eq!((ended.stdout.as_str(), ended.status), ("hi\n", 1), "{}", ended.stderr);
    assert!(ended.stderr.contains("standard input: a line is not UTF-8\n"), "{}", ended.stderr);
    assert!(ended.stderr.contains("closed 1000 \"\" clean\n"), "{}", ended.stderr);
    server.terminate();
}

#[test]
fn an_end_without_a_close_is_not_clean() {
    let peer = Peer::listen();
    let program = Program::start("connect", &[&peer.url]);
    let (_, mut socket) = peer.accept();
    socket.binary(&[0, 0x2a]);
    drop(socket);
    let ended = program.ended(true);
    assert_eq!((ended.stdout.as_str(), ended.status), ("binary 002a\n", 1), "{}", ended.stderr);
    assert!(ended.stderr.contains("closed 1006 \"\" unclean\n"), "{}", ended.stderr);
}

#[test]
fn a_close_of_the_server_ends_the_client_while_it_waits_for_input() {
    let peer = Peer::listen();
    let program = Program::start("connect", &[&peer.url]);
    let (_, mut socket) = peer.accept();
    socket.text("\u{1b}[2J");
    socket.close();
    let ended = program.ended(true);
    assert_eq!((ended.stdout.as_str(), ended.status), ("\\u{1b}[2J\n", 0), "{}", ended.stderr);
}

#[test]
fn the_cases_of_a_fuzzing_server_are_run() {
    let peer = Peer::listen();
    let program = Program::start("autobahn_client", &[peer.url.trim_end_matches('/'), "--agent", "somebody"]);
    let (target, mut socket) = peer.accept();
    assert_eq!(target, "/getCaseCount");
    socket.text("3");
    socket.answer_close();
    for case in 1..=3 {
        let (target, mut socket) = peer.accept();
        assert_eq!(target, format!("/runCase?case={case}&agent=somebody"));
        if case == 2 {
            // It goes on when a connection breaks.
            continue;
        }
        socket.binary(&[case]);
        assert_eq!(socket.frame(), (2, vec![case]));
        socket.close();
    }
    let (target, socket) = peer.accept();
    assert_eq!(target, "/updateReports?agent=somebody");
    socket.close();
    let ended = program.ended(false);
    assert_eq!((ended.stdout.as_str(), ended.status), ("3 cases\n", 0), "{}", ended.stderr);
}

#[test]
fn a_chat() {
    let mut server = Program::serve("chat", &["--listen", "127.0.0.1:0"]);
    assert!(server.url.starts_with("http://127.0.0.1:") && server.url.ends_with('/'), "{}", server.url);
    let url = server.url.replace("http:", "ws:") + "chat";
    let alice = chat(&mut server, &[&url]);
    server.write(b"nonsense\nquit\n");
    let ended = server.ended(true);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, "commands: users, quit\n"));
    is_sent_away(alice);
}

#[test]
fn a_chat_over_tls() {
    let Files { ca, server: [cert, key], .. } = Files::new("chat");
    let options = ["--listen", "127.0.0.1:0", "--tls-cert", path(&cert), "--tls-key", path(&key)];
    let mut server = Program::serve("chat", &options);
    let url = server.url.replace("https:", "wss:") + "chat";
    assert!(url.starts_with("wss://127.0.0.1:"), "{url}");
    let alice = chat(&mut server, &[&url, "--ca", path(&ca)]);
    server.terminate();
    is_sent_away(alice);
}

/// Two people talk; one of them stays.
fn chat(server: &mut Program, client: &[&str]) -> Program {
    let mut alice = Program::start("connect", client);
    alice.write(b"/nick alice\n");
    assert_eq!(alice.line(), "server: john doe is now alice");
    let mut bob = Program::start("connect", client);
    bob.write(b"/nick bob\nhi\n");
    assert_eq!([bob.line(), bob.line()], ["server: john doe is now bob", "me: hi"]);
    assert_eq!([alice.line(), alice.line()], ["server: john doe is now bob", "bob: hi"]);
    server.write(b"users\n");
    assert_eq!(server.line(), "2");
    is_clean_echo(&bob.ended(false), "");
    assert_eq!(alice.line(), "server: bob left");
    alice
}

/// The server went away in good order.
#[track_caller]
fn is_sent_away(client: Program) {
    let ended = client.ended(true);
    assert_eq!((ended.stdout.as_str(), ended.status), ("", 0), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("closed 1001 "), "{}", ended.stderr);
}

#[test]
fn a_chat_is_of_text() {
    let socket = certificates::folder("binary").join("chat");
    let server = Program::serve("chat", &["--unix", path(&socket)]);
    let (mut a, mut b) = (Talker::join(&socket), Talker::join(&socket));
    b.text("/nick bob");
    a.reads_until("server: john doe is now bob");
    b.binary(b"hi");
    assert_eq!(b.closed(), 1003);
    a.reads_until("server: bob left");
    let mut c = Talker::join(&socket);
    c.text(&"x".repeat(8 * 1024 + 1));
    assert_eq!(c.closed(), 1009);
    drop((b, c));
    a.reads_until("server: john doe left");
    a.text("anyone?");
    a.reads_until("me: anyone?");
    drop(a);
    server.terminate();
}

#[test]
fn one_who_does_not_read_is_sent_away_and_holds_nobody_up() {
    let socket = certificates::folder("deaf").join("chat");
    let server = Program::serve("chat", &["--unix", path(&socket)]);
    let mut deaf = Talker::join(&socket);
    deaf.text("/nick deaf");
    deaf.reads_until("server: john doe is now deaf");
    let mut talkers: Vec<Talker> = (0..8).map(|_| Talker::join(&socket)).collect();
    let mut told = 0;
    // More than the sockets and the mailbox have room for; each says less than makes the server slow down.
    for _ in 0..90 {
        for talker in 0..talkers.len() {
            talkers[talker].text(&"x".repeat(8000));
            for reader in &mut talkers {
                told += reader.reads_long_line();
            }
        }
    }
    assert_eq!(told, talkers.len());
    assert_eq!(deaf.closed(), 1013);
    drop((deaf, talkers));
    server.terminate();
}
