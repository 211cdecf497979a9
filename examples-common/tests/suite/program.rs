//! Starts an example and watches it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Ends a wait for something that never comes; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running program. It is killed if the test ends before.
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    /// Where it listens, if it is a server.
    pub(crate) url: String,
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: i32,
    /// The lines that were not read before.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// Starts the example `name` of the adapter; the input of a client is empty until it is written to.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(example(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines, stderr: Some(stderr), url: String::new() }
    }

    /// Starts an example that says where it listens.
    pub(crate) fn serve(name: &str, arguments: &[&str]) -> Self {
        let mut server = Self::start(name, arguments);
        let line = server.line();
        server.url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{name} says {line:?}")).to_owned();
        server
    }

    /// The next line that it prints.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => {
                let _ = self.child.kill();
                panic!("no line ({error}): {}", self.stderr.take().unwrap().join().unwrap())
            }
        }
    }

    /// Writes to its standard input.
    pub(crate) fn write(&mut self, input: &[u8]) {
        // If it has ended, that shows elsewhere.
        let _ = self.stdin.as_mut().unwrap().write_all(input);
    }

    /// Waits until it has ended by itself. Its input ends now, unless it is to be kept open.
    #[track_caller]
    pub(crate) fn ended(mut self, keep_input: bool) -> Ended {
        let kept = self.stdin.take().filter(|_| keep_input);
        let mut stdout = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => stdout = stdout + &line + "\n",
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    panic!("it does not end; {stdout:?}, {:?}", self.stderr.take().unwrap().join().unwrap());
                }
            }
        }
        let stderr = self.stderr.take().unwrap().join().unwrap();
        drop(kept);
        Ended { status: self.child.wait().unwrap().code().unwrap_or(-1), stdout, stderr }
    }

    /// Asks it to end, as the system does, and waits until it has.
    #[track_caller]
    pub(crate) fn terminate(self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        let ended = self.ended(true);
        assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo puts examples beside the folder with the tests.
fn example(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("{name}{}{}", crate::SUFFIX, std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "there is no {path:?}; cargo builds it when all tests of the package are run");
    path
}
